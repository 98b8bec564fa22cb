"""The floors of the package: what may import what, read from the sources, imports inside functions included."""

from __future__ import annotations

import ast

import pytest
from conftest import ROOT

PACKAGE = ROOT / "bridgeckpt"

# What each part may import of the package, beside itself. Formats and mapping do not know each other.
GROUND = {"errors"}
MAY_IMPORT = {
    "errors": set(),
    "moves": GROUND,
    "formats": GROUND,
    "mapping": GROUND | {"moves"},
    "copying": GROUND | {"moves", "formats"},
    "source": GROUND | {"formats", "mapping"},
    "planning": GROUND | {"moves", "formats", "mapping", "copying", "source"},
    "outputs": GROUND,
    "parity": GROUND | {"formats", "outputs"},  # an oracle: it would repeat the mistakes of the tables and the plan
    "verdicts": GROUND | {"parity"},
    "comparing": GROUND | {"moves", "formats", "mapping", "copying", "source", "planning"},
    "warmstart": GROUND | {"moves", "formats", "copying", "planning", "comparing"},
    "tf": GROUND | {"checks", "formats", "planning", "warmstart"},
}


def imported(source, module, is_package=False):
    """Every module of the package that ``source``, the text of ``module``, imports, as ``bridgeckpt.a.b``."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            names |= {f"{origin}.{alias.name}" for alias in node.names}  # a module, or a name in the module
    return {name for name in names if name.split(".")[0] == "bridgeckpt"}


def part(module):
    """``formats`` of ``bridgeckpt.formats.tensors``; empty for the package itself."""
    return module.split(".")[1] if "." in module else ""


def violations(source, module, is_package=False):
    """The imports of ``module`` that go up, or across."""
    here = part(module)
    found = {name: part(name) for name in imported(source, module, is_package)}
    if here in MAY_IMPORT:
        allowed = MAY_IMPORT[here] | {here}
        return {name for name, there in found.items() if there not in allowed}
    return {name for name, there in found.items() if there == "cli" and here not in {"cli", "__main__"}}


def modules():
    """(path, dotted name) of every module of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_every_import_goes_down():
    found = {name: violations(path.read_text(), name, path.name == "__init__.py") for path, name in modules()}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    parts = {part(name) for name in found}
    assert parts >= {"formats", "mapping", "copying", "source", "planning", "parity", "verdicts", "cli", "conversion"}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("bridgeckpt.formats.wire", "from bridgeckpt.mapping.layout import Layout"),
        ("bridgeckpt.formats.wire", "def late():\n    import bridgeckpt.planning.plan"),
        ("bridgeckpt.formats.wire", "from bridgeckpt import copying"),
        ("bridgeckpt.formats.wire", "from .. import source"),
        ("bridgeckpt.formats.wire", "from ..cli.console import show"),
        ("bridgeckpt.mapping.layout", "if TYPE_CHECKING:\n    from bridgeckpt.formats.tensors import TensorInfo"),
        ("bridgeckpt.mapping.layout", "import bridgeckpt"),
        ("bridgeckpt.copying.job", "from bridgeckpt.planning.plan import Plan"),
        ("bridgeckpt.source.config", "from bridgeckpt.planning.plan import Plan"),
        ("bridgeckpt.planning.plan", "from bridgeckpt.conversion import convert"),
        ("bridgeckpt.parity.reference", "from bridgeckpt.mapping.table import load_table"),
        ("bridgeckpt.parity.tensorflow.forward", "from bridgeckpt.source.graph import read_facts"),
        ("bridgeckpt.parity.comparison", "from bridgeckpt.planning.plan import plan"),
        ("bridgeckpt.conversion", "from bridgeckpt.cli import main"),
        ("bridgeckpt", "from bridgeckpt.cli import main"),
    ],
)
def test_the_test_above_can_fail(module, source):
    assert violations(source, module, is_package=module == "bridgeckpt")
    assert not violations("import ast\nfrom bridgeckpt.errors import BridgeckptError", module)


def test_relative_imports_within_a_part_are_seen_as_such():
    assert imported("from .wire import field", "bridgeckpt.formats.sstable") == {"bridgeckpt.formats.wire.field"}
    assert imported("from .wire import field", "bridgeckpt.formats", is_package=True) == {
        "bridgeckpt.formats.wire.field"
    }
    assert not violations("from .wire import field", "bridgeckpt.formats.sstable")

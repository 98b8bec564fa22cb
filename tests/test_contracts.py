"""The walls between the rooms: the contracts of pyproject.toml hold, and breaking one of them is noticed."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib

import pytest
from paths import ROOT

PACKAGE = ROOT / "bridgeckpt"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
# Frameworks and what takes long to import: only inside the functions that need them.
HEAVY = {"h5py", "huggingface_hub", "rich", "tensorflow", "tokenizers", "torch", "transformers", "yaml"}

# A contract, a module, and an import that the contract forbids there.
FORBIDDEN = [
    ("rooms", "store/dtypes.py", "from bridgeckpt.formats import checkpoint"),
    ("rooms", "formats/tensorflow/wire.py", "from bridgeckpt.mapping.notation import layout"),
    (
        "rooms",
        "mapping/notation/layout.py",
        "if TYPE_CHECKING:\n    from bridgeckpt.formats import checkpoint",
    ),
    ("rooms", "converting/report.py", "def late():\n    from bridgeckpt.cli import console"),
    ("rooms", "planning/plan.py", "from bridgeckpt.converting import report"),
    ("rooms", "planning/plan.py", "from bridgeckpt.parity import verifying"),
    ("rooms", "attic.py", "A_MODULE_WITHOUT_A_PLACE = True"),
    ("root", "formats/tensorflow/wire.py", "def late():\n    import bridgeckpt"),
    ("root", "cli/console.py", "from bridgeckpt import __version__"),
    ("oracle", "parity/reference/reference.py", "from bridgeckpt.mapping.tables import library"),
    ("oracle", "parity/bert/forward.py", "from ...sidecar import config"),
    ("oracle", "formats/fingerprint.py", "from bridgeckpt.planning import plan"),  # parity reaches it by formats
    ("no-model", "parity/judging/judge.py", "from bridgeckpt.parity.bert import stages"),
    ("no-model", "parity/showing/chart.py", "from bridgeckpt.parity import families"),
    ("no-model", "parity/request.py", "from bridgeckpt.parity.bert import probes"),
    ("families", "parity/recording.py", "from bridgeckpt.parity.bert import settings"),
    ("families", "parity/verifying.py", "def late():\n    from bridgeckpt.parity.bert import settings"),
    ("circles", "parity/family.py", "from bridgeckpt.parity.bert import family"),
    ("copying", "copying/job.py", "from bridgeckpt.mapping.notation import layout"),
    ("formats", "formats/tensorflow/bundle.py", "from bridgeckpt.formats.huggingface import safetensors"),
    ("formats", "formats/hdf5/keras.py", "from bridgeckpt.formats.huggingface import safetensors"),
    ("formats", "formats/checkpoint.py", "from bridgeckpt.formats.locating import locate"),
    ("formats", "formats/shards.py", "from bridgeckpt.formats.hdf5 import keras"),
    ("mapping", "mapping/notation/names.py", "from bridgeckpt.mapping.tables import library"),
    ("frameworks", "sidecar/config.py", "def late():\n    import torch"),
    ("frameworks", "warmstart/report.py", "def late():\n    import tensorflow as tf"),
    ("circles", "formats/tensorflow/wire.py", "from bridgeckpt.formats.tensorflow import sstable"),
    ("circles", "store/sizes.py", "if TYPE_CHECKING:\n    from bridgeckpt.copying.job import Job"),
]


def dotted(path):
    """The name of the module in a file: ``bridgeckpt.store.sizes``."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def blamed(contract, path, line):
    """What the report has to name: the module; in a circle, the two siblings that the import joins."""
    module = dotted(path)
    if contract != "circles":
        return module
    (imported,) = [node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.ImportFrom)]
    ends = zip(module.split("."), f"{imported.module}.{imported.names[0].name}".split("."), strict=False)
    importer, target = next(pair for pair in ends if pair[0] != pair[1])
    return f"- .{importer} -> .{target} "


def lint_imports(folder, *options):
    """Check the copy of the package in ``folder``."""
    code = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    command = [sys.executable, "-c", code, "--no-cache", *options]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=300)


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the package and of the contracts. What a test changes, it sets back."""
    pytest.importorskip("importlinter")
    folder = tmp_path_factory.mktemp("copied")
    shutil.copytree(PACKAGE, folder / "bridgeckpt", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_every_contract_holds(copied):
    done = lint_imports(copied)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in done.stdout


@pytest.mark.parametrize(("contract", "module", "line"), FORBIDDEN)
def test_what_a_contract_forbids_is_noticed(contract, module, line, copied):
    path = copied / "bridgeckpt" / module
    before = path.read_text() if path.exists() else None
    try:
        path.write_text(f"{before or ''}\n{line}\n")
        done = lint_imports(copied, "--contract", contract)
    finally:
        path.unlink() if before is None else path.write_text(before)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "0 kept, 1 broken" in done.stdout
    assert blamed(contract, path.relative_to(copied), line) in done.stdout


def test_every_contract_is_broken_by_a_case_above():
    assert {contract for contract, _, _ in FORBIDDEN} == {contract["id"] for contract in CONTRACTS}


def imported_at_once(source):
    """The packages that a module imports when it is imported, imports for types and inside functions left out."""
    names, left = set(), list(ast.parse(source).body)
    while left:
        node = left.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.partition(".")[0])
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            left += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            left += ast.iter_child_nodes(node)
    return names


def test_no_module_imports_anything_heavy_when_it_is_imported():
    found = {str(path.relative_to(ROOT)): imported_at_once(path.read_text()) & HEAVY for path in PACKAGE.rglob("*.py")}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    ["import torch.nn", "try:\n    from h5py import File\nexcept ImportError: ...", "class C:\n    import yaml"],
)
def test_the_test_above_can_fail(source):
    assert imported_at_once(source) & HEAVY
    late = "if TYPE_CHECKING:\n    import torch\ndef late():\n    import torch"
    assert not imported_at_once(late)

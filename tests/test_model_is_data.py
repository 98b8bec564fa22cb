"""What a model is called and made of is data of its tables: no module of the engine spells a name or parameter of BERT.

What knows BERT in code is ``parity/bert``, which proves conversions and must not read the tables.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import bridgeckpt

PACKAGE = Path(bridgeckpt.__file__).parent
ROOMS = (
    *("store", "formats", "mapping", "sidecar", "planning", "copying"),
    *("converting", "aligning", "comparing", "warmstart", "tf"),
)
# Names of the model, of its special tokens, of the keys of its config and of the axes in its tables.
OF_A_MODEL = re.compile(
    r"bert|\[(?:PAD|UNK|CLS|SEP|MASK)\]|pool(?:er|ing)|_embeddings\b|^(?:vocab|labels|positions|encoder|classifier)$"
    r"|vocab_size|hidden_(?:size|act)|intermediate_size|layer_norm_eps|num_(?:attention_heads|hidden_layers|labels)"
    r"|dropout_prob",
    re.IGNORECASE,
)
OPTION = re.compile(r"\{(?:hidden_act|layer_norm_eps|vocab)[:}]")  # a setting, in a sentence that names it

# By string: the modules or rooms that may hold it, and why.
_OPTIONS = ("mapping/tables/model.py", "planning/", "sidecar/config_files.py", "tf/options.py")
ALLOWED = {
    "hidden_act": (_OPTIONS, "an option of a conversion; its config key is in [config.options] of the model"),
    "layer_norm_eps": (_OPTIONS, "an option of a conversion; its config key is in [config.options] of the model"),
    "vocab": (("planning/", "tf/options.py"), "an option of a conversion: the vocabulary file"),
    "labels": (("mapping/tables/model.py",), "the key of the mapping language for the number of labels"),
    "num_labels": (
        ("sidecar/config.py", "planning/by_rules/building.py"),
        "a key that transformers writes into the config of every model",
    ),
}


def literals(source: str) -> Iterator[tuple[int, str]]:
    """The text of a module that is not documentation: each string with its line."""
    tree = ast.parse(source)
    documentation = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            documentation.add(id(node.body[0].value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def of_a_model(source: str) -> list[tuple[int, str]]:
    """The strings of a module that name a model or a parameter of one."""
    return [(line, text) for line, text in literals(source) if OF_A_MODEL.search(OPTION.sub("", text))]


def found_in_engine() -> list[tuple[str, int, str]]:
    files = [path for room in ROOMS for path in sorted((PACKAGE / room).rglob("*.py"))]
    return [
        (path.relative_to(PACKAGE).as_posix(), line, text)
        for path in files
        for line, text in of_a_model(path.read_text(encoding="utf-8"))
    ]


def test_no_module_of_the_engine_names_a_model_or_a_parameter_of_one():
    assert [one for one in found_in_engine() if not one[0].startswith(ALLOWED.get(one[2], ((), ""))[0])] == []


def test_what_is_allowed_is_there():
    assert set(ALLOWED) == {text for _, _, text in found_in_engine()}


@pytest.mark.parametrize(
    "source",
    [
        'axis = sizes.axes.get("vocab")',
        'if kind in ("bert",): pass',
        'FILES = ("bert_config.json",)',
        'note = f"load {name} with add_pooling_layer=False"',
        'pad = vocabulary.ids["[PAD]"]',
        'def f(key: str = "num_attention_heads") -> None:\n    """Of BERT."""',
        'scopes = {"pooler", "x"}',
    ],
)
def test_the_scan_finds_one(source):
    assert len(of_a_model(source)) == 1


def test_the_scan_passes_documentation_and_settings_in_sentences():
    code = 'def f():\n    """Reads bert_config.json."""\n    # [PAD]\n    return "give {vocab:FILE}"\n'
    source = f'"""Of BERT."""\n\n\n{code}'
    assert of_a_model(source) == []

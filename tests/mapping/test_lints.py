"""Every lint of mapping tables finds what it is for, and nothing in the shipped tables."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

import bridgeckpt.mapping.checking.coverage as target_coverage
from bridgeckpt.errors import BridgeckptError
from bridgeckpt.mapping.checking.lints import check
from bridgeckpt.mapping.notation.errors import CODES
from bridgeckpt.mapping.notation.layout import Layout
from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.dialect import load_table

MODEL = """schema = 1
model = "toy"

[dims]
hidden = "hidden_size"
pooled = "hidden_size"
heads = "num_heads"
head_dim = "hidden_size / num_heads"
qkv = 3
vocab = "vocab_size"
pad = "*"

[indices]
layer = "num_layers"

[architectures]
Toy = { groups = ["body"] }
"""

DIALECT = """schema = 1
title = "{title}"
detect = {detect}

[wildcards]
scope = ""

[group.body]
tf = "{{scope}}"
pt = "toy."
rows = [
{rows}
]
"""


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """An empty folder of shipped tables but for a toy model; returns a function that adds a dialect and its name."""
    folder = tmp_path / "mappings"
    (folder / "toy").mkdir(parents=True)
    (folder / "toy" / "model.toml").write_text(MODEL)
    monkeypatch.setattr(tables, "folder", lambda: folder)

    def add(*rows: str, name: str = "one", detect: str = '"{scope}w"') -> str:
        text = DIALECT.format(title=name, detect=detect, rows="\n".join(f"  {{ {row} }}," for row in rows))
        (folder / "toy" / f"{name}.toml").write_text(text)
        return f"toy/{name}"

    return add


W = 'tf = "w", pt = "w", layout = "hidden"'


def codes(name: str) -> list[str]:
    return [problem.code for problem in check(name, coverage=False)]


@pytest.mark.parametrize("name", tables.names())
def test_the_shipped_tables_have_no_problem(name):
    assert check(name, coverage=False) == []


@pytest.mark.parametrize("name", tables.names())
@pytest.mark.slow
def test_the_shipped_tables_make_exactly_what_transformers_holds(name):
    pytest.importorskip("transformers")
    assert check(name, coverage=True) == []


@pytest.mark.slow
def test_transformers_gives_no_advice_about_the_classes_that_are_looked_at():
    pytest.importorskip("transformers")
    command = [sys.executable, "-m", "bridgeckpt", "mappings", "check", "--coverage", "bert/google"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # it says a thing once in a process
    assert (done.stdout, done.stderr) == ("bert/google: no problems\n", "")


def test_a_clean_toy(shipped):
    assert codes(shipped(W, 'tf = "x/kernel", pt = "x.weight", layout = "hidden pooled -> pooled hidden"')) == []


def test_orientation(shipped):
    rows = (W, 'tf = "x/kernel", pt = "x.weight", layout = "hidden pooled"')
    (problem,) = check(shipped(*rows), coverage=False)
    assert problem.code == "orientation"
    assert problem.message == '"hidden pooled" does not transpose {scope}x/kernel'
    assert problem.where == "mappings/toy/one.toml:13"
    assert "[in, out]" in (problem.hint or "")


def test_orientation_with_a_reason(shipped):
    row = 'tf = "x/kernel", pt = "x.weight", layout = "hidden pooled", orientation = "a lookup table"'
    assert codes(shipped(W, row)) == []


def test_merging_heads_is_no_transpose(shipped):
    row = 'tf = "x/kernel", pt = "x.weight", layout = "hidden heads head_dim -> hidden (heads head_dim)"'
    assert codes(shipped(W, row)) == ["orientation"]


@pytest.mark.parametrize(
    ("tf", "pt"), [("x/bias", "x.weight"), ("x/beta", "x.weight"), ("x/gamma", "x.bias"), ("x/kernel", "x.bias")]
)
def test_role(shipped, tf, pt):
    assert codes(shipped(W, f'tf = "{tf}", pt = "{pt}", layout = "hidden"')) == ["role"]


@pytest.mark.parametrize("layout", ["hidden (head_dim heads) -> (heads head_dim) hidden", "(head_dim heads)"])
def test_merge_order(shipped, layout):
    rows = (
        'tf = "q/kernel", pt = "q.weight", layout = "hidden (heads head_dim) -> (heads head_dim) hidden"',
        f'tf = "k", pt = "k", layout = "{layout}"',
    )
    found = check(shipped(W, *rows), coverage=False)
    assert {problem.code for problem in found} == {"merge-order"}
    assert "merges (head_dim heads), that of toy.q.weight (heads head_dim)" in found[0].message


def test_merge_order_with_a_reason(shipped):
    rows = (
        'tf = "q", pt = "q", layout = "hidden (heads head_dim)"',
        'tf = "k", pt = "k", layout = "hidden (head_dim heads)", orientation = "interleaved in that model"',
    )
    assert codes(shipped(W, *rows)) == []


@pytest.mark.parametrize(
    "row",
    [
        'tf = ["q", "k", "v"], pt = "qkv", layout = "[qkv] hidden heads -> hidden (qkv heads)"',
        'tf = "stack", pt = "{layer}.x", layout = "layer hidden -> [layer] hidden"',
        'tf = "e", pt = "e", layout = "(vocab + pad) hidden -> vocab hidden"',
        'tf = "e", pt = "e", layout = "vocab hidden -> hidden (vocab + pad)"',
        'tf = "e", pt = "e", layout = "1 hidden pooled 1 -> pooled hidden"',
    ],
)
def test_round_trip_of_every_kind_of_layout(shipped, row):
    assert codes(shipped(W, row)) == []


def test_round_trip_can_fail(shipped, monkeypatch):
    """A layout engine that reads the first of several tensors for all of them is found out."""
    name = shipped(W, 'tf = ["q", "k", "v"], pt = "qkv", layout = "[qkv] hidden -> (qkv hidden)"')
    moves = Layout.moves
    monkeypatch.setattr(
        Layout, "moves", lambda self, sizes: tuple(tuple(m._replace(source=0) for m in ms) for ms in moves(self, sizes))
    )
    (problem,) = check(name, coverage=False)
    assert problem.code == "round-trip"
    assert "[qkv] hidden -> (qkv hidden)" in problem.message


def test_dialect_agreement(shipped):
    one = shipped(W, 'tf = "x/a", pt = "x", layout = "hidden pooled"')
    rows = ('tf = "w2", pt = "w", layout = "hidden"', 'tf = "x/b", pt = "x", layout = "pooled hidden"')
    two = shipped(*rows, name="two", detect='"{scope}w2"')
    (problem,) = check(one, coverage=False)
    assert problem.code == "dialect-agreement"
    assert 'toy.x is "hidden pooled" here and "pooled hidden" in toy/two' in problem.message
    assert codes(two) == ["dialect-agreement"]


def test_dialects_may_differ_on_the_tensorflow_side(shipped):
    one = shipped(W, 'tf = "x/a", pt = "x", layout = "hidden pooled"')
    rows = ('tf = "w2", pt = "w", layout = "hidden"', 'tf = "x/b", pt = "x", layout = "pooled hidden -> hidden pooled"')
    shipped(*rows, name="two", detect='"{scope}w2"')
    assert codes(one) == []


def test_detect_of_another_dialect_matches_too(shipped):
    one = shipped(W, 'tf = "x", pt = "x", layout = "hidden"')
    shipped(W, name="two")
    (problem,) = check(one, coverage=False)
    assert (problem.code, problem.message) == ("detect", "toy/two recognises the names of toy/one too")
    shipped(W, name="two", detect='["{scope}w", "!{scope}x"]')
    assert codes(one) == []


def test_detect_names_what_no_row_has(shipped):
    (problem,) = check(shipped(W, detect='"{scope}weights"'), coverage=False)
    assert problem.code == "detect"
    assert "are not recognised by its own detect" in problem.message


def test_detect_matches_twice(shipped):
    (problem,) = check(shipped(W, 'tf = "x/w", pt = "x", layout = "hidden"'), coverage=False)
    assert "recognised 2 times by its own detect" in problem.message


def test_a_table_that_does_not_load_is_one_problem(shipped):
    (problem,) = check(shipped('tf = "x", pt = "x", layout = "hiden"'), coverage=False)
    assert problem.code == "unknown-axis"
    assert problem.where == "mappings/toy/one.toml:12"
    assert problem.message == 'layout "hiden" has an unknown axis "hiden"'
    assert problem.hint == 'did you mean "hidden"?'


def test_a_table_that_does_not_exist_is_a_problem():
    (problem,) = check("bert/gogle", coverage=False)
    assert problem.code == "reference"


def test_a_loaded_table_can_be_checked():
    assert check(load_table("bert/google"), coverage=False) == []


def test_every_code_is_explained():
    assert all(text and text[0].islower() for text in CODES.values())


# --- target-coverage --------------------------------------------------------------------------------------------------


@pytest.fixture
def bert(tmp_path, monkeypatch):
    """A copy of the shipped tables; returns a function that changes one file of it and checks bert/google."""
    pytest.importorskip("transformers")
    folder = tmp_path / "mappings"
    shutil.copytree(tables.folder(), folder)
    monkeypatch.setattr(tables, "folder", lambda: folder)

    def changed(file: str, before: str, after: str) -> list[str]:
        path = folder / "bert" / file
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
        os.utime(path, ns=(1, 1))
        found = check("bert/google", coverage=True)
        assert {problem.code for problem in found} <= {"target-coverage", "dialect-agreement"}  # with the other tables
        return [problem.message for problem in found if problem.code == "target-coverage"]

    return changed


@pytest.mark.slow
def test_coverage_of_an_unknown_class(bert):
    assert bert("model.toml", "BertForQuestionAnswering ", "BertForRiddles ") == [
        "transformers has no class BertForRiddles for bert"
    ]


@pytest.mark.slow
def test_coverage_of_a_forgotten_tie(bert):
    messages = bert("model.toml", '[[tied]]\npt = "cls.predictions.decoder.bias"\nto = "cls.predictions.bias"\n', "")
    classes = ("BertForPreTraining", "BertForMaskedLM", "BertLMHeadModel")
    assert messages == [f"no row makes cls.predictions.decoder.bias of {name}" for name in classes]


@pytest.mark.slow
def test_coverage_of_a_wrong_tie(bert):
    messages = bert("model.toml", 'to = "cls.predictions.bias"', 'to = "cls.predictions.transform.dense.bias"')
    assert messages[0] == (
        "BertForPreTraining does not tie cls.predictions.decoder.bias to cls.predictions.transform.dense.bias"
    )


@pytest.mark.slow
def test_coverage_of_a_class_without_its_pooler(bert):
    messages = bert(
        "model.toml",
        'BertForMaskedLM               = { groups = ["embeddings", "layer", "mlm"]',
        'BertForMaskedLM               = { groups = ["embeddings", "layer", "pooler", "mlm"]',
    )
    assert "BertForMaskedLM has no parameter bert.pooler.dense.weight" in messages


@pytest.mark.slow
def test_coverage_of_a_class_with_another_number_of_labels(bert):
    (weight, bias) = bert("model.toml", "sizes = { labels = 1 }", "sizes = { labels = 3 }")
    assert weight.startswith("classifier.weight is [1, ")
    assert '"labels" makes it [3]' in bias


@pytest.mark.slow
def test_coverage_of_a_shape(bert):
    (message,) = bert(
        "google.toml",
        'pt = "token_type_embeddings.weight", layout = "types embedding"',
        'pt = "token_type_embeddings.weight", layout = "positions embedding"',
    )[:1]
    assert "token_type_embeddings.weight is [" in message


def test_coverage_of_a_dialect_that_makes_no_class(shipped):
    name = shipped(W)
    (tables.folder() / "toy" / "model.toml").write_text(MODEL.replace('groups = ["body"]', 'groups = ["body", "more"]'))
    (problem,) = check(name, coverage=True)
    assert problem.message == "toy/one has the groups of no class"


def test_coverage_without_transformers(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not target_coverage.is_available()
    assert check("bert/google") == []
    with pytest.raises(BridgeckptError, match="not installed"):
        check("bert/google", coverage=True)

"""Loading mapping tables: what a well-formed one becomes, what is refused with which line, and the shipped ones."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from itertools import count, product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridgeckpt.errors import TableError
from bridgeckpt.formats.training.state import find_state
from bridgeckpt.mapping.notation.names import Names, bind
from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.mapping.tables.families import find_unsupported_model
from bridgeckpt.mapping.tables.shortlist import shortlist

if TYPE_CHECKING:
    from bridgeckpt.mapping.tables.records import Table

MODEL = """schema = 1
model = "toy"

[dims]
hidden = "hidden_size"
out = "hidden_size * 4"
heads = "num_heads"
qkv = 3
vocab = "vocab_size"
pad = "*"

[indices]
layer = "num_layers"

[architectures]
Toy = { groups = ["body"], optional = ["head"], drop_prefix = "toy." }
ToyWithTop = { groups = ["body", "top"] }
"""

TOKENIZER = """
[tokenizer]
kind = "wordpiece"
files = "vocab.txt"
normalizer = "basic"
longest_word = 9
single = "[CLS] $A [SEP]"
pair = "[CLS] $A [SEP] $B:1 [SEP]:1"
inputs = "input_ids"

[tokenizer.special]
unk_token = "[UNK]"
cls_token = "[CLS]"
sep_token = "[SEP]"
"""

CLOCK = count(1)

DIALECT = """schema = 1
title = "a toy"
detect = "{scope}w"

[wildcards]
scope = ""

[group.body]
tf = "{scope}"
pt = "toy."
rows = [
  { tf = "w", pt = "w", layout = "hidden" },
]
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "model.toml").write_text(MODEL)

    def write(text: str, name: str = "dialect.toml") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def row(text: str) -> str:
    """The toy dialect with one more row."""
    return DIALECT.replace("rows = [\n", f"rows = [\n  {{ {text} }},\n")


def texts(table: Table, group: str) -> list[tuple[str, str]]:
    return [(r.tf[0].text, r.pt[0].text) for r in table.groups[group].rows]


# --- what a table becomes ---------------------------------------------------------------------------------------------


def test_a_row_has_full_names_and_its_place(write):
    table = load_table(write(DIALECT))
    (only,) = table.groups["body"].rows
    assert (only.tf[0].text, only.pt[0].text, only.layout.text) == ("{scope}w", "toy.w", "hidden")
    assert (only.where.line, only.where.row, only.where.group) == (12, 1, "body")
    assert only.where.file == str(table.path)
    assert str(only.where) == f"{table.path}:12"
    assert (only.optional, only.fill, only.orientation, only.also) == (False, None, None, ())


def test_lines_are_found_around_comments_strings_and_blank_lines(write):
    text = row(
        'tf = "a#[b", pt = "a", layout = "hidden" },  # a comment with [ and "\n\n'
        '  { tf = "c", pt = "c", layout = "hidden"'
    )
    rows = load_table(write(text)).groups["body"].rows
    lines = text.splitlines()
    assert [lines[r.where.line - 1].strip()[:10] for r in rows] == ['{ tf = "a#', '{ tf = "c"', '{ tf = "w"']
    assert [r.where.row for r in rows] == [1, 2, 3]


def test_rows_written_over_several_lines(write):
    text = DIALECT.replace('rows = [\n  { tf = "w"', 'rows = [\n\n  # first\n  { tf = "w"')
    assert load_table(write(text)).groups["body"].rows[0].where.line == 14


def test_a_row_with_everything(write):
    text = row(
        'tf = "v", also = ["u", "t"], pt = "v", layout = "vocab hidden -> (vocab + pad) hidden", '
        'optional = true, fill = -1.5, orientation = "because"'
    ).replace('tf = "{scope}"', 'tf = "{scope}x/"\nalso = ["y/"]')
    group = load_table(write(text)).groups["body"]
    first = group.rows[0]
    assert [s[0].text for s in first.also] == ["{scope}x/u", "{scope}x/t"]
    ((other, *_),) = group.alternative_prefixes
    assert [s[0].text for s in (other.tf, *other.also)] == ["y/v", "y/u", "y/t"]
    assert (first.optional, first.fill, first.orientation) == (True, -1.5, "because")


def test_lists_of_tensors(write):
    text = row(
        'tf = ["q", "k", "v"], also = [["a", "b", "c"]], pt = "qkv", '
        'layout = "[qkv] hidden heads -> hidden (qkv heads)"'
    )
    first = load_table(write(text)).groups["body"].rows[0]
    assert [t.text for t in first.tf] == ["{scope}q", "{scope}k", "{scope}v"]
    assert [[t.text for t in s] for s in first.also] == [["{scope}a", "{scope}b", "{scope}c"]]


def test_a_stacked_tensor_has_one_name_with_the_index(write):
    text = row('tf = "stack", pt = "{layer}.x", layout = "layer hidden -> [layer] hidden"')
    assert load_table(write(text)).groups["body"].rows[0].pt[0].indices == ("layer",)


def test_suffix_ends_every_tensorflow_name(write):
    assert texts(load_table(write('suffix = ":0"\n' + DIALECT)), "body") == [("{scope}w:0", "toy.w")]


def test_a_name_that_must_be_absent_may_have_a_wildcard_of_its_own(write):
    text = DIALECT.replace('detect = "{scope}w"', 'detect = ["{scope}w", "!{any}v"]')
    table = load_table(write(text.replace('scope = ""', 'scope = ""\nany = ""')))
    assert bind(table.detect, ["a/w"], table.absent) == [{"scope": "a/"}]
    assert bind(table.detect, ["a/w", "b/v"], table.absent) == []


def test_a_wildcard_of_an_absent_name_stands_in_no_row(write):
    text = DIALECT.replace('detect = "{scope}w"', 'detect = ["{scope}w", "!{any}v"]')
    with pytest.raises(TableError, match=r"does not bind \{any\}"):
        load_table(write(text.replace('scope = ""', 'scope = ""\nany = ""').replace('tf = "{scope}"', 'tf = "{any}"')))


def test_heads_by_the_ends_of_paths(write):
    table = load_table(write(DIALECT + '\n[heads]\nspan = ["a/b", "c"]\ntoken = "d"\n'))
    assert table.heads == {"span": ("a/b", "c"), "token": ("d",)}
    with pytest.raises(TableError, match='unknown key "spam"'):
        load_table(write(DIALECT + '\n[heads]\nspam = "a"\n'))


def test_detect_with_names_that_must_be_absent(write):
    table = load_table(write(DIALECT.replace('detect = "{scope}w"', 'detect = ["{scope}w", "!{scope}v"]')))
    assert [t.text for t in table.detect] == ["{scope}w"]
    assert [t.text for t in table.absent] == ["{scope}v"]


def test_slots_take_a_name_or_a_list(write):
    table = load_table(write(DIALECT + '[slots]\nm = ["{tf}/m", "{tf}/M"]\nv = "{tf}/v"\n'))
    assert {key: [t.text for t in value] for key, value in table.slots.items()} == {
        "m": ["{tf}/m", "{tf}/M"],
        "v": ["{tf}/v"],
    }


def test_model_table(write):
    model = load_table(write(DIALECT)).model
    assert model.dims["out"].evaluate({"hidden_size": 5}) == 20
    assert model.dims["qkv"].evaluate({}) == 3
    assert model.dims["pad"].free
    assert model.indices["layer"].key == "num_layers"
    assert model.architectures["Toy"].optional == ("head",)
    assert model.architectures["Toy"].drop_prefix == "toy."


def test_what_a_model_says_of_itself(write):
    write(
        MODEL.replace('drop_prefix = "toy." }', 'drop_prefix = "toy.", load_without = { head = "add_head=False" } }')
        + '[roles]\nvocabulary = "vocab"\n[config]\nfiles = "toy.json"\nkept = ["eps"]\n'
        + '[config.options]\nheads = "num_heads"\nlayer_norm_eps = "eps"\n'
        + TOKENIZER,
        "model.toml",
    )
    table = load_table(write(DIALECT))
    model = table.model
    assert (model.roles.vocabulary, model.roles.positions, model.roles.labels) == ("vocab", None, None)
    assert model.config.options == {"heads": "num_heads", "layer_norm_eps": "eps"}
    assert model.architectures["Toy"].load_without == {"head": "add_head=False"}
    assert table.config.source.files == ("toy.json",)
    assert (table.tokenizer, table.tokenizer.frame) == (model.tokenizer, ("[CLS]", "[SEP]"))
    own = '[config.source]\nfiles = "mine.json"\n[tokenizer]\nfiles = "words.txt"\n'
    other = load_table(write(DIALECT + own))
    assert other.config.source.files == ("mine.json",)
    assert other.tokenizer == model.tokenizer._replace(files=("words.txt",))


def test_borrowed_rows_stand_under_the_own_prefixes(write):
    write(DIALECT.replace('tf = "w", pt', 'tf = "w", also = ["old"], pt'), "lender.toml")
    text = (
        DIALECT.replace("rows = [", 'use = "lender.toml.body"\nrows = [')
        .replace('{ tf = "w", pt = "w", layout = "hidden" }', '{ tf = "x", pt = "x", layout = "hidden" }')
        .replace('tf = "{scope}"', 'tf = "{scope}own/"')
        .replace('detect = "{scope}w"', 'detect = "{scope}own/w"')
    )
    table = load_table(write(text))
    assert texts(table, "body") == [("{scope}own/w", "toy.w"), ("{scope}own/x", "toy.x")]
    first, second = table.groups["body"].rows
    assert first.also[0][0].text == "{scope}own/old"
    assert Path(first.where.file).name == "lender.toml"
    assert Path(second.where.file).name == "dialect.toml"


def test_an_own_row_replaces_a_borrowed_one_in_its_place(write):
    lender = DIALECT.replace(
        'layout = "hidden" },\n', 'layout = "hidden" },\n  { tf = "v", pt = "v", layout = "hidden" },\n'
    )
    write(lender, "lender.toml")
    text = DIALECT.replace("rows = [", 'use = "lender.toml.body"\nrows = [').replace('tf = "w", pt', 'tf = "other", pt')
    assert texts(load_table(write(text)), "body") == [("{scope}other", "toy.w"), ("{scope}v", "toy.v")]


def test_a_table_on_top_of_another(write):
    write(
        DIALECT + '[slots]\nm = "{tf}/m"\n[[ignored]]\ntf = "step"\nreason = "a counter"\n'
        '[config]\neps = 1\nact = "a"\n[graph]\nnum_heads = { heads = ["{scope}body", "last"] }\n'
        '[group.top]\ntf = "top/"\npt = "top."\n'
        'rows = [{ tf = "t", pt = "t", layout = "hidden" }]\n',
        "lender.toml",
    )
    table = load_table(
        write(
            'schema = 1\ntitle = "mine"\nuse = "lender.toml"\n[[ignored]]\ntf = "extra/**"\nreason = "ours"\n'
            '[config]\neps = 2\n[group.top]\ntf = "mine/"\npt = "top."\nuse = "lender.toml.top"\n'
        )
    )
    assert table.title == "mine"
    assert texts(table, "body") == [("{scope}w", "toy.w")]
    assert texts(table, "top") == [("mine/t", "top.t")]
    assert [entry.pattern for entry in table.ignored] == ["extra/**", "step"]
    assert dict(table.config.values) == {"eps": 2, "act": "a"}
    assert [t.text for t in table.detect] == ["{scope}w"]
    assert dict(table.wildcards) == {"scope": ""}
    assert table.slots["m"][0].text == "{tf}/m"
    assert [scope.text for scope in table.graph.facts["num_heads"].scopes] == ["{scope}body", "last"]


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("global_step", ["global_step"], ["a/global_step", "global_step_1"]),
        ("**/global_step", ["global_step", "a/global_step", "a/b/global_step"], ["my_global_step", "global_step/x"]),
        ("adapter/**", ["adapter/x", "adapter/x/y"], ["a/adapter/x", "adapter"]),
        ("**/adapter/**", ["adapter/x", "a/adapter/x/y"], ["my_adapter/x", "adapter"]),
        ("{scope}extra", ["extra", "my/extra"], ["extra/x", "my/extras"]),
    ],
)
def test_ignored_patterns(write, pattern, matching, other):
    (entry,) = load_table(write(DIALECT + f'[[ignored]]\ntf = "{pattern}"\nreason = "no weight"\n')).ignored
    assert [name for name in (*matching, *other) if entry.matches(name)] == matching


def test_a_table_is_loaded_again_when_its_file_changes(write):
    import os

    lender = write(DIALECT, "lender.toml")
    path = write('schema = 1\ntitle = "mine"\nuse = "lender.toml"\n')
    assert texts(load_table(path), "body") == [("{scope}w", "toy.w")]
    lender.write_text(DIALECT.replace('pt = "w"', 'pt = "v"'))
    os.utime(lender, ns=(1, 1))
    assert texts(load_table(path), "body") == [("{scope}w", "toy.v")]


# --- what is refused --------------------------------------------------------------------------------------------------

BAD_DIALECTS = {
    "unknown key": (DIALECT.replace("title", "titel"), "schema", 2, 'unknown key "titel"'),
    "unknown key in a row": (row('tf = "x", pt = "x", layuot = "hidden"'), "schema", 12, 'unknown key "layuot"'),
    "no title": (DIALECT.replace('title = "a toy"\n', ""), "schema", 1, '"title" is missing'),
    "no schema": (DIALECT.replace("schema = 1", ""), "schema", 1, '"schema" is missing'),
    "a later schema": (DIALECT.replace("schema = 1", "schema = 2"), "schema", 1, "schema is 2"),
    "not TOML": (DIALECT.replace("rows = [", "rows = [["), "schema", 1, "is not TOML"),
    "a title that is a number": (DIALECT.replace('"a toy"', "7"), "schema", 2, '"title" is 7, not a string'),
    "rows that are text": (row('tf = "x", pt = "x", layout = 7'), "schema", 12, '"layout" in [group.body.rows] is 7'),
    "a row without a layout": (row('tf = "x", pt = "x"'), "schema", 12, '"layout" is missing'),
    "optional that is text": (
        row('tf = "x", pt = "x", layout = "hidden", optional = "yes"'),
        "schema",
        12,
        "true or false",
    ),
    "fill that is text": (row('tf = "x", pt = "x", layout = "hidden", fill = "0"'), "schema", 12, "not a number"),
    "layout syntax": (row('tf = "x", pt = "x", layout = "hidden ->> out"'), "schema", 12, 'has ">"'),
    "a brace": (row('tf = "x{", pt = "x", layout = "hidden"'), "schema", 12, "an unmatched brace"),
    "an unknown wildcard": (row('tf = "{root}x", pt = "x", layout = "hidden"'), "schema", 12, "an unknown {root}"),
    "a wildcard in pt": (row('tf = "x", pt = "{scope}x", layout = "hidden"'), "schema", 12, "an unknown {scope}"),
    "names of something else": ('names = "node"\n' + DIALECT, "schema", 1, '"names" is "node"'),
    "a fact of no config key": (
        DIALECT + '[graph]\nnum_headz = { heads = "x" }\n',
        "schema",
        15,
        'unknown key "num_headz"',
    ),
    "a fact without its computation": (
        DIALECT + '[graph]\nnum_heads = "x"\n',
        "schema",
        15,
        '"num_heads" in [graph] is not one computation and its scope',
    ),
    "a fact of an unknown computation": (
        DIALECT + '[graph]\nnum_heads = { headz = "x" }\n',
        "schema",
        15,
        'unknown key "headz"',
    ),
    "a head in a graph without a kernel": (
        DIALECT + '[graph.head]\ntoken = "x"\n',
        "schema",
        14,
        '"kernel" is missing',
    ),
    "a head in a graph of no kind": (
        DIALECT + '[graph.head]\nkernel = "x"\n',
        "schema",
        14,
        "there is no kind of head",
    ),
    "a head in a graph of an unknown kind": (
        DIALECT + '[graph.head]\nkernel = "x"\nspam = "y"\n',
        "schema",
        16,
        'unknown key "spam"',
    ),
    "a tokenizer of an unknown kind": (
        DIALECT + '[tokenizer]\nkind = "sentencepiece"\n',
        "schema",
        15,
        '"kind" in [tokenizer] is "sentencepiece"',
    ),
    "a tokenizer that says half": (DIALECT + '[tokenizer]\nkind = "wordpiece"\n', "schema", 14, '"files" is missing'),
    "a repeated axis": (row('tf = "x", pt = "x", layout = "hidden hidden"'), "repeated-axis", 12, '"hidden" twice'),
    "a lost axis": (row('tf = "x", pt = "x", layout = "hidden out -> out"'), "one-sided-axis", 12, '"hidden" is only'),
    "an unknown axis": (row('tf = "x", pt = "x", layout = "hiden"'), "unknown-axis", 12, 'unknown axis "hiden"'),
    "an index on one side": (
        row('tf = "{layer}/x", pt = "x", layout = "hidden"'),
        "index-mismatch",
        12,
        "{layer} is in only one",
    ),
    "a list without an axis": (
        row('tf = ["x", "y"], pt = "x", layout = "hidden"'),
        "index-mismatch",
        12,
        "a list of 2 without",
    ),
    "a list of another length": (
        row('tf = ["x", "y"], pt = "x", layout = "[qkv] hidden -> qkv hidden"'),
        "index-mismatch",
        12,
        "lists 2, and qkv is 3",
    ),
    "a stack without its index": (
        row('tf = "x", pt = "x", layout = "layer hidden -> [layer] hidden"'),
        "index-mismatch",
        12,
        "is not one name with {layer}",
    ),
    "another spelling of another length": (
        row('tf = ["x", "y", "z"], also = [["a", "b"]], pt = "x", layout = "[qkv] hidden -> qkv hidden"'),
        "schema",
        12,
        "a list of lists of 3 names",
    ),
    "one parameter twice": (
        row('tf = "x", pt = "w", layout = "hidden"'),
        "duplicate-name",
        8,
        '"toy.w" is in two rows',
    ),
    "one variable twice": (
        row('tf = "w", pt = "x", layout = "hidden"'),
        "duplicate-name",
        8,
        '"{scope}w" is in two rows',
    ),
    "an open wildcard": (DIALECT.replace('detect = "{scope}w"', 'detect = "w"'), "detect", 3, "does not bind {scope}"),
    "detect without a name": (DIALECT.replace('"{scope}w"', '"!x"'), "detect", 3, 'has no name without "!"'),
    "ignored without a reason": (DIALECT + '[[ignored]]\ntf = "x"\n', "reason", 14, '"reason" is missing or empty'),
    "an empty reason": (
        DIALECT + '[[ignored]]\ntf = "x"\nreason = " "\n',
        "reason",
        14,
        '"reason" is missing or empty',
    ),
    "an orientation without words": (
        row('tf = "x", pt = "x", layout = "hidden", orientation = ""'),
        "reason",
        12,
        '"orientation" is missing or empty',
    ),
    "** in the middle": (DIALECT + '[[ignored]]\ntf = "a/**/b"\nreason = "x"\n', "schema", 15, "** in the middle"),
    "a group of no class": (DIALECT.replace("group.body", "group.boddy"), "reference", 8, "no class of"),
    "use of a table that is not there": (
        DIALECT.replace("rows = [", 'use = "bert/googel.layer"\nrows = ['),
        "reference",
        11,
        'no mapping table "bert/googel"',
    ),
    "use of a group that is not there": (
        DIALECT.replace("rows = [", 'use = "bert/google.layers"\nrows = ['),
        "reference",
        11,
        'has no group "layers"',
    ),
    "use without a group": (
        DIALECT.replace("rows = [", 'use = "google"\nrows = ['),
        "reference",
        11,
        '"use" is "google"',
    ),
    "a group that borrows from itself": (
        DIALECT.replace("rows = [", 'use = "dialect.toml.body"\nrows = ['),
        "reference",
        11,
        "borrows from itself",
    ),
    "a table that builds on itself": (
        DIALECT.replace("title", 'use = "dialect.toml"\ntitle'),
        "reference",
        2,
        "borrows from itself",
    ),
    "a suffix that is the lender's": (
        DIALECT.replace("title", 'use = "bert/google"\nsuffix = ":0"\ntitle'),
        "schema",
        3,
        '"suffix" is inherited from the table',
    ),
    "another model that is not there": (
        'model = "bort/model"\n' + DIALECT,
        "reference",
        1,
        'no mapping table "bort/model"',
    ),
}


@pytest.mark.parametrize("case", BAD_DIALECTS)
def test_refused_with_file_and_line(write, case):
    text, code, line, says = BAD_DIALECTS[case]
    path = write(text)
    with pytest.raises(TableError) as caught:
        load_table(path)
    assert says in caught.value.message
    assert caught.value.code == code
    assert caught.value.where == (str(path) if "not TOML" in case else f"{path}:{line}")


BAD_MODELS = {
    "unknown key": (MODEL.replace("[dims]", "[dim]"), "schema", 'unknown key "dim"'),
    "an expression": (
        MODEL.replace("hidden_size * 4", "hidden_size *"),
        "schema",
        "ends where a name or number belongs",
    ),
    "a size that is a fraction": (MODEL.replace("qkv = 3", "qkv = 3.5"), "schema", '"qkv" is 3.5'),
    "an axis that is an index": (
        MODEL.replace('heads = "num_heads"', 'layer = "num_heads"'),
        "schema",
        "both an axis and an index",
    ),
    "a tie without a twin": (MODEL + '[[tied]]\npt = "a"\n', "schema", '"to" is missing'),
    "a buffer of unknown content": (
        MODEL + '[[derived]]\npt = "a"\nvalue = "sevens"\nlayout = "hidden"\nreason = "r"\n',
        "schema",
        '"value" is "sevens"',
    ),
    "a buffer without a reason": (
        MODEL + '[[derived]]\npt = "a"\nvalue = "zeros"\nlayout = "hidden"\n',
        "reason",
        '"reason" is missing or empty',
    ),
    "a buffer of unknown size": (
        MODEL + '[[derived]]\npt = "a"\nvalue = "zeros"\nlayout = "hiden"\nreason = "r"\n',
        "unknown-axis",
        "did you mean",
    ),
    "an unknown head": (
        MODEL.replace('["body", "top"] }', '["body", "top"], head = "word" }'),
        "schema",
        '"head" is "word"',
    ),
    "sizes of an unknown axis": (
        MODEL.replace('["body", "top"] }', '["body", "top"], sizes = { labls = 1 } }'),
        "unknown-axis",
        '"labls"',
    ),
    "a role of an unknown axis": (MODEL + '[roles]\nlabels = "labls"\n', "unknown-axis", '"labels" is "labls"'),
    "an unknown role": (MODEL + '[roles]\nheads = "heads"\n', "schema", 'unknown key "heads"'),
    "an unknown option": (MODEL + '[config.options]\nepsilon = "eps"\n', "schema", 'unknown key "epsilon"'),
    "an option that is a number": (
        MODEL + "[config.options]\nheads = 3\n",
        "schema",
        '"heads" in [config.options] is 3',
    ),
    "how to load without a group that is needed": (
        MODEL.replace('drop_prefix = "toy." }', 'drop_prefix = "toy.", load_without = { body = "x=1" } }'),
        "schema",
        'unknown key "body"',
    ),
    "a longest word that is text": (
        MODEL + TOKENIZER.replace("longest_word = 9", 'longest_word = "9"'),
        "schema",
        "\"longest_word\" in [tokenizer] is '9', not a whole number above 0",
    ),
    "a normalizer that is not there": (
        MODEL + TOKENIZER.replace('"basic"', '"nfkc"'),
        "schema",
        '"normalizer" in [tokenizer] is "nfkc"',
    ),
    "a tokenizer without an unknown token": (
        MODEL + TOKENIZER.replace('unk_token = "[UNK]"', ""),
        "schema",
        '"unk_token" is missing in [tokenizer.special]',
    ),
    "a frame of a token that is not special": (
        MODEL + TOKENIZER.replace("[CLS] $A [SEP] $B", "[CLS] $A [BOS] $B"),
        "schema",
        '"pair" has "[BOS]", which is not a special token',
    ),
    "a wildcard in a parameter": (MODEL + '[[tied]]\npt = "{scope}a"\nto = "b"\n', "schema", "may hold only indices"),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_model_refused(write, case):
    text, code, says = BAD_MODELS[case]
    path = write(DIALECT)
    write(text, "model.toml")
    with pytest.raises(TableError) as caught:
        load_table(path)
    assert says in str(caught.value)
    assert caught.value.code == code
    assert caught.value.message.startswith(f"{path.parent / 'model.toml'}:")


def test_no_model_beside_a_users_table(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(DIALECT)
    with pytest.raises(TableError) as caught:
        load_table(path)
    assert 'add  model = "bert/model"' in str(caught.value)


def test_a_mistyped_key_gets_the_nearest_one(write):
    with pytest.raises(TableError) as caught:
        load_table(write(row('tf = "x", pt = "x", layuot = "hidden"')))
    assert caught.value.hint == 'did you mean "layout"?'


def test_a_mistyped_name_gets_the_nearest_one():
    with pytest.raises(TableError) as caught:
        load_table("bert/gogle")
    assert "did you mean bert/google?" in str(caught.value)
    assert "bert/google_keras" in str(caught.value)


@pytest.mark.parametrize("name", ["bert/model", Path("nowhere.toml"), "nowhere.toml", "", "..", "bert"])
def test_names_that_are_no_dialect(name):
    with pytest.raises(TableError):
        load_table(name)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(DIALECT) - 1), st.integers(0, 3), st.text(alphabet='[]{}"=,#*/ a1\n{', max_size=3))
def test_a_table_with_any_slip_loads_or_is_refused(write, at, cut, typed):
    import os

    path = write(DIALECT[:at] + typed + DIALECT[at + cut :])
    os.utime(path, ns=(0, next(CLOCK)))  # tables are read again when their time changes
    try:
        load_table(path)
    except TableError as error:
        assert str(path) in error.message


def test_nesting_that_exhausts_the_stack(write):
    with pytest.raises(TableError, match="is not TOML"):
        load_table(write("a = " + "[" * 20_000))


def test_not_text(tmp_path):
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TableError, match="is not UTF-8 text"):
        load_table(path)


# --- the shipped tables -----------------------------------------------------------------------------------------------


def test_digest_is_that_of_the_file():
    from hashlib import sha256

    table = load_table("bert/google")
    for name in ("google.toml", "model.toml"):
        expected = sha256((tables.folder() / "bert" / name).read_bytes()).hexdigest()
        assert table.summary.digests[f"mappings/bert/{name}"] == expected
    keras = load_table("bert/google_keras")
    assert keras.summary.digests.keys() > table.summary.digests.keys()  # what it borrows from is in it


def test_names_of_the_shipped_tables():
    assert {"bert/google", "bert/google_keras"} <= set(tables.names())
    assert "bert/model" not in tables.names()
    assert load_table("bert/google").name == "bert/google"


def test_shipped_rows_point_at_their_line_in_the_checkout():
    rows = load_table("bert/google").groups["layer"].rows
    lines = (tables.folder() / "bert/google.toml").read_text().splitlines()
    assert rows[13].where.file == "mappings/bert/google.toml"
    assert '"output/dense/bias"' in lines[rows[13].where.line - 1]
    assert len(rows) == 16


def expanded(table: Table, names: Names, wildcards: dict[str, str], layers: int) -> dict[str, str]:
    """Every name of the checkpoint that a row finds, and the PyTorch name it becomes."""
    found: dict[str, str] = {}
    for group in table.groups.values():
        for r in group.rows:
            for numbers in product(range(layers), repeat=len(r.pt[0].indices)):
                values = {**wildcards, **dict(zip(r.pt[0].indices, numbers, strict=True))}
                for spelling in (r.tf, *r.also):
                    if name := names.find(spelling[0], values):
                        found.setdefault(name, r.pt[0].render(values))
                        break
    return found


SPECS = [
    {"port": "google", "head": "pretraining", "slots": "adamw", "ema": True},
    {"port": "google", "head": "squad", "slots": "lamb", "scope": "my_model/"},
    {"port": "google", "head": "classifier", "slots": "adam"},
    {"port": "google", "head": "token", "slots": "momentum"},
    {"port": "keras", "head": "pretraining", "slots": "contrib_adamw", "pooler": True},
    {"port": "keras_dense", "head": "mlm", "pooler": False, "slots": "adamw"},
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: "-".join(map(str, spec.values())))
def test_every_variable_that_tensorflow_wrote_is_known(built, spec):
    """Each name of a checkpoint that TensorFlow wrote is one weight's, a slot's, bookkeeping, or ignored."""
    checkpoint = built(**spec, layers=2)
    names = Names(checkpoint.variables)
    dialects = [load_table(name) for name in tables.names()]
    recognised = [(table, bound) for table in dialects if (bound := bind(table.detect, names))]
    ((table, (wildcards,)),) = recognised
    assert table.name == ("bert/google" if spec["port"] == "google" else "bert/google_keras")
    assert wildcards == {"scope": spec.get("scope", "")}
    found = expanded(table, names, wildcards, 2)
    assert len(set(found.values())) == len(found)
    left = []
    bookkeeping = find_state({name: array.shape for name, array in checkpoint.variables.items()}, {}, ()).bookkeeping
    for name in set(names) - bookkeeping.keys():
        slot = any(
            name == template.render({"tf": weight})
            for weight in found
            for ts in table.slots.values()
            for template in ts
        )
        if name not in found and not slot and not any(entry.matches(name) for entry in table.ignored):
            left.append(name)
    assert left == []
    weights = 5 + 16 * 2 + 2 * spec.get("pooler", True) + {"pretraining": 7, "mlm": 5}.get(spec["head"], 2)
    assert len(found) == weights


def test_shapes_of_tensorflow_variables_are_those_of_the_layouts(built):
    checkpoint = built(port="google", head="pretraining", slots="adamw", ema=True, layers=2)
    spec, table = checkpoint.spec, load_table("bert/google")
    config = {**checkpoint.spec.bert_config}
    sizes = {axis: e.evaluate(config) for axis, e in table.model.dims.items() if not e.free}
    for group in ("embeddings", "layer", "pooler", "mlm", "nsp"):
        for r in table.groups[group].rows:
            name = r.tf[0].render({"scope": "", "layer": 0})
            assert checkpoint.variables[name].shape == r.layout.tf.shape(sizes), name
    assert spec.hidden == sizes["hidden"]


def test_planning_and_loading_need_the_standard_library_only():
    code = (
        "import sys; from bridgeckpt.mapping.tables.dialect import load_table; load_table('bert/google_keras');"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'numpy', 'torch', 'tensorflow', 'transformers', 'ml_dtypes', 'hashlib', 'tempfile', 'difflib'}))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tables.folder().parent
    )
    assert out.stdout.strip() == "[]"


# The shortlist


def test_only_tables_whose_names_may_be_there_are_loaded():
    google = "my/bert/encoder/layer_0/attention/output/LayerNorm/gamma"
    assert "bert/google" in shortlist({"key": [google], "variable": [google]})
    port = "bert/encoder/layer_0/attention/output/layer_normalization_4/gamma"
    assert "bert/google" not in shortlist({"key": [port], "variable": [port]})
    assert shortlist({"key": [], "variable": []}) == []


def test_every_table_is_on_the_shortlist_of_what_it_is_recognised_by():
    for name in tables.names():
        table = load_table(name)
        written = [
            template.render({**dict.fromkeys(template.wildcards, ""), **dict.fromkeys(template.indices, 0)})
            for template in table.detect
        ]
        assert name in shortlist({"key": [], "variable": [], table.names: written})


def test_a_table_that_cannot_be_read_is_not_ruled_out(monkeypatch, tmp_path):
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "broken.toml").write_text("schema = \n[group.x]\n")
    monkeypatch.setattr(tables, "folder", lambda: tmp_path)
    assert shortlist({"key": ["x"], "variable": ["x"]}) == ["bert/broken"]


# What each code's own checkpoints hold, and what it is called.
BERT4KERAS = [
    "Transformer-0-MultiHeadSelfAttention_1/dense_13/kernel",
    "Transformer-0-MultiHeadSelfAttention_1/dense_13/bias",
]
BERT4KERAS += ["Embedding-Norm_1/gamma", "Embedding-Position_1/embeddings", "Embedding-Segment_1/embeddings"]
TAPAS = ["bert/embeddings/position_embeddings", "bert/embeddings/word_embeddings"]


@pytest.mark.parametrize(
    ("names", "title"),
    [
        (["global_step", "my/model/h0/attn/c_attn/w"], r"GPT-2 \(openai/gpt-2\)"),
        (["supermodel/h0/attn/c_attn/w"], None),
        ([], None),
        (["my/" + name for name in (*TAPAS, "bert/embeddings/token_type_embeddings_1")], "TAPAS"),
        (TAPAS, None),
        (TAPAS[1:], "NEZHA .* or RoFormer"),
        (["my/" + TAPAS[1], TAPAS[0]], "NEZHA .* or RoFormer"),
        (["bert/encoder/layer_shared/intermediate/dense/kernel"], "ALBERT in brightmart/albert_zh"),
        (["lm/char_embed", "lm/CNN/W_cnn_0"], "ELMo"),
        (["CNN_high_0/W_carry"], "ELMo"),
        (BERT4KERAS, None),
        (BERT4KERAS[2:], None),
        ([name for name in BERT4KERAS if "Position" not in name], "RoFormer of bert4keras"),
        ([name for name in BERT4KERAS if "bias" not in name], "RoFormer v2 of bert4keras"),
        ([name for name in BERT4KERAS if "Norm" not in name], "GPT of bert4keras"),
        ([name for name in BERT4KERAS if "Segment" not in name], "without token type embeddings"),
        ([*BERT4KERAS, "Embedding-Relative-Position/embeddings"], "NEZHA of bert4keras"),
        ([*BERT4KERAS, "Student-Attention-UniLM-Mask"], "UniLM of bert4keras"),
        ([*BERT4KERAS, "Embedding-Norm_1/dense_25/kernel"], "conditional layer norms"),
        (["Transformer-MultiHeadSelfAttention/dense_1/kernel"], "ALBERT of bert4keras"),
        (["layers/multi_head_attention_3/q_dense/vars/0"], "bert4keras in a file of Keras' own"),
        (["Dense-MLM_1/kernel"], "keras-bert before 0.17"),
    ],
)
def test_models_without_a_table_are_known_by_their_names(names, title):
    found = find_unsupported_model(names)
    assert (found is None) if title is None else re.search(title, found.title)


def test_a_listed_model_that_counts_only_where_no_table_reads_the_names():
    names = ["layers/tf_bert_main_layer/encoder/layer/tf_bert_layer/attention/self_attention/query/vars/0"]
    assert find_unsupported_model(names, unread=False) is None
    found = find_unsupported_model(names)
    assert "TensorFlow class of transformers" in found.title
    assert "save_pretrained" in found.hint


@pytest.mark.parametrize("name", tables.names())
def test_a_table_is_a_value_that_pickles(name):
    table = load_table(name)
    assert pickle.loads(pickle.dumps(table)) == table

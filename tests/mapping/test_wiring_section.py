"""``[wiring]`` of a model's table: its notation, and that it names parts that the model has."""

from __future__ import annotations

import pytest

from bridgeckpt.mapping.notation.errors import LintError
from bridgeckpt.mapping.tables import library
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.mapping.tables.model import shipped_models
from bridgeckpt.mapping.tables.wiring import Reading, names_in, parse_reading


def bare(reading: Reading) -> object:
    """A reading without templates, as nested tuples."""
    return reading.name or (reading.function, *map(bare, reading.operands))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b", "a.b"),
        ("a + b.{layer - 1}.c + d", ("+", "a", "b.{layer - 1}.c", "d")),
        ("tanh( first(a+b) )", ("tanh", ("first", ("+", "a", "b")))),
        ("attention(q, k, v, size) + x", ("+", ("attention", "q", "k", "v", "size"), "x")),
    ],
)
def test_the_notation(text, expected):
    assert bare(parse_reading(text, ["layer"])) == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "ends where a name belongs"),
        ("a +", "ends where a name belongs"),
        ("a + )", 'has ")" where a name belongs'),
        ("act(a", 'has no ")"'),
        ("act(a, b)", 'has "act" of 2'),
        ("relu(a)", 'has "relu" of 1'),
        ("a b", 'has "b" after its end'),
        ("a & b", "cannot be read from position 1"),
    ],
)
def test_what_is_malformed_is_told(text, fault):
    with pytest.raises(LintError) as caught:
        parse_reading(text, ())
    assert fault in caught.value.reason


def test_every_part_is_one_of_the_model():
    models = {name: model for name, model in shipped_models().items() if model.wiring.rows}
    assert models
    tables = [load_table(name) for name in library.names()]
    for name, model in models.items():
        parameters = [pt.text for table in tables if table.model.model == name for row in table.rows for pt in row.pt]
        parts = {text.rpartition(".")[0] for text in (*parameters, *(tied.pt.text for tied in model.tied))}
        read = {one.replace("{layer - 1}", "{layer}") for row in model.wiring.rows for one in names_in(row.reads)}
        written = {row.part.text for row in model.wiring.rows}
        assert read | written | {model.wiring.start} <= parts | model.dims.keys()

"""``[wiring]`` of a model's table: what each part of the model is computed from, as the classes compute it.

A part is a module of the PyTorch model with parameters, by its name in the rows. ``rows`` say what it reads, in a small
notation::

    a + b                    the sum of what two parts give
    act(a)                   any function of each single number: the activation in the config
    tanh(a)                  this function of each single number
    first(a)                 the first token
    tokens(a)                all tokens, or those that the inputs choose
    attention(q, k, v, d)    softmax(q k^T / sqrt(d) + mask) v, where ``d`` is an axis

``{layer}`` in a part's name makes one row stand for all layers. In a part that has no ``{layer}``, it is the last one.
``start`` is the part that stands where a name has the layer -1, before the first. ``head`` limits a row to classes with
these heads. ``gives`` says what is done with a part's output before anything else reads it: ``tanh``, or ``linear`` for
nothing. ``causal`` is the config key with which attention hides later tokens.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import TableError
from bridgeckpt.mapping.notation.errors import LintError
from bridgeckpt.mapping.notation.templates import Template
from bridgeckpt.mapping.tables.graph import HEADS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from bridgeckpt.mapping.tables.document import Section

FUNCTIONS = {"act": 1, "tanh": 1, "first": 1, "tokens": 1, "attention": 4}  # with the number of their arguments
GIVEN = ("", "linear", "tanh")
_TOKEN = re.compile(r"\s*((?:[\w.]|\{[^{}]*\})+|[+(),])")


class Reading(NamedTuple):
    """What a part reads: a ``function`` of ``operands``, their sum ("+"), or the output of the part ``name`` ("")."""

    function: str
    operands: tuple[Reading, ...] = ()
    name: str = ""
    template: Template | None = None


class WiringRow(NamedTuple):
    """What one part reads; of several layers, what each of them reads. ``heads`` are () for every class.

    ``gives`` is the function of each number of its output that all else is computed from; "" if that is not looked at.
    """

    part: Template
    reads: Reading
    heads: tuple[str, ...] = ()
    gives: str = ""


class Wiring(NamedTuple):
    """What the parts of a model read. ``causal`` is the config key with which its attention hides later tokens."""

    rows: tuple[WiringRow, ...] = ()
    start: str = ""
    causal: str = ""


def load_wiring(section: Section, indices: Collection[str]) -> Wiring:
    """Load ``[wiring]``.

    Raises:
        TableError: it is malformed.
    """
    section.allow_only("start", "causal", "rows")
    rows = []
    for row in section.tables("rows"):
        row.allow_only("part", "reads", "head", "gives")
        try:
            part, reads = Template.parse(row.text("part"), indices), parse_reading(row.text("reads"), indices)
        except TableError as error:
            raise row.with_place(error) from None
        heads = row.texts("head", ())
        if unknown := [head for head in heads if head not in HEADS]:
            raise row.error("schema", f'"head" has "{unknown[0]}"', hint=f"one of {', '.join(HEADS)}")
        rows.append(WiringRow(part, reads, heads, row.choice("gives", GIVEN, "")))
    return Wiring(tuple(rows), section.text("start", ""), section.text("causal", ""))


def parse_reading(text: str, indices: Collection[str]) -> Reading:
    """Parse the notation.

    Raises:
        LintError: it is malformed.
    """
    tokens = list(_tokens(text))
    reading = _sum(text, tokens, indices)
    if tokens:
        raise _malformed(text, f'has "{tokens[0]}" after its end')
    return reading


def names_in(reading: Reading) -> Iterator[str]:
    """The names in it: those of parts, and of axes."""
    if not reading.function:
        yield reading.name
    for operand in reading.operands:
        yield from names_in(operand)


def _tokens(text: str) -> Iterator[str]:
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _malformed(text, f"cannot be read from position {position}")
        yield match[1]
        position = match.end()


def _sum(text: str, tokens: list[str], indices: Collection[str]) -> Reading:
    terms = [_term(text, tokens, indices)]
    while tokens and tokens[0] == "+":
        tokens.pop(0)
        terms.append(_term(text, tokens, indices))
    return terms[0] if len(terms) == 1 else Reading("+", tuple(terms))


def _term(text: str, tokens: list[str], indices: Collection[str]) -> Reading:
    name = tokens.pop(0) if tokens else ""
    if not name or name in "+(),":
        raise _malformed(text, f'has "{name}" where a name belongs' if name else "ends where a name belongs")
    if not tokens or tokens[0] != "(":
        return Reading("", (), name, Template.parse(name, indices))
    operands = []
    while tokens and tokens[0] in "(,":
        tokens.pop(0)
        operands.append(_sum(text, tokens, indices))
    if not tokens or tokens.pop(0) != ")":
        raise _malformed(text, 'has no ")" at the end of its arguments')
    if FUNCTIONS.get(name) != len(operands):
        known = ", ".join(f"{function} of {count}" for function, count in FUNCTIONS.items())
        raise _malformed(text, f'has "{name}" of {len(operands)}; the known ones are {known}')
    return Reading(name, tuple(operands))


def _malformed(text: str, fault: str) -> LintError:
    return LintError("schema", f'reading "{text}" {fault}', hint='as in "first(encoder) + act(dense)"')

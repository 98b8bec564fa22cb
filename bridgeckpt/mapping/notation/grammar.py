"""Parses the text of a layout into its two sides. :mod:`bridgeckpt.mapping.notation.layout` describes the grammar."""

from __future__ import annotations

import re

from bridgeckpt.mapping.notation.errors import LintError
from bridgeckpt.mapping.notation.sides import Side, Term

_TOKEN = re.compile(r"\s*(->|[A-Za-z_][A-Za-z0-9_]*|1(?![0-9A-Za-z_])|[()\[\]+])")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def parse_sides(text: str) -> tuple[Side, Side]:
    """The sides left and right of the arrow.

    Raises:
        TableError: the text is malformed, an axis is twice on a side, or the sides have different axes.
    """
    tokens = _tokenize(text)
    if tokens.count("->") > 1:
        raise LintError("schema", f'layout "{text}" has two arrows', hint="write  tf axes -> pt axes")
    arrow = tokens.index("->") if "->" in tokens else None
    left = _parse_side(tokens[:arrow], text)
    right = left if arrow is None else _parse_side(tokens[arrow + 1 :], text)
    if arrow is None and left.listed:
        raise LintError("schema", f'layout "{text}" has a list on both sides', hint="write both sides and the arrow")
    _check_same_axes(left, right, text)
    return left, right


def _tokenize(text: str) -> list[str]:
    tokens, position = [], 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise LintError(
                "schema",
                f'layout "{text}" has "{text[position:].strip()[0]}" at position {position}',
                hint='a layout holds axis names, 1, ( ), [ ], + and ->, as in "in out -> out in"',
            )
        tokens.append(match[1])
        position = match.end()
    return tokens


def _parse_side(tokens: list[str], text: str) -> Side:
    listed, rest = None, list(tokens)
    if rest[:1] == ["["]:
        if len(rest) < 3 or not _IDENTIFIER.match(rest[1]) or rest[2] != "]":
            raise LintError(
                "schema",
                f'layout "{text}": "[" takes one axis name and "]"',
                hint='as in "[qkv] hidden -> (qkv hidden)"',
            )
        listed, rest = rest[1], rest[3:]
    terms: list[Term] = []
    while rest:
        symbol = rest.pop(0)
        if symbol == "(":
            if ")" not in rest:
                raise LintError("schema", f'layout "{text}" has "(" without ")"')
            end = rest.index(")")
            terms.append(_parse_merged(rest[:end], text))
            del rest[: end + 1]
        elif symbol == "1":
            terms.append(Term(()))
        elif _IDENTIFIER.match(symbol):
            terms.append(Term((symbol,)))
        else:
            raise LintError("schema", f'layout "{text}" has "{symbol}" where an axis name, 1 or "(" belongs')
    side = Side(listed, tuple(terms))
    names = [*filter(None, [listed]), *side.axes, *side.pads.values()]
    for name in names:
        if names.count(name) > 1:
            raise LintError(
                "repeated-axis",
                f'layout "{text}" names the axis "{name}" twice on one side',
                hint="give the second role its own name and size, "
                f'as in "hidden pooled -> pooled hidden" with pooled = "{name}_size" in [dims]',
            )
    return side


def _parse_merged(tokens: list[str], text: str) -> Term:
    if len(tokens) == 3 and tokens[1] == "+" and _IDENTIFIER.match(tokens[0]) and _IDENTIFIER.match(tokens[2]):
        return Term((tokens[0],), tokens[2])
    if tokens and all(_IDENTIFIER.match(token) for token in tokens):
        return Term(tuple(tokens))
    raise LintError(
        "schema",
        f'layout "{text}" has "({" ".join(tokens)})"',
        hint='inside ( ) write axis names, slowest first, or one axis + its padding, as in "(vocab + pad)"',
    )


def _check_same_axes(left: Side, right: Side, text: str) -> None:
    names = [{*side.axes, *filter(None, [side.listed])} for side in (left, right)]
    if one_sided := sorted(names[0] ^ names[1]):
        where = "left" if one_sided[0] in names[0] else "right"
        raise LintError(
            "one-sided-axis",
            f'layout "{text}": the axis "{one_sided[0]}" is only on the {where} side',
            hint="both sides have the same axes; only the padding after a + and the unit axis 1 may be on one side",
        )
    for side, other in ((left, right), (right, left)):
        for axis, pad in side.pads.items():
            if pad in names[0]:
                raise LintError("schema", f'layout "{text}": the padding "{pad}" is also an axis')
            if axis in other.pads:
                raise LintError(
                    "schema", f'layout "{text}": "{axis}" is padded on both sides', hint="padding belongs to one side"
                )
            if other.listed == axis:
                raise LintError("schema", f'layout "{text}": the padded axis "{axis}" is a list on the other side')

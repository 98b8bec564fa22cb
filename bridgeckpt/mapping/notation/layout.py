"""The layout notation: the axes of a TensorFlow tensor and of its PyTorch counterpart, and the copies between them.

::

    layout = side [ "->" side ]                 one side alone: both sides are equal
    side   = [ "[" axis "]" ] { term }
    term   = axis | "1" | "(" axis { axis } ")" | "(" axis "+" axis ")"

The notation is einops' (Rogozhnikov, "Einops: Clear and Reliable Tensor Manipulations with Einstein-like Notation",
ICLR 2022) with ``[axis]`` for a list of tensors and ``+`` for padding; a side without terms is a scalar. This module
parses layouts and, given the sizes of the axes, makes :class:`~bridgeckpt.moves.Move` records. It reads no tensors.
"""

from __future__ import annotations

import re
from functools import cache
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.mapping.notation.errors import LintError
from bridgeckpt.moves import Move

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TOKEN = re.compile(r"\s*(->|[A-Za-z_][A-Za-z0-9_]*|1(?![0-9A-Za-z_])|[()\[\]+])")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Term(NamedTuple):
    """A dimension of a tensor: the axes merged into it (slowest first; empty for ``1``), and its padding axis."""

    axes: tuple[str, ...]
    pad: str | None = None

    def __str__(self) -> str:
        if self.pad:
            return f"({self.axes[0]} + {self.pad})"
        if not self.axes:
            return "1"
        return self.axes[0] if len(self.axes) == 1 else f"({' '.join(self.axes)})"

    def size(self, sizes: Mapping[str, int]) -> int:
        """Number of elements along this dimension."""
        return prod(sizes[axis] for axis in self.axes) + (sizes[self.pad] if self.pad else 0)


class Side(NamedTuple):
    """One half of a layout: the axis that runs over a list of tensors (or None), and the dimensions of each of them."""

    listed: str | None
    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return " ".join([f"[{self.listed}]"] * bool(self.listed) + [str(term) for term in self.terms])

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes inside each tensor, slowest first, without the listed one and without padding."""
        return tuple(axis for term in self.terms for axis in term.axes)

    @property
    def pads(self) -> dict[str, str]:
        """The axis that counts the padding, by padded axis."""
        return {term.axes[0]: term.pad for term in self.terms if term.pad}

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Shape of each tensor on this side."""
        return tuple(term.size(sizes) for term in self.terms)

    def split_shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Shape with one dimension per axis, to which the tensor is reshaped before axes move."""
        pads = self.pads
        return tuple(sizes[axis] + (sizes[pads[axis]] if axis in pads else 0) for axis in self.axes)


class Layout(NamedTuple):
    """A parsed layout; ``tf`` is the side left of the arrow and ``pt`` the one right of it."""

    text: str
    tf: Side
    pt: Side

    @classmethod
    def parse(cls, text: str) -> Layout:
        """Parse the notation.

        Raises:
            TableError: the text is malformed, an axis is twice on a side, or the sides have different axes.
        """
        return _parse(text)

    @property
    def axes(self) -> tuple[str, ...]:
        """Every axis name in order of appearance, with listed axes and padding."""
        names: dict[str, None] = {}
        for side in (self.tf, self.pt):
            names.update(dict.fromkeys(filter(None, [side.listed])))
            for term in side.terms:
                names.update(dict.fromkeys(term.axes + ((term.pad,) if term.pad else ())))
        return tuple(names)

    @property
    def moves_axes(self) -> bool:
        """Whether any axis changes its place between the sides (a transpose, for any sizes)."""
        shared = [axis for axis in self.tf.axes if axis in self.pt.axes]
        return shared != [axis for axis in self.pt.axes if axis in shared]

    def reversed(self) -> Layout:
        """The inverse: PyTorch on the left."""
        return Layout(f"{self.pt} -> {self.tf}", self.pt, self.tf)

    def moves(self, sizes: Mapping[str, int]) -> tuple[tuple[Move, ...], ...]:
        """For each target (``pt``) tensor, the copies that fill it; ``sizes`` has the length of each axis."""
        targets = range(sizes[self.pt.listed]) if self.pt.listed else (0,)
        return tuple(tuple(self._moves_to(target, sizes)) for target in targets)

    def _moves_to(self, target: int, sizes: Mapping[str, int]) -> Iterator[Move]:
        if self.tf.listed and self.tf.listed == self.pt.listed:
            sources: range | tuple[int, ...] = (target,)
        else:
            sources = range(sizes[self.tf.listed]) if self.tf.listed else (0,)
        kept = [axis for axis in self.tf.axes if axis != self.pt.listed]
        order = tuple(kept.index(axis) for axis in self.pt.axes if axis != self.tf.listed)
        for source in sources:
            yield Move(
                source,
                self.tf.split_shape(sizes),
                tuple(target if axis == self.pt.listed else slice(0, sizes[axis]) for axis in self.tf.axes),
                order,
                self.pt.split_shape(sizes),
                tuple(source if axis == self.tf.listed else slice(0, sizes[axis]) for axis in self.pt.axes),
            )


@cache
def _parse(text: str) -> Layout:
    tokens = _tokenize(text)
    if tokens.count("->") > 1:
        raise LintError("schema", f'layout "{text}" has two arrows', hint="write  tf axes -> pt axes")
    arrow = tokens.index("->") if "->" in tokens else None
    left = _parse_side(tokens[:arrow], text)
    right = left if arrow is None else _parse_side(tokens[arrow + 1 :], text)
    if arrow is None and left.listed:
        raise LintError("schema", f'layout "{text}" has a list on both sides', hint="write both sides and the arrow")
    _check_same_axes(left, right, text)
    return Layout(text, left, right)


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

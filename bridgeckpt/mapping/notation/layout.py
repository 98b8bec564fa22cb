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

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.mapping.notation.grammar import parse_sides
from bridgeckpt.moves import Move

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridgeckpt.mapping.notation.sides import Side


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
                source=source,
                source_shape=self.tf.split_shape(sizes),
                source_index=tuple(
                    target if axis == self.pt.listed else slice(0, sizes[axis]) for axis in self.tf.axes
                ),
                order=order,
                target_shape=self.pt.split_shape(sizes),
                target_index=tuple(
                    source if axis == self.tf.listed else slice(0, sizes[axis]) for axis in self.pt.axes
                ),
            )


@cache
def _parse(text: str) -> Layout:
    return Layout(text, *parse_sides(text))

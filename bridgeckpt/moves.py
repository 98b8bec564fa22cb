"""Moves: strided copies from a source tensor to a target tensor. Layouts describe them, the engine carries them out.

Nothing here knows a mapping or a file, or reads a tensor.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

Index = tuple[int | slice, ...]


class Move(NamedTuple):
    """A strided copy of (a part of) source tensor ``source`` to (a part of) the target::

    target.reshape(target_shape)[target_index] = sources[source].reshape(source_shape)[source_index].transpose(order)
    """

    source: int
    source_shape: tuple[int, ...]
    source_index: Index
    order: tuple[int, ...]
    target_shape: tuple[int, ...]
    target_index: Index

    @property
    def keeps_order(self) -> bool:
        """Whether the elements of the source have the same order in the target; other elements may lie between them.

        Axes of size 1 may be anywhere: moving them moves no byte.
        """
        kept = [size for size, at in zip(self.source_shape, self.source_index, strict=True) if isinstance(at, slice)]
        long_axes = [axis for axis in self.order if kept[axis] != 1]
        return long_axes == sorted(long_axes)

    @property
    def is_identity(self) -> bool:
        """Whether the target has all the bytes of the source, in the same order, and no others."""
        return (
            prod(self.source_shape) == prod(self.target_shape)
            and _is_whole(self.source_index, self.source_shape)
            and _is_whole(self.target_index, self.target_shape)
            and self.keeps_order
        )


def _is_whole(index: Index, shape: tuple[int, ...]) -> bool:
    return all(
        isinstance(at, slice) and at.indices(size) == (0, size, 1) for at, size in zip(index, shape, strict=True)
    )

"""Geometry: blocks of arrays, and what a move brings from a block of its source into a block of its target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridgeckpt.moves import Index, Move

Block = tuple[slice, ...]  # one range per axis, start and stop both given, no step


def clip(move: Move, strip: Block) -> tuple[Block, Index] | None:
    """The source's elements that a move brings into a block of the target, and their place, relative to its corner."""
    wanted = list(ranges(move.source_index, move.source_shape))
    kept = [axis for axis, at in enumerate(move.source_index) if isinstance(at, slice)]
    moved = iter(move.order)
    inside: list[int | slice] = []
    filled = ranges(move.target_index, move.target_shape)
    for index, fill, limits in zip(move.target_index, filled, strip, strict=True):
        first, last = max(fill.start, limits.start), min(fill.stop, limits.stop)
        if first >= last:
            return None
        if isinstance(index, int):
            inside.append(first - limits.start)
            continue
        inside.append(slice(first - limits.start, last - limits.start))
        axis = kept[next(moved)]
        shift = wanted[axis].start - fill.start
        wanted[axis] = slice(first + shift, last + shift)
    return tuple(wanted), tuple(inside)


def blocks(sizes: Sequence[int], limit: int) -> Iterator[Block]:
    """Cut an array of ``sizes`` into row-major blocks of at most ``limit`` elements (but at least one), in order."""
    if 0 in sizes:
        return
    if not sizes:
        yield ()
        return
    axis, inner = len(sizes) - 1, 1  # a block is a range along `axis`; one step of it has `inner` elements
    while axis and inner * sizes[axis] <= limit:
        inner *= sizes[axis]
        axis -= 1
    step = max(1, limit // inner)
    below = tuple(slice(0, size) for size in sizes[axis + 1 :])
    for above in product(*(range(size) for size in sizes[:axis])):
        head = tuple(slice(at, at + 1) for at in above)
        for first in range(0, sizes[axis], step):
            yield (*head, slice(first, min(first + step, sizes[axis])), *below)


def ranges(index: Index, shape: Sequence[int]) -> Block:
    """An index as plain ranges: an integer becomes a range of one element."""
    return tuple(
        slice(at, at + 1) if isinstance(at, int) else slice(*at.indices(size)[:2])
        for at, size in zip(index, shape, strict=True)
    )


def whole(shape: Sequence[int]) -> Block:
    """The block that covers the whole array."""
    return tuple(slice(0, size) for size in shape)


def overlap(one: Block, other: Block) -> Block | None:
    """The block that two blocks share, or None."""
    shared = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return None if any(extent.start >= extent.stop for extent in shared) else shared


def within(inner: Block, outer: Block) -> Block:
    """``inner`` relative to the corner of ``outer``."""
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True))


def outside(inner: Block, outer: Block) -> Block:
    """The inverse of :func:`within`."""
    return tuple(slice(a.start + b.start, a.stop + b.start) for a, b in zip(inner, outer, strict=True))


def lengths(block: Block) -> tuple[int, ...]:
    """The shape of a block."""
    return tuple(at.stop - at.start for at in block)

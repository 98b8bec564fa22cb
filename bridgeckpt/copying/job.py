"""Jobs: what the copying engine is asked to do, one target tensor at a time, and the geometry of doing it in pieces.

Nothing here reads a byte or imports numpy: a plan is a list of jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.tensors import DTYPES

if TYPE_CHECKING:
    from bridgeckpt.formats.tensors import TensorInfo
    from bridgeckpt.mapping.layout import Index, Move

Block = tuple[slice, ...]  # one range per axis, start and stop both given, no step


class Job(NamedTuple):
    """One target tensor, of ``shape`` and ``dtype`` (a key of ``DTYPES``), filled from ``sources`` by ``moves``.

    A move names its source by its place in ``sources``; a source that no move names is not read. All moves see the
    target under one ``target_shape``. Elements that no move reaches are ``fill``. A dtype other than the source's makes
    every element a conversion, possible between floating-point dtypes only.
    """

    name: str
    sources: tuple[TensorInfo, ...]
    moves: tuple[Move, ...]
    shape: tuple[int, ...]
    dtype: str
    fill: float = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the target."""
        return prod(self.shape) * DTYPES[self.dtype].itemsize

    @property
    def split_shape(self) -> tuple[int, ...]:
        """The target's shape as the moves see it."""
        return self.moves[0].target_shape if self.moves else self.shape

    @property
    def used(self) -> dict[int, TensorInfo]:
        """The sources that a move reads, by their place in ``sources``."""
        return {move.source: self.sources[move.source] for move in self.moves}

    @property
    def is_covered(self) -> bool:
        """Whether the moves reach every element of the target (they never overlap)."""
        reached = sum(prod(lengths(ranges(move.target_index, move.target_shape))) for move in self.moves)
        return reached == prod(self.shape)

    @property
    def keeps_bytes(self) -> bool:
        """Whether the first move's source is stored as the target will be: same dtype, byte order and order of extents."""
        source = self.sources[self.moves[0].source]
        swapped = source.big_endian and DTYPES[source.dtype].itemsize > 1
        return source.dtype == self.dtype and not swapped and in_order(source) is not None

    @property
    def is_plain(self) -> bool:
        """Whether the target is the stored bytes of one source: nothing moves, nothing is converted."""
        return len(self.moves) == 1 and self.moves[0].is_identity and self.keeps_bytes


class Kinds:
    """Tells what a job takes, remembering what it learnt of its moves: 100,000 jobs share the moves of a few rows."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[tuple[Move, ...], bool, bool]] = {}  # by id; the moves are kept so that it stays theirs

    def is_plain(self, job: Job) -> bool:
        """As ``job.is_plain``."""
        return self._of(job)[1] and job.keeps_bytes

    def is_transpose(self, job: Job) -> bool:
        """Whether one move fills the whole target and converts nothing."""
        return self._of(job)[2] and job.sources[job.moves[0].source].dtype == job.dtype

    def _of(self, job: Job) -> tuple[tuple[Move, ...], bool, bool]:
        known = self._known.get(id(job.moves))
        if known is None:
            single = len(job.moves) == 1
            known = job.moves, single and job.moves[0].is_identity, single and job.is_covered
            self._known[id(job.moves)] = known
        return known


def in_order(info: TensorInfo) -> Sequence[int] | None:
    """The order in which the extents follow one another in the tensor's row-major order, None if they interleave.

    They do not when the tensor is partitioned along the first of its axes that is longer than 1.
    """
    if len(info.extents) == 1:
        return (0,)
    first = next((axis for axis, size in enumerate(info.shape) if size > 1), 0)
    if any(extent.shape[first + 1 :] != info.shape[first + 1 :] for extent in info.extents):
        return None
    return sorted(range(len(info.extents)), key=lambda at: info.extents[at].start)


def keeps_order(move: Move) -> bool:
    """Whether the elements of the source come in the same order in the target, whatever lies between them."""
    kept = [size for size, at in zip(move.source_shape, move.source_index, strict=True) if isinstance(at, slice)]
    long_axes = [axis for axis in move.order if kept[axis] != 1]
    return long_axes == sorted(long_axes)


def clip(move: Move, strip: Block) -> tuple[Block, Index] | None:
    """What a move brings into a block of the target: the source's elements, and their place counted from its corner."""
    wanted = list(ranges(move.source_index, move.source_shape))
    kept = [axis for axis, at in enumerate(move.source_index) if isinstance(at, slice)]
    moved = iter(move.order)
    inside: list[int | slice] = []
    for at, axis_range, limits in zip(move.target_index, ranges(move.target_index, move.target_shape), strip, strict=True):
        first, last = max(axis_range.start, limits.start), min(axis_range.stop, limits.stop)
        if first >= last:
            return None
        if isinstance(at, int):
            inside.append(first - limits.start)
            continue
        inside.append(slice(first - limits.start, last - limits.start))
        axis = kept[next(moved)]
        shift = wanted[axis].start - axis_range.start
        wanted[axis] = slice(first + shift, last + shift)
    return tuple(wanted), tuple(inside)


def blocks(sizes: Sequence[int], limit: int) -> Iterator[Block]:
    """Cut an array of ``sizes`` into consecutive row-major blocks of at most ``limit`` elements (at least one), in order."""
    if 0 in sizes:
        return
    if not sizes:
        yield ()
        return
    axis, inner = len(sizes) - 1, 1  # a block is a range along `axis` of everything below it, which is `inner` elements
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
    """An index as plain ranges: an integer is a range of one."""
    return tuple(
        slice(at, at + 1) if isinstance(at, int) else slice(*at.indices(size)[:2])
        for at, size in zip(index, shape, strict=True)
    )


def whole(shape: Sequence[int]) -> Block:
    """The block that is everything."""
    return tuple(slice(0, size) for size in shape)


def overlap(one: Block, other: Block) -> Block | None:
    """The block that two blocks share, or None."""
    shared = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return None if any(at.start >= at.stop for at in shared) else shared


def within(inner: Block, outer: Block) -> Block:
    """``inner`` counted from the corner of ``outer``."""
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True))


def lengths(block: Block) -> tuple[int, ...]:
    """The shape of a block."""
    return tuple(at.stop - at.start for at in block)

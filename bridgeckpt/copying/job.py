"""Jobs: the tasks of the copying engine, one target tensor each.

Nothing here reads a byte or imports numpy: a plan can be turned into jobs with the standard library alone.
"""

from __future__ import annotations

from enum import Enum
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.copying.geometry import lengths, ranges
from bridgeckpt.moves import Move
from bridgeckpt.store.tensors import DTYPES, in_order

if TYPE_CHECKING:
    from bridgeckpt.store.tensors import TensorInfo


class Job(NamedTuple):
    """One target tensor, of ``shape`` and ``dtype`` (a key of ``DTYPES``), filled from ``sources`` by ``moves``.

    A move names its source by its index in ``sources``; a source that no move names is not read. All moves have one
    ``target_shape``. Elements that no move reaches are ``fill``. If ``dtype`` is not the source's, every element is
    converted, which works only between floating-point dtypes.
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
        """The sources that a move reads, by their index in ``sources``."""
        return {move.source: self.sources[move.source] for move in self.moves}

    @property
    def is_covered(self) -> bool:
        """Whether the moves reach every element of the target (they never overlap)."""
        reached = sum(prod(lengths(ranges(move.target_index, move.target_shape))) for move in self.moves)
        return reached == prod(self.shape)

    @property
    def keeps_bytes(self) -> bool:
        """Whether the first move's source is stored as the target will be: contiguous, same dtype and byte order."""
        source = self.sources[self.moves[0].source]
        swapped = source.big_endian and DTYPES[source.dtype].itemsize > 1
        return source.dtype == self.dtype and not swapped and in_order(source) is not None


def whole(info: TensorInfo) -> Job:
    """The job that makes a tensor as it is stored."""
    everything = tuple(slice(0, size) for size in info.shape)
    move = Move(
        source=0,
        source_shape=info.shape,
        source_index=everything,
        order=tuple(range(len(info.shape))),
        target_shape=info.shape,
        target_index=everything,
    )
    return Job(name=info.name, sources=(info,), moves=(move,), shape=info.shape, dtype=info.dtype)


class Kind(Enum):
    """How a target is made."""

    PLAIN = "its bytes are those of one source"
    TURNED = "its elements are those of one source, in another order"
    COMPOSED = "anything else: several sources, padding, another dtype or byte order"


class Kinds:
    """Finds the kind of a job and caches it by the job's moves: 100,000 jobs share the moves of a few rows."""

    def __init__(self) -> None:
        # By the moves' id, which is not reused while they are kept.
        self._known: dict[int, tuple[Kind, tuple[Move, ...]]] = {}

    def of(self, job: Job) -> Kind:
        """The kind of a job."""
        known = self._known.get(id(job.moves))
        if known is None:
            known = self._known[id(job.moves)] = _kind_of_moves(job), job.moves
        return known[0] if known[0] is Kind.COMPOSED or job.keeps_bytes else Kind.COMPOSED


def _kind_of_moves(job: Job) -> Kind:
    if len(job.moves) != 1 or not job.is_covered:
        return Kind.COMPOSED
    return Kind.PLAIN if job.moves[0].is_identity else Kind.TURNED

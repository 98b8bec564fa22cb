"""The copying engine: makes a target tensor's bytes, in order, from its sources in a few megabytes of memory.

The target is made in strips, and the sources of a strip are read in panels of some rows. A panel is read in one call,
then checksummed and moved into place while it is in the cache: one pass over memory for any order of the axes. Elements
whose dtype does not change move as unsigned integers of the same width, so every NaN keeps its bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from bridgeckpt.copying.dtypes import bits_dtype, convert, stored_dtype
from bridgeckpt.copying.geometry import Block, blocks, clip, lengths, ranges, whole, within
from bridgeckpt.copying.job import Job, Kind, Kinds
from bridgeckpt.copying.panels import FileTensor, HeldTensor, Scratch
from bridgeckpt.store.checked_files import Sources
from bridgeckpt.store.dtypes import numpy_dtype
from bridgeckpt.store.reading import PIECE, read_array
from bridgeckpt.store.tensors import in_order

if TYPE_CHECKING:
    from bridgeckpt.copying.odd_values import OddValues

    Array = np.ndarray[Any, np.dtype[Any]]
    Tensors = dict[int, FileTensor | HeldTensor]  # by their index in Job.sources

# Bytes of a target that are made at a time if axes move. The sources of a larger target are read again for each strip,
# which costs a fifth of copying them. With 9 MiB every matrix of BERT-base is one strip, and a whole conversion stays
# below 64 MiB.
STRIP = 9 << 20
_JUDGED = 256 << 10  # elements that are judged at a time


def assemble(job: Job, *, verify: bool = True, odd: OddValues | None = None) -> Array:
    """The target as a new array of ``job.shape`` and ``job.dtype`` (of ml_dtypes if numpy does not have it).

    ``odd`` counts its odd values.

    Raises:
        CheckpointError: a source is damaged, cut short or missing.
        PrecisionError: a value does not fit the target's dtype.
    """
    target = np.empty(job.shape, numpy_dtype(job.dtype))
    with Sources(verify=verify) as sources:
        if Kinds().of(job) is Kind.PLAIN:
            (source,) = job.used.values()
            sources.reader(source, whole=True).read_into(target.reshape(-1).view(np.uint8), 0)
        else:
            Copier(sources, odd=odd).fill(job, target.reshape(-1).view(bits_dtype(job.dtype)))
    if odd is not None:
        for piece in np.split(flat := target.reshape(-1), range(_JUDGED, flat.size, _JUDGED)):
            odd.judge(job.name, job.dtype, piece)
    return target


def rearrange(job: Job, stored: Sequence[bytes], odd: OddValues | None = None) -> bytes:
    """The target's bytes from the stored bytes of each of ``job.used``, for small tensors stored in one extent.

    Raises:
        PrecisionError: a value does not fit the target's dtype.
    """
    tensors: Tensors = {
        at: HeldTensor(info, np.frombuffer(data, stored_dtype(info)))
        for (at, info), data in zip(job.used.items(), stored, strict=True)
    }
    target = np.empty(prod(job.shape), bits_dtype(job.dtype))
    _fill(job, whole(job.split_shape), target, tensors, odd)
    return target.tobytes()


def turn(job: Job, stored: bytes) -> bytes:
    """:func:`rearrange` for a job of ``Kind.TURNED``, several times faster: there may be 100,000."""
    move = job.moves[0]
    elements = np.frombuffer(stored, bits_dtype(job.dtype)).reshape(move.source_shape)
    return elements[(*move.source_index, ...)].transpose(move.order).tobytes()


class Copier:
    """Makes targets one after another in the same buffers of ``strip`` bytes. Each worker has its own.

    ``odd`` counts the values that become 0.
    """

    def __init__(self, sources: Sources, strip: int = STRIP, *, odd: OddValues | None = None) -> None:
        self._sources = sources
        self._odd = odd
        self._limit = strip
        self._scratch = Scratch()
        self._strip = np.empty(0, np.uint8)

    def stream(self, job: Job) -> Iterator[memoryview]:
        """The target's bytes, row-major, in pieces of at most 1 MiB. A piece is valid until the next one is asked for.

        Raises:
            CheckpointError: a source is damaged, cut short or missing.
            PrecisionError: a value does not fit the target's dtype.
        """
        dtype = bits_dtype(job.dtype)
        limit = (PIECE if all(move.keeps_order for move in job.moves) else self._limit) // dtype.itemsize
        strips = list(blocks(job.split_shape, limit))
        tensors = self._open(job, single_strip=len(strips) == 1)
        for strip in strips:
            nbytes = prod(lengths(strip)) * dtype.itemsize
            if len(self._strip) < nbytes:
                self._strip = np.empty(nbytes, np.uint8)
            target = self._strip[:nbytes]
            _fill(job, strip, target.view(dtype), tensors, self._odd)
            for first in range(0, nbytes, PIECE):
                yield target[first : first + PIECE].data

    def fill(self, job: Job, target: Array) -> None:
        """Fill a flat array of the target's bits in one strip."""
        _fill(job, whole(job.split_shape), target, self._open(job, single_strip=True), self._odd)

    def _open(self, job: Job, *, single_strip: bool) -> Tensors:
        """The job's sources. ``single_strip``: the target is made in one strip, so no source is read in parts."""
        tensors: Tensors = {}
        for at, info in job.used.items():
            if in_order(info) is None:
                joined = read_array(info, self._sources.reader(info, whole=True), stored_dtype(info))
                tensors[at] = HeldTensor(info, joined.reshape(-1))
                continue
            moves = [move for move in job.moves if move.source == at]
            sequential = (
                len(moves) == 1
                and ranges(moves[0].source_index, moves[0].source_shape) == whole(moves[0].source_shape)
                and (single_strip or moves[0].is_identity)
            )
            tensors[at] = FileTensor(info, self._sources.reader(info, whole=sequential), self._scratch)
        return tensors


def _fill(job: Job, strip: Block, target: Array, tensors: Tensors, odd: OddValues | None = None) -> None:
    """Fill ``target``, the flat bits of a strip, with the elements that each move brings into it."""
    if not job.is_covered:
        target[...] = np.array(job.fill).astype(numpy_dtype(job.dtype)).view(target.dtype)
    shaped = target.reshape(lengths(strip))
    for move in job.moves:
        clipped = clip(move, strip)
        if clipped is None:
            continue
        wanted, inside = clipped
        # The elements' place in the target, with all axes in the source's order, also those at a fixed index.
        place = shaped[(*inside, ...)].transpose(np.argsort(move.order))
        place = place[(*(None if isinstance(at, int) else slice(None) for at in move.source_index), ...)]
        tensor = tensors[move.source]
        for block, panel in tensor.panels(move.source_shape, wanted, turned=not move.keeps_order):
            if tensor.info.dtype != job.dtype:
                panel = convert(panel, tensor.info, job.dtype, move.source_shape, block, odd, job.name)
            place[within(block, wanted)] = panel

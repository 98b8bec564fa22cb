"""Panels: a block of a source tensor in pieces that fit the cache, read with as few calls as its layout allows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from bridgeckpt.copying.dtypes import stored_dtype
from bridgeckpt.copying.geometry import Block, blocks, lengths, outside, overlap, within
from bridgeckpt.store.reading import PIECE

if TYPE_CHECKING:
    from bridgeckpt.store.reading import Reader
    from bridgeckpt.store.tensors import TensorInfo

    Array = np.ndarray[Any, np.dtype[Any]]

_PANEL = 512 << 10  # bytes: with its padded copy a panel fits a core's second-level cache
_ROWS = 16, 128  # rows of a panel to turn: fewer fill little of a cache line, more do not fit the first-level cache
_PADDING = 128  # bytes
_GAP = 32 << 10  # bytes between two runs: reading this many costs no more than another call


class Scratch:
    """Buffers that grow to the largest request and are reused: memory that was touched before is fast."""

    def __init__(self) -> None:
        self._stored = np.empty(0, np.uint8)
        self._padded = np.empty(0, np.uint8)

    def stored(self, nbytes: int) -> Array:
        """Room for stored bytes."""
        if len(self._stored) < nbytes:
            self._stored = np.empty(nbytes, np.uint8)
        return self._stored[:nbytes]

    def pad(self, panel: Array) -> Array:
        """A copy with 128 bytes after each row: rows that are a power of two apart share the same lines of a cache.

        Transposing the copy is up to four times faster.
        """
        rows = next((size for size in panel.shape if size > 1), 1)
        flat = panel.reshape(rows, -1)
        row = flat.shape[1] + _PADDING // flat.itemsize
        if len(self._padded) < rows * row * flat.itemsize:
            self._padded = np.empty(rows * row * flat.itemsize, np.uint8)
        padded = self._padded[: rows * row * flat.itemsize].view(flat.dtype.newbyteorder("=")).reshape(rows, row)
        padded = padded[:, : flat.shape[1]]
        padded[...] = flat
        return padded.reshape(panel.shape)


class HeldTensor:
    """A source tensor whose elements are in memory."""

    def __init__(self, info: TensorInfo, elements: Array) -> None:
        self.info = info
        self._elements = elements

    def panels(self, shape: tuple[int, ...], wanted: Block, *, turned: bool) -> Iterator[tuple[Block, Array]]:  # noqa: ARG002
        """As :meth:`FileTensor.panels`, in one panel."""
        yield wanted, self._elements.reshape(shape)[wanted or ...]


class FileTensor:
    """A source tensor in a file."""

    def __init__(self, info: TensorInfo, reader: Reader, scratch: Scratch) -> None:
        self.info = info
        self._reader = reader
        self._scratch = scratch
        self._dtype = stored_dtype(info)

    def panels(self, shape: tuple[int, ...], wanted: Block, *, turned: bool) -> Iterator[tuple[Block, Array]]:
        """The elements ``wanted`` of the tensor under ``shape``, panel by panel, each with its block.

        A panel is valid until the next one is requested. ``turned``: the caller will read it across its rows.
        """
        read = _widen(shape, wanted, self._dtype.itemsize)
        sizes = lengths(read)
        for piece in blocks(sizes, self._panel_size(sizes) if turned else PIECE // self._dtype.itemsize):
            block = outside(piece, read)
            panel = self._load(shape, block)
            if read != wanted:
                shared = overlap(block, wanted)
                if shared is None:
                    continue
                block, panel = shared, panel[within(shared, block)]
            yield block, self._scratch.pad(panel) if turned else panel

    def _panel_size(self, sizes: tuple[int, ...]) -> int:
        """Number of elements of a panel: as many rows as transpose fast, within the cache."""
        rows = next((axis for axis, size in enumerate(sizes) if size > 1), 0)
        row = prod(sizes[rows + 1 :])
        fitting = _PANEL // self._dtype.itemsize
        return max(row * _ROWS[0], min(row * _ROWS[1], fitting), fitting // 4)

    def _load(self, shape: tuple[int, ...], block: Block) -> Array:
        """Read a block: one call if it is contiguous, else one for each contiguous run."""
        sizes = lengths(block)
        outer = max((axis for axis, size in enumerate(shape) if sizes[axis] != size), default=0)
        strides = [prod(shape[axis + 1 :]) * self._dtype.itemsize for axis in range(outer + 1)]
        run = sizes[outer] * strides[outer] if shape else self._dtype.itemsize
        stored = self._scratch.stored(prod(sizes) * self._dtype.itemsize)
        for number, above in enumerate(product(*(range(at.start, at.stop) for at in block[:outer]))):
            corner = (*above, *(at.start for at in block[outer : outer + 1]))
            position = sum(at * stride for at, stride in zip(corner, strides, strict=False))
            self._reader.read_into(stored[number * run : (number + 1) * run], position)
        return stored.view(self._dtype).reshape(sizes)


def _widen(shape: tuple[int, ...], wanted: Block, itemsize: int) -> Block:
    """The block to read in order to get ``wanted``: short gaps are read as well."""
    read = list(wanted)
    below = itemsize  # bytes of one step along the axis
    for axis in reversed(range(len(shape))):
        gap = (shape[axis] - wanted[axis].stop + wanted[axis].start) * below
        if gap > _GAP or all(at.stop - at.start == 1 for at in wanted[:axis]):
            break
        read[axis] = slice(0, shape[axis])
        below *= shape[axis]
    return tuple(read)

"""The values of an HDF5 dataset that is stored in chunks, compressed or not, as one row-major stream.

They are decoded here because libhdf5 1.14 reads past the end of a damaged chunk. Deflate and the byte shuffle before it
are supported: Keras users and ``h5repack`` compress with these. Memory holds one row of chunks at most, and no chunk is
decoded to more than its size.

Source: https://docs.hdfgroup.org/archive/support/HDF5/doc/H5.format.html, "The Data Storage - Filter Pipeline Message".
"""

from __future__ import annotations

import zlib
from itertools import groupby, product
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import CheckpointError
from bridgeckpt.store.lfs import open_content

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DEFLATE, SHUFFLE = 1, 2  # the filters' registered numbers


class Chunk(NamedTuple):
    """A stored chunk: its place in the file in bytes, and a bit for each filter that was not applied to it."""

    offset: int
    nbytes: int
    skipped: int


class Chunked(NamedTuple):
    """A dataset of ``shape`` with elements of ``itemsize`` bytes, in chunks of the shape ``size``.

    ``chunks`` are by the position of their first element. The writer applied ``filters`` in this order.
    """

    name: str
    shape: tuple[int, ...]
    itemsize: int
    size: tuple[int, ...]
    filters: tuple[int, ...]
    chunks: Mapping[tuple[int, ...], Chunk]

    def starts(self) -> Iterator[tuple[int, ...]]:
        """The positions of all chunks of the shape, row-major."""
        return product(*(range(0, whole, step) for whole, step in zip(self.shape, self.size, strict=True)))

    @property
    def nbytes(self) -> int:
        """Bytes of a decoded chunk. A chunk at an edge of the dataset is stored as large as the others."""
        return prod(self.size) * self.itemsize


def decoded(path: Path, dataset: Chunked) -> Iterator[memoryview]:
    """The bytes of a dataset in the file ``path``, in row-major order, a row of chunks at a time.

    Raises:
        CheckpointError: a chunk is damaged, or the file ends early.
    """
    import numpy as np

    element = np.dtype(f"V{dataset.itemsize}")
    try:
        file = open_content(path)
        for first, starts in groupby(dataset.starts(), key=lambda start: start[0]):
            height = min(dataset.size[0], dataset.shape[0] - first)
            rows = np.empty((height, *dataset.shape[1:]), element)
            for start in starts:
                chunk = dataset.chunks[start]
                data = _decode(file.read(chunk.offset, chunk.nbytes), chunk, dataset, path)
                place = zip((0, *start[1:]), dataset.size, strict=True)
                inside = rows[tuple(slice(at, at + step) for at, step in place)]  # smaller than a chunk at an edge
                values = np.frombuffer(data, element).reshape(dataset.size)
                inside[...] = values[tuple(map(slice, inside.shape))]
            yield rows.reshape(-1).view("u1").data
    except OSError as error:
        raise CheckpointError(f"cannot read {dataset.name} from {path}: {error.strerror}", path=path) from None


def _decode(stored: bytes, chunk: Chunk, dataset: Chunked, path: Path) -> bytes:
    """A chunk's bytes before its filters were applied."""
    import numpy as np

    data = stored
    for number, kind in reversed(list(enumerate(dataset.filters))):
        if chunk.skipped >> number & 1:
            continue
        if kind == DEFLATE:
            stream = zlib.decompressobj()
            try:
                data = stream.decompress(data, dataset.nbytes + 1)
            except zlib.error as error:
                raise _damaged(dataset, chunk, path, str(error)) from None
            if not stream.eof:
                raise _damaged(dataset, chunk, path, f"it holds more or less than {dataset.nbytes:,} bytes")
        elif len(data) == dataset.nbytes:  # the first bytes of all elements, then their second bytes
            data = np.frombuffer(data, np.uint8).reshape(dataset.itemsize, -1).T.tobytes()
    if len(data) != dataset.nbytes:
        raise _damaged(dataset, chunk, path, f"it holds {len(data):,} bytes of {dataset.nbytes:,}")
    return data


def _damaged(dataset: Chunked, chunk: Chunk, path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{dataset.name}: the chunk at byte {chunk.offset:,} of {path} is damaged: {what}",
        path=path,
        hint="copy or download the file again",
    )

"""TensorFlow's checkpoint format before 2017, V1: one table of SavedTensorSlices, or one table for each shard.

Under the empty key, each table describes its tensors and their slices. The values of a slice, a TensorProto, are under
a key made of the tensor's name and the slice. Tables are usually compressed with Snappy, and integers are varints. So
the values are decoded into a :class:`~bridgeckpt.store.spool.Spool` when they are needed, in the order of the table and
with one slice in memory at a time.

Sources, in https://github.com/tensorflow/tensorflow: tensorflow/core/util/saved_tensor_slice.proto,
tensor_slice_writer.cc and saved_tensor_slice_util.cc (the keys); tensorflow/core/framework/tensor.proto (the values).
"""

from __future__ import annotations

import re
import struct
from functools import partial
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.formats.tensorflow.bundle import dtype_of, shape_of
from bridgeckpt.formats.tensorflow.slices import Block, slice_at, tile
from bridgeckpt.formats.tensorflow.sstable import DAMAGED, entries
from bridgeckpt.formats.tensorflow.wire import BYTES, VARINT, WireError, fields, numbers, tag
from bridgeckpt.store.source import is_file, members
from bridgeckpt.store.spool import Spool
from bridgeckpt.store.tensors import DTYPES, Extent, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_META, _DATA = tag(1, BYTES), tag(2, BYTES)  # of SavedTensorSlices
_TENSOR = tag(1, BYTES)  # of SavedTensorSliceMeta
_NAME, _SHAPE, _TYPE, _SLICE = tag(1, BYTES), tag(2, BYTES), tag(3, VARINT), tag(4, BYTES)  # of SavedSliceMeta
_VALUES = tag(3, BYTES)  # of SavedSlice
_CONTENT, _STRINGS = tag(4, BYTES), tag(8, BYTES)  # of TensorProto
# dtype -> the tag of its packed values in a TensorProto; and, if the values are varints, their code for `struct`
_FIELDS: dict[str, tuple[int, str]] = {
    "float32": (tag(5, BYTES), ""),
    "float64": (tag(6, BYTES), ""),
    "complex64": (tag(9, BYTES), ""),
    "complex128": (tag(12, BYTES), ""),
    "float16": (tag(13, BYTES), "H"),
    "bfloat16": (tag(13, BYTES), "H"),
    "bool": (tag(11, BYTES), "B"),
    "uint8": (tag(7, BYTES), "B"),
    "int8": (tag(7, BYTES), "B"),
    "uint16": (tag(7, BYTES), "H"),
    "int16": (tag(7, BYTES), "H"),
    "int32": (tag(7, BYTES), "I"),
    "uint32": (tag(16, BYTES), "I"),
    "int64": (tag(10, BYTES), "Q"),
    "uint64": (tag(17, BYTES), "Q"),
}
_SHARD = re.compile(r"(?P<prefix>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})")


class V1Checkpoint(Checkpoint):
    """A V1 checkpoint, opened by its file, or by the prefix or one of the files of its shards.

    Raises:
        CheckpointError: a file is missing or damaged.
    """

    format = "TensorFlow V1"
    read_by_tensorflow = True

    def __init__(self, path: Path, *, notes: tuple[str, ...] = ()) -> None:
        prefix, shards = files_of(path)
        spool, described = Spool(), dict[str, _Tensor]()
        for shard in shards:
            for tensor in _read_description(shard):
                described[tensor.name] = tensor.joined(described.get(tensor.name), shard)
        tensors = {name: _info(tensor, prefix) for name, tensor in sorted(described.items())}
        for shard in shards:
            tensors |= _reserve_places(shard, tensors, described, spool)
        graph = prefix.with_name(f"{prefix.name}.meta")
        graph_path = graph if is_file(graph) else None
        super().__init__(prefix, tensors, graph_path=graph_path, notes=notes, spool=spool)
        self._described = described

    def _read_strings(self, info: TensorInfo, extent: Extent, verify: bool) -> list[bytes]:  # noqa: ARG002
        """Strings have no place in the spool. They are read from their table."""
        wanted = next(piece.key for piece in self._described[info.name].slices if piece.block.start == extent.start)
        for key, value in entries(extent.path):
            if key == wanted:
                strings = [payload for field, _, payload in fields(_values(value)) if field == _STRINGS]
                if len(strings) == prod(extent.shape):
                    return strings
        raise _damaged(extent.path, f"{info.name} does not have its {prod(extent.shape):,} strings")


class _Slice(NamedTuple):
    """A slice of a tensor: its place in the tensor, its file, and its key in the file's table."""

    block: Block
    path: Path
    key: bytes


class _Tensor(NamedTuple):
    """The description of one tensor in the tables."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    slices: tuple[_Slice, ...]

    def joined(self, known: _Tensor | None, path: Path) -> _Tensor:
        """This tensor with the slices of ``known``, the same tensor in earlier shards. ``path`` is for errors."""
        if known is None:
            return self
        if (known.dtype, known.shape) != (self.dtype, self.shape):
            raise _damaged(path, f"{self.name} is {self.dtype} {list(self.shape)}, and something else in another shard")
        return known._replace(slices=(*known.slices, *self.slices))


def files_of(path: Path) -> tuple[Path, list[Path]]:
    """The prefix of a V1 checkpoint and its files, given one of them or the prefix.

    Raises:
        CheckpointError: shards are missing.
    """
    file = path if is_file(path) else _first_shard(path) or path
    match = _SHARD.fullmatch(file.name)
    if match is None:
        return file, [file]
    prefix, count = file.with_name(match["prefix"]), int(match["count"])
    shards = [file.with_name(f"{match['prefix']}-{number:05d}-of-{match['count']}") for number in range(count)]
    if missing := [shard.name for shard in shards if not is_file(shard)]:
        raise CheckpointError(
            f"{prefix} is incomplete: {', '.join(missing[:3])} of its {count} shards are missing",
            path=prefix.with_name(missing[0]),
            hint="copy or download all of them into the same folder",
        )
    return prefix, shards


def _first_shard(prefix: Path) -> Path | None:
    """The first existing shard with this prefix, or None."""
    try:
        beside = members(prefix.parent)
    except OSError:  # opening the file reports what is wrong with the folder
        return None
    matches = (match for entry in beside if (match := _SHARD.fullmatch(entry.name)))
    return next((prefix.with_name(match[0]) for match in matches if match["prefix"] == prefix.name), None)


def _read_description(path: Path) -> Iterator[_Tensor]:
    """The tensors of one table. Its first entry describes them."""
    key, value = next(entries(path), (b"\0", b""))
    name = "its description"
    try:
        if key:
            raise WireError("it is missing")
        for meta in (payload for field, _, payload in fields(value) if field == _META):
            for proto in (payload for field, _, payload in fields(meta) if field == _TENSOR):
                parts = list(fields(proto))
                name = next((payload for field, _, payload in parts if field == _NAME), b"").decode()
                shape = shape_of(next((payload for field, _, payload in parts if field == _SHAPE), b""))
                dtype = dtype_of(next((number for field, number, _ in parts if field == _TYPE), 0))
                slices = [slice_at(payload, name, shape) for field, _, payload in parts if field == _SLICE]
                yield _Tensor(name, dtype, shape, tuple(_Slice(block, path, key) for block, key in slices))
    except (WireError, UnicodeDecodeError) as error:
        raise _damaged(path, f"{name}: {error}") from None


def _info(tensor: _Tensor, prefix: Path) -> TensorInfo:
    """The record of a tensor. Its extents have no place in a file yet."""
    name, dtype, shape, slices = tensor
    if not tile(shape, (piece.block for piece in slices)):
        raise _damaged(prefix, f"the {len(slices)} slices of {name} do not fill {list(shape)} without gaps or overlaps")
    extents = tuple(
        Extent(path=piece.path, offset=0, nbytes=0, start=piece.block.start, shape=piece.block.shape, crc32c=None)
        for piece in slices
    )
    return TensorInfo(name, dtype, shape, extents)


def _reserve_places(
    path: Path, tensors: dict[str, TensorInfo], described: dict[str, _Tensor], spool: Spool
) -> dict[str, TensorInfo]:
    """The tensors of one table. Each slice in it gets a place in the spool, in the order of the table."""
    stored = sorted(
        (piece.key, name, number)
        for name, tensor in described.items()
        for number, piece in enumerate(tensor.slices)
        if piece.path == path
    )
    wanted = [
        _SliceValues(key, name, tensors[name].dtype, prod(tensors[name].extents[number].shape), number)
        for key, name, number in stored
        if tensors[name].dtype in _FIELDS
    ]
    offsets = spool.reserve([(values.name, values.nbytes) for values in wanted], partial(_decode, path, wanted))
    placed: dict[str, TensorInfo] = {}
    for values, offset in zip(wanted, offsets, strict=True):
        info = placed.get(values.name, tensors[values.name])
        extents = list(info.extents)
        extent = extents[values.number]
        extents[values.number] = extent._replace(path=spool.path, offset=offset, nbytes=values.nbytes)
        placed[values.name] = info._replace(extents=tuple(extents))
    return placed


class _SliceValues(NamedTuple):
    """The values of extent ``number`` of tensor ``name``: ``size`` elements, stored under ``key``."""

    key: bytes
    name: str
    dtype: str
    size: int
    number: int

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded values."""
        return self.size * DTYPES[self.dtype].itemsize


def _decode(path: Path, wanted: Sequence[_SliceValues]) -> Iterator[list[bytes]]:
    """The values of slices, row-major and little-endian, each in one piece. The table is read once."""
    table = entries(path)
    for values in wanted:
        for key, entry in table:
            if key == values.key:
                try:
                    yield [_numbers(_values(entry), values.dtype, values.size)]
                except (WireError, struct.error) as error:
                    raise _damaged(path, f"{values.name}: {error}") from None
                break
            if key > values.key:
                raise _missing(path, values.name)
        else:
            raise _missing(path, values.name)


def _missing(path: Path, name: str) -> CheckpointError:
    return _damaged(path, f"the values of {name} are missing")


def _values(entry: bytes) -> bytes:
    """The TensorProto in a SavedTensorSlices."""
    data = b"".join(payload for field, _, payload in fields(entry) if field == _DATA)
    return b"".join(payload for field, _, payload in fields(data) if field == _VALUES)


def _numbers(proto: bytes, dtype: str, count: int) -> bytes:
    """The values of a TensorProto as the bytes of an array."""
    packed, code = _FIELDS[dtype]
    nbytes = count * DTYPES[dtype].itemsize
    stored = [payload for key, _, payload in fields(proto) if key in (packed, _CONTENT)]
    if len(stored) > 1 or (count and not stored):
        raise WireError(f"its values are in {len(stored)} places")
    payload = stored[0] if stored else b""
    if code and len(payload) <= 10 * count and any(key == packed for key, _, _ in fields(proto)):
        mask = (1 << 8 * struct.calcsize(code)) - 1
        values = [number & mask for number in numbers(payload)]
        payload = struct.pack(f"<{len(values)}{code}", *values)
    if len(payload) != nbytes:
        raise WireError(f"its values take {len(payload):,} bytes, and {dtype} of {count:,} elements {nbytes:,}")
    return payload


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} is damaged: {what}", path=path, hint=DAMAGED)

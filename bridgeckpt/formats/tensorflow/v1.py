"""TensorFlow's checkpoint format before 2017, V1: one table of SavedTensorSlices, or one for each of several shards.

Under the empty key each table describes the tensors that it holds and their slices; under a key made of a name and a
slice lie the values, a TensorProto. Tables are compressed with Snappy as a rule, and integers have as many bytes as
their value needs, so that values are decoded into a :class:`~bridgeckpt.store.spool.Spool`, in the order of the
table, when they are needed: one slice at a time is in memory.

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
# dtype -> the tag of its packed values in a TensorProto, and their code for `struct` if they are varints there
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

    def __init__(self, path: Path, *, notes: tuple[str, ...] = ()) -> None:
        prefix, shards = files_of(path)
        spool, parts = Spool(), dict[str, _Tensor]()
        for shard in shards:
            for part in _described(shard):
                parts[part.name] = part.joined(parts.get(part.name), shard)
        tensors = {name: _info(part, prefix) for name, part in sorted(parts.items())}
        for shard in shards:
            tensors |= _placed(shard, tensors, parts, spool)
        graph = prefix.with_name(f"{prefix.name}.meta")
        graph_path = graph if is_file(graph) else None
        super().__init__(prefix, tensors, graph_path=graph_path, notes=notes, spool=spool)
        self._parts = parts

    def _read_strings(self, info: TensorInfo, extent: Extent, verify: bool) -> list[bytes]:  # noqa: ARG002
        """Strings, which have no place in the spool, are looked up in their table."""
        wanted = next(part.key for part in self._parts[info.name].slices if part.block.start == extent.start)
        for key, value in entries(extent.path):
            if key == wanted:
                strings = [payload for at, _, payload in fields(_values(value)) if at == _STRINGS]
                if len(strings) == prod(extent.shape):
                    return strings
        raise _damaged(extent.path, f"{info.name} has not the {prod(extent.shape):,} strings that it should")


class _Slice(NamedTuple):
    """A part of a tensor: where it lies in it, in which file, and under which key there."""

    block: Block
    path: Path
    key: bytes


class _Tensor(NamedTuple):
    """What the tables say of one tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    slices: tuple[_Slice, ...]

    def joined(self, known: _Tensor | None, path: Path) -> _Tensor:
        """The same with the slices that other shards hold."""
        if known is None:
            return self
        if (known.dtype, known.shape) != (self.dtype, self.shape):
            raise _damaged(path, f"{self.name} is {self.dtype} {list(self.shape)}, and something else in another shard")
        return known._replace(slices=(*known.slices, *self.slices))


def files_of(path: Path) -> tuple[Path, list[Path]]:
    """The prefix of a V1 checkpoint and its files, given one of them or the prefix.

    Raises:
        CheckpointError: there is none, or shards are missing.
    """
    one = path if is_file(path) else _first_shard(path) or path
    match = _SHARD.fullmatch(one.name)
    if match is None:
        return one, [one]
    prefix, count = one.with_name(match["prefix"]), int(match["count"])
    shards = [one.with_name(f"{match['prefix']}-{number:05d}-of-{match['count']}") for number in range(count)]
    if missing := [shard.name for shard in shards if not is_file(shard)]:
        raise CheckpointError(
            f"{prefix} is incomplete: {', '.join(missing[:3])} of its {count} shards are missing",
            path=prefix.with_name(missing[0]),
            hint="copy or download all of them into the same folder",
        )
    return prefix, shards


def _first_shard(prefix: Path) -> Path | None:
    """The first of the shards with this prefix that are there."""
    try:
        beside = members(prefix.parent)
    except OSError:  # what is wrong with the folder is said when the file is opened
        return None
    matches = (match for entry in beside if (match := _SHARD.fullmatch(entry.name)))
    return next((prefix.with_name(match[0]) for match in matches if match["prefix"] == prefix.name), None)


def _described(path: Path) -> Iterator[_Tensor]:
    """The tensors of one table, by its first entry."""
    key, value = next(entries(path), (b"\0", b""))
    name = "its description"
    try:
        if key:
            raise WireError("there is none")
        for meta in (payload for at, _, payload in fields(value) if at == _META):
            for proto in (payload for at, _, payload in fields(meta) if at == _TENSOR):
                parts = [(at, number, payload) for at, number, payload in fields(proto)]
                name = next((payload for at, _, payload in parts if at == _NAME), b"").decode()
                shape = shape_of(next((payload for at, _, payload in parts if at == _SHAPE), b""))
                dtype = dtype_of(next((number for at, number, _ in parts if at == _TYPE), 0))
                placed = [slice_at(payload, name, shape) for at, _, payload in parts if at == _SLICE]
                yield _Tensor(name, dtype, shape, tuple(_Slice(block, path, key) for block, key in placed))
    except (WireError, UnicodeDecodeError) as error:
        raise _damaged(path, f"{name}: {error}") from None


def _info(part: _Tensor, prefix: Path) -> TensorInfo:
    """A tensor whose slices have no place yet."""
    if not tile(part.shape, (one.block for one in part.slices)):
        raise _damaged(
            prefix,
            f"the {len(part.slices)} slices of {part.name} do not fill {list(part.shape)} without gaps or overlaps",
        )
    extents = tuple(Extent(one.path, 0, 0, one.block.start, one.block.shape, None) for one in part.slices)
    return TensorInfo(part.name, part.dtype, part.shape, extents)


def _placed(
    path: Path, tensors: dict[str, TensorInfo], parts: dict[str, _Tensor], spool: Spool
) -> dict[str, TensorInfo]:
    """The tensors of one table with a place in the spool for each slice, reserved in the order of the table."""
    stored = sorted(
        (one.key, name, at) for name, of in parts.items() for at, one in enumerate(of.slices) if one.path == path
    )
    wanted = [
        _Wanted(key, name, tensors[name].dtype, prod(tensors[name].extents[at].shape), at)
        for key, name, at in stored
        if tensors[name].dtype in _FIELDS
    ]
    offsets = spool.reserve([(one.name, one.nbytes) for one in wanted], partial(_decoded, path, wanted))
    found: dict[str, TensorInfo] = {}
    for one, offset in zip(wanted, offsets, strict=True):
        info = found.get(one.name, tensors[one.name])
        extents = list(info.extents)
        extents[one.at] = extents[one.at]._replace(path=spool.path, offset=offset, nbytes=one.nbytes)
        found[one.name] = info._replace(extents=tuple(extents))
    return found


class _Wanted(NamedTuple):
    """The values of a slice, ``size`` numbers under ``key``: those of extent ``at`` of tensor ``name``."""

    key: bytes
    name: str
    dtype: str
    size: int
    at: int

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded values."""
        return self.size * DTYPES[self.dtype].itemsize


def _decoded(path: Path, wanted: Sequence[_Wanted]) -> Iterator[list[bytes]]:
    """The values of slices, row-major and little-endian, each in one piece. The table is read through once."""
    table = entries(path)
    for one in wanted:
        for key, value in table:
            if key == one.key:
                try:
                    yield [_numbers(_values(value), one.dtype, one.size)]
                except (WireError, struct.error) as error:
                    raise _damaged(path, f"{one.name}: {error}") from None
                break
            if key > one.key:
                raise _missing(path, one.name)
        else:
            raise _missing(path, one.name)


def _missing(path: Path, name: str) -> CheckpointError:
    return _damaged(path, f"the values of {name} are missing")


def _values(entry: bytes) -> bytes:
    """The TensorProto in a SavedTensorSlices."""
    data = b"".join(payload for at, _, payload in fields(entry) if at == _DATA)
    return b"".join(payload for at, _, payload in fields(data) if at == _VALUES)


def _numbers(proto: bytes, dtype: str, count: int) -> bytes:
    """The values of a TensorProto as an array's bytes."""
    at, code = _FIELDS[dtype]
    nbytes = count * DTYPES[dtype].itemsize
    stored = [payload for key, _, payload in fields(proto) if key in (at, _CONTENT)]
    if len(stored) > 1 or (count and not stored):
        raise WireError(f"its values are in {len(stored)} places")
    payload = stored[0] if stored else b""
    if code and len(payload) <= 10 * count and any(key == at for key, _, _ in fields(proto)):
        mask = (1 << 8 * struct.calcsize(code)) - 1
        found = [number & mask for number in numbers(payload)]
        payload = struct.pack(f"<{len(found)}{code}", *found)
    if len(payload) != nbytes:
        raise WireError(f"its values take {len(payload):,} bytes, and {dtype} of {count:,} elements {nbytes:,}")
    return payload


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} is damaged: {what}", path=path, hint=DAMAGED)

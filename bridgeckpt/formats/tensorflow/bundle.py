"""TensorFlow's checkpoint format since 2016, TensorBundle V2: a ``.index`` table and ``.data-00000-of-00001`` shards.

The table holds a BundleHeaderProto under the empty key and a BundleEntryProto under each tensor's name. A partitioned
variable has an entry that lists its slices, and one entry for each slice under an encoded key. They are joined here.

Sources, all in https://github.com/tensorflow/tensorflow: tensorflow/core/protobuf/tensor_bundle.proto,
tensorflow/core/util/tensor_bundle/tensor_bundle.cc (shards, strings), tensorflow/core/framework/types.proto (dtypes).
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from math import prod
from typing import TYPE_CHECKING, Literal

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.formats.descriptions import IN_SAVED_MODEL
from bridgeckpt.formats.layer_places import places_by_position
from bridgeckpt.formats.tensorflow.keras_metadata import read_keras_metadata
from bridgeckpt.formats.tensorflow.objectgraph import OBJECT_GRAPH, ObjectGraph, parse_object_graph
from bridgeckpt.formats.tensorflow.saved_model import folder_of, saved_model_of
from bridgeckpt.formats.tensorflow.slices import Block, slice_at, tile
from bridgeckpt.formats.tensorflow.sstable import DAMAGED, entries, unmask
from bridgeckpt.formats.tensorflow.wire import BYTES, FIXED32, VARINT, WireError, fields, signed, tag, varint
from bridgeckpt.store.dtypes import check_crc, is_possible_shape
from bridgeckpt.store.source import is_file
from bridgeckpt.store.tensors import DTYPES, Extent, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridgeckpt.formats.layer_places import Place
    from bridgeckpt.formats.slots import Slot

# By number. The quantized types (11, 12, 13, 15, 16) are stored as plain integers.
# fmt: off
_DTYPE_NAMES = (
    "invalid", "float32", "float64", "int32", "uint8", "int16", "int8", "string", "complex64", "int64", "bool", "int8",
    "uint8", "int32", "bfloat16", "int16", "uint16", "uint16", "complex128", "float16", "resource", "variant", "uint32",
    "uint64", "float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz", "int4",
    "uint4", "int2", "uint2", "float4_e2m1fn",
)
# fmt: on
_ITEMSIZES = {name: dtype.itemsize for name, dtype in DTYPES.items() if dtype.itemsize}
_VERSION = 1  # of the format; TensorFlow has never written another

_HEADER_SHARDS, _HEADER_ENDIANNESS, _HEADER_VERSION = tag(1, VARINT), tag(2, VARINT), tag(3, BYTES)
_VERSION_MIN_CONSUMER = tag(2, VARINT)
_ENTRY_DTYPE, _ENTRY_SHAPE, _ENTRY_SHARD = tag(1, VARINT), tag(2, BYTES), tag(3, VARINT)
_ENTRY_OFFSET, _ENTRY_SIZE, _ENTRY_CRC, _ENTRY_SLICE = tag(4, VARINT), tag(5, VARINT), tag(6, FIXED32), tag(7, BYTES)
_DIM, _DIM_SIZE, _UNKNOWN_RANK = tag(2, BYTES), tag(1, VARINT), tag(3, VARINT)


class TensorBundle(Checkpoint):
    """A TensorBundle V2, opened by the prefix that its files share (``.../bert_model.ckpt``).

    Raises:
        CheckpointError: the index is missing, damaged, or of a version that does not exist yet.
    """

    format = "TensorBundle V2"
    read_by_tensorflow = True

    def __init__(self, prefix: Path, *, notes: tuple[str, ...] = ()) -> None:
        graph = prefix.with_name(f"{prefix.name}.meta")
        saved = saved_model_of(prefix)
        super().__init__(
            prefix,
            _Index(prefix).tensors(),
            directory=saved.directory if saved else folder_of(prefix),
            graph_path=saved.graph if saved else graph if is_file(graph) else None,
            notes=(*notes, *saved.notes) if saved else notes,
        )
        self._objects: ObjectGraph | None = None
        self._saved = saved
        self._descriptions: dict[str, str] | None = None
        if saved:
            self.format = f"{saved.format(self.tensors)} ({self.format})"

    @property
    def variable_names(self) -> Mapping[str, str]:
        """The full names in the object graph of a TF2 checkpoint. In TF1, the keys are the names of the variables."""
        return self._object_graph.variable_names

    @property
    def objects(self) -> frozenset[str]:
        """The paths of the objects of a TF2 checkpoint; empty for TF1."""
        return self._object_graph.objects

    @property
    def layers_with_weights(self) -> frozenset[int]:
        """As the object graph of a TF2 checkpoint of Keras 2 has them."""
        return self._object_graph.with_weights

    @property
    def descriptions(self) -> Mapping[str, str]:
        """The description of a SavedModel's Keras model, if it has one."""
        if self._descriptions is None:
            text = read_keras_metadata(self._saved) if self._saved is not None else None
            self._descriptions = {IN_SAVED_MODEL: text} if text is not None else {}
        return self._descriptions

    def _stored_slots(self) -> Mapping[str, Slot]:
        return self._object_graph.slots

    def _stored_places(self) -> Mapping[str, Place]:
        state = self._stored_slots()
        return places_by_position(key for key in self.variable_names if key not in state)

    @property
    def _object_graph(self) -> ObjectGraph:
        if self._objects is None:  # not a cached_property: before Python 3.12 it holds a lock, which a fork would copy
            self._objects = self._read_object_graph()
        return self._objects

    def _read_object_graph(self) -> ObjectGraph:
        info = self.tensors.get(OBJECT_GRAPH)
        if info is None or info.dtype != "string" or info.shape or len(info.extents) != 1:
            return ObjectGraph({}, {})
        self._files.check_fits(info)
        (proto,) = self._read_strings(info, info.extents[0], verify=True)
        try:
            return parse_object_graph(proto)
        except (WireError, UnicodeDecodeError) as error:
            raise _damaged(info.extents[0].path, f"its object graph: {error}") from None

    def _read_strings(self, info: TensorInfo, extent: Extent, verify: bool) -> list[bytes]:
        """Strings are stored as their lengths (varints), the masked CRC-32C of the lengths, and their bytes.

        The entry's checksum differs from that of these bytes: it counts each length as 4 bytes (8 from 4 GiB on).
        """
        import google_crc32c

        data, lengths, position = b"".join(self.pieces(extent, info.name)), [], 0
        try:
            for _ in range(prod(extent.shape)):
                length, position = varint(data, position)
                lengths.append(length)
        except WireError as error:
            raise _damaged(extent.path, f"the lengths of the strings of {info.name}: {error}") from None
        ends = list(accumulate(lengths, initial=position + 4))
        if ends[-1] != extent.nbytes:
            raise _damaged(extent.path, f"the strings of {info.name} take {ends[-1]:,} bytes of {extent.nbytes:,}")
        if verify:
            order: Literal["big", "little"] = "big" if info.big_endian else "little"
            crc = google_crc32c.value(b"".join(n.to_bytes(4 if n < 1 << 32 else 8, order) for n in lengths))
            check_crc(google_crc32c.extend(crc, data[position:]), extent, info.name)
        return [data[start:end] for start, end in pairwise(ends)]


class _Index:
    """The ``.index`` file of one bundle, and what was read from it so far."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.path = prefix.with_name(f"{prefix.name}.index")
        self.shard_count = 0
        self.shards: dict[int, Path] = {}
        self.big_endian = False
        self.shapes: dict[bytes, tuple[int, ...]] = {}  # by their protobuf bytes: many tensors share a few shapes

    def tensors(self) -> dict[str, TensorInfo]:
        """Every tensor by name, with its slices joined."""
        table = entries(self.path)
        tensors: dict[str, TensorInfo] = {}
        slices: dict[bytes, bytes] = {}
        name = "the header"
        try:
            key, value = next(table, (b"\0", b""))
            if key:
                raise WireError("it is missing")
            self._read_header(value)
            for key, value in table:
                if key[0] == 0:  # keys of slices begin with 0, and come before all names
                    slices[key] = value
                    continue
                name = key.decode()
                tensors[name] = self._tensor(name, value, slices)
        except (WireError, UnicodeDecodeError) as error:
            raise _damaged(self.path, f"{name}: {error}") from None
        if slices:
            raise _damaged(self.path, f"it holds {len(slices)} slices that belong to no tensor")
        return tensors

    def _read_header(self, header: bytes) -> None:
        """Read the number of shards, the byte order and the version from a BundleHeaderProto."""
        version = b""
        for key, number, payload in fields(header):
            if key == _HEADER_SHARDS:
                self.shard_count = number
            elif key == _HEADER_ENDIANNESS:
                if number > 1:
                    raise WireError(f"the byte order {number} is neither little (0) nor big (1) endian")
                self.big_endian = number == 1
            elif key == _HEADER_VERSION:
                version = payload
        min_consumer = max((number for key, number, _ in fields(version) if key == _VERSION_MIN_CONSUMER), default=0)
        if min_consumer > _VERSION:
            raise CheckpointError(
                f"{self.path} is of TensorBundle version {min_consumer}, and {_VERSION} is the newest known here",
                path=self.path,
                hint="save it again with an older TensorFlow, or look for a newer bridgeckpt",
            )

    def _tensor(self, name: str, entry: bytes, slices: dict[bytes, bytes]) -> TensorInfo:
        """A BundleEntryProto as a tensor. The entries of its slices are removed from ``slices``."""
        dtype, shape, extent, protos = self._entry(entry)
        if not protos:
            return TensorInfo(name, dtype, shape, (extent,), self.big_endian)
        extents = []
        for proto in protos:
            block, key = slice_at(proto, name, shape)
            if key not in slices:
                raise WireError(f"its slice {block} is missing")
            slice_dtype, slice_shape, extent, _ = self._entry(slices.pop(key))
            if (slice_dtype, slice_shape) != (dtype, block.shape):
                raise WireError(f"its slice {block} holds {slice_dtype} {list(slice_shape)}")
            extents.append(extent._replace(start=block.start))
        if not tile(shape, (Block(extent.start, extent.shape) for extent in extents)):
            raise WireError(f"its {len(extents)} slices do not fill {list(shape)} without gaps or overlaps")
        return TensorInfo(name, dtype, shape, tuple(extents), self.big_endian)

    def _entry(self, entry: bytes) -> tuple[str, tuple[int, ...], Extent, list[bytes]]:
        """Dtype, shape, place and TensorSliceProtos of one entry. If there are slices, the place has no meaning."""
        dtype_number = shard = offset = nbytes = crc = 0
        shape_proto = b""
        slices: list[bytes] = []
        for key, number, payload in fields(entry):
            if key == _ENTRY_DTYPE:
                dtype_number = number
            elif key == _ENTRY_SHAPE:
                shape_proto = payload
            elif key == _ENTRY_SHARD:
                shard = number
            elif key == _ENTRY_OFFSET:
                offset = number
            elif key == _ENTRY_SIZE:
                nbytes = number
            elif key == _ENTRY_CRC:
                crc = number
            elif key == _ENTRY_SLICE:
                slices.append(payload)
        dtype = dtype_of(dtype_number)
        shape = self.shapes.get(shape_proto)
        if shape is None:
            shape = self.shapes[shape_proto] = shape_of(shape_proto)
        if not slices and dtype in _ITEMSIZES and nbytes != (expected := prod(shape) * _ITEMSIZES[dtype]):
            raise WireError(f"it has {nbytes:,} bytes, and {dtype} {list(shape)} takes {expected:,}")
        extent = Extent.of_whole(self._shard(shard), offset, nbytes, shape, unmask(crc))
        return dtype, shape, extent, slices

    def _shard(self, number: int) -> Path:
        path = self.shards.get(number)
        if path is None:
            if number >= self.shard_count:
                raise WireError(f"it lies in shard {number} of {self.shard_count}, counted from 0")
            path = self.prefix.with_name(f"{self.prefix.name}.data-{number:05d}-of-{self.shard_count:05d}")
            self.shards[number] = path
        return path


def dtype_of(number: int) -> str:
    """The dtype of a DataType number.

    Raises:
        WireError: no dtype has this number.
    """
    if not 0 < number < len(_DTYPE_NAMES):
        raise WireError(f"it has dtype number {number}, which TensorFlow up to 2.21 does not have")
    return _DTYPE_NAMES[number]


def shape_of(proto: bytes) -> tuple[int, ...]:
    """The dimensions of a TensorShapeProto.

    Raises:
        WireError: the shape is malformed or unknown, or no array can have it.
    """
    dims = []
    for key, number, payload in fields(proto):
        if key == _UNKNOWN_RANK and number:
            raise WireError("its shape is unknown")
        if key == _DIM:
            dims.append(signed(next((size for key, size, _ in fields(payload) if key == _DIM_SIZE), 0)))
    if not is_possible_shape(dims):
        raise WireError(f"no array has the shape {dims}")
    return tuple(dims)


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} is damaged: {what}", path=path, hint=DAMAGED)

"""Safetensors: a reader for one file or a folder of shards, and the plan of the files that a writer fills.

A file is 8 bytes of header length (little-endian), a JSON header (by name: dtype, shape, and where the data begin and
end, counted from the end of the header), and the tensors one after another without gaps. Hugging Face's shards come
with an index, ``model.safetensors.index.json``, whose ``weight_map`` says in which file each tensor is.

Source: https://github.com/huggingface/safetensors (README.md, "Format").
"""

from __future__ import annotations

import json
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import CheckpointError, OutputError
from bridgeckpt.formats.checkpoint import Checkpoint, is_possible_shape
from bridgeckpt.formats.shards import json_object, malformed, read_weight_map, stored_name
from bridgeckpt.formats.tensors import DTYPES, Extent, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FILE_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
MAX_HEADER_SIZE = 100_000_000  # the safetensors library reads no longer one

_BY_CODE = {dtype.safetensors: dtype for dtype in DTYPES.values() if dtype.safetensors}


class Safetensors(Checkpoint):
    """A safetensors checkpoint, opened by its file or by the index of its shards.

    Raises:
        CheckpointError: a file is missing, or its header is not what the format asks for.
    """

    format = "safetensors"

    def __init__(self, path: Path, *, notes: tuple[str, ...] = ()) -> None:
        read = _read_shards if path.suffix == ".json" else _read_file
        tensors, metadata = read(path)
        super().__init__(path, tensors, metadata=metadata, notes=notes)

    @property
    def is_tensorflow(self) -> bool:
        """Whether a TensorFlow class of transformers wrote it, under TensorFlow's names."""
        return self.metadata.get("format") == "tf"

    @property
    def variable_names(self) -> Mapping[str, str]:
        """The names themselves, if they are those of TensorFlow's variables."""
        return {name: name for name in self.tensors} if self.is_tensorflow else {}


class SafetensorsFile(NamedTuple):
    """A file to be written.

    ``header`` is everything before the tensors; ``offsets`` says where each tensor's bytes begin, counted from the
    start of the file, and ``size`` how many bytes the whole file has.
    """

    name: str
    header: bytes
    offsets: dict[str, int]
    size: int


def plan_files(
    tensors: Sequence[tuple[str, str, tuple[int, ...]]],
    max_shard_size: int | None = None,
    metadata: Mapping[str, str] | None = None,
) -> list[SafetensorsFile]:
    """Divide tensors, given as (name, dtype, shape), over the files of a Hugging Face checkpoint.

    A file is full when the next tensor, in the given order, would bring its tensors over ``max_shard_size`` bytes; a
    tensor larger than that has a file of its own. Within a file the given order is kept, except that wider elements
    come first, so that every tensor is aligned to its elements.

    Raises:
        OutputError: a dtype has no place in the format.
    """
    sized = []
    for name, dtype, shape in tensors:
        stored = _stored(dtype, shape)
        if stored is None:
            raise OutputError(f"{name} is of dtype {dtype}, which safetensors cannot hold")
        sized.append((name, stored))
    shards = [sized] if max_shard_size is None else _shards(sized, max_shard_size)
    if len(shards) == 1:
        return [_file(_FILE_NAME, shards[0], metadata or {})]
    return [
        _file(f"model-{number:05d}-of-{len(shards):05d}.safetensors", shard, metadata or {})
        for number, shard in enumerate(shards, 1)
    ]


def index_json(files: Sequence[SafetensorsFile]) -> bytes:
    """The content of ``model.safetensors.index.json`` for several files; ``total_size`` counts the tensors' bytes."""
    weight_map = {name: file.name for file in files for name in file.offsets}
    total_size = sum(file.size - len(file.header) for file in files)
    index = {"metadata": {"total_size": total_size}, "weight_map": dict(sorted(weight_map.items()))}
    return (json.dumps(index, indent=2) + "\n").encode()


class _Stored(NamedTuple):
    """What a dtype and a shape come to in a file; ``json`` is the beginning of the header's entry."""

    nbytes: int
    itemsize: int
    json: str


_Named = tuple[str, _Stored]


@lru_cache(maxsize=1024)
def _stored(dtype: str, shape: tuple[int, ...]) -> _Stored | None:
    known = DTYPES.get(dtype)
    if known is None or known.safetensors is None:
        return None
    dims = ",".join(map(str, shape))
    return _Stored(prod(shape) * known.itemsize, known.itemsize, f'{{"dtype":"{known.safetensors}","shape":[{dims}]')


def _shards(tensors: list[_Named], max_size: int) -> list[list[_Named]]:
    """The division that huggingface_hub's ``split_state_dict_into_shards_factory`` makes, large tensors in place."""
    shards: list[list[_Named]] = []
    current: list[_Named] = []
    filled = 0
    for tensor in tensors:
        nbytes = tensor[1].nbytes
        if nbytes > max_size:
            shards.append([tensor])
            continue
        if filled + nbytes > max_size:
            shards.append(current)
            current, filled = [], 0
        current.append(tensor)
        filled += nbytes
    return [*shards, current] if current or not shards else shards


def _file(name: str, tensors: list[_Named], metadata: Mapping[str, str]) -> SafetensorsFile:
    entries = [f'"__metadata__":{json.dumps(dict(metadata))}'] if metadata else []
    begins, at = [], 0
    tensors = sorted(tensors, key=lambda tensor: -tensor[1].itemsize)
    for tensor, stored in tensors:
        begins.append(at)
        at += stored.nbytes
        entries.append(f'{encode_basestring_ascii(tensor)}:{stored.json},"data_offsets":[{begins[-1]},{at}]}}')
    text = f"{{{','.join(entries)}}}".encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    offsets = {tensor: start + begin for (tensor, _), begin in zip(tensors, begins, strict=True)}
    return SafetensorsFile(name, len(text).to_bytes(8, "little") + text, offsets, start + at)


def _read_file(path: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """The tensors and metadata of one file, in the order of the data."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, MAX_HEADER_SIZE):
                raise _malformed(path, f"it claims a header of {length:,} bytes and has {size:,} in all")
            text = file.read(length)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}", path=path) from None
    header = json_object(text, path, "safetensors file")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _malformed(path, "its __metadata__ is not text by name")
    start = 8 + length
    found = sorted((_tensor(name, entry, path, start) for name, entry in header.items()), key=_begin)
    at = start
    for info in found:
        extent = info.extents[0]
        if extent.offset != at:
            raise _malformed(path, f"the data of {info.name} begins at byte {extent.offset:,}, not {at:,}")
        at += extent.nbytes
    if at != size:
        raise _malformed(path, f"its tensors end at byte {at:,} and the file at {size:,}")
    return {info.name: info for info in found}, metadata


def _begin(info: TensorInfo) -> tuple[int, int]:
    return info.extents[0].offset, info.extents[0].nbytes


def _tensor(name: str, entry: object, path: Path, start: int) -> TensorInfo:
    """One entry of a header, whose data begins at byte ``start`` of the file."""
    match entry:
        case {"dtype": str(code), "shape": [*dims], "data_offsets": [int(begin), int(end)]} if _are_sizes(dims):
            shape = tuple(dims)
        case _:
            raise _malformed(path, f"its entry for {name} is not a dtype, a shape and two offsets")
    if code not in _BY_CODE:
        raise CheckpointError(f"{path}: {name} has the dtype {code}, which is not known here", path=path)
    dtype = _BY_CODE[code]
    if end - begin != prod(shape) * dtype.itemsize:
        raise _malformed(path, f"{name} has {end - begin:,} bytes for {code} {list(shape)}")
    extent = Extent(path, start + begin, end - begin, (0,) * len(shape), shape, None)
    return TensorInfo(name, dtype.name, shape, (extent,))


def _are_sizes(dims: list[Any]) -> bool:
    return all(type(size) is int for size in dims) and is_possible_shape(dims)


def _read_shards(path: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """The tensors of all files that an index names, and the metadata of the first of them."""
    weight_map = read_weight_map(path, "safetensors index")
    tensors: dict[str, TensorInfo] = {}
    metadata: dict[str, str] = {}
    for file_name in dict.fromkeys(name for files in weight_map.values() for name in files):
        found, of_file = _read_file(path.with_name(file_name))
        metadata = metadata or of_file
        if twice := tensors.keys() & found.keys():
            raise malformed(path, "safetensors index", f"{min(twice)} is in {file_name} and in another file")
        tensors.update(found)
    for name, files in weight_map.items():
        stored = stored_name(name, tensors)
        if stored is None or files != (tensors[stored].extents[0].path.name,):
            raise malformed(
                path, "safetensors index", f"it says that {name} is in {', '.join(files)}, which does not hold it"
            )
    return tensors, metadata


def _malformed(path: Path, what: str) -> CheckpointError:
    return malformed(path, "safetensors file", what)

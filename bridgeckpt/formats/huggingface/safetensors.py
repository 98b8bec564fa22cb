"""A reader of safetensors: one file, or several shards with their index.

A file is the length of the header in 8 bytes (little-endian), a JSON header, and the tensors without gaps. For each
name, the header has the dtype, the shape, and where the data begins and ends, counted from the end of the header.
Hugging Face's shards come with an index, ``model.safetensors.index.json``. Its ``weight_map`` says which file holds
each tensor.

Source: https://github.com/huggingface/safetensors (README.md, "Format").
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.formats.shards import json_object, malformed, read_weight_map, stored_name
from bridgeckpt.store.dtypes import is_possible_shape
from bridgeckpt.store.lfs import open_content
from bridgeckpt.store.tensors import DTYPES, Extent, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEADER_SIZE = 100_000_000  # bytes; the limit of the safetensors library

_BY_CODE = {dtype.safetensors: dtype for dtype in DTYPES.values() if dtype.safetensors}


class Safetensors(Checkpoint):
    """A safetensors checkpoint, opened by its file or by the index of its shards.

    Raises:
        CheckpointError: a file is missing, or its header is not valid.
    """

    format = "safetensors"

    def __init__(self, path: Path, *, notes: tuple[str, ...] = ()) -> None:
        read = _read_shards if path.suffix == ".json" else _read_file
        tensors, metadata = read(path)
        super().__init__(path, tensors, metadata=metadata, notes=notes)

    @property
    def is_tensorflow(self) -> bool:
        """Whether a TensorFlow class of transformers wrote it. Then it has the names of TensorFlow."""
        return self.metadata.get("format") == "tf"

    @property
    def has_pytorch_names(self) -> bool:
        """True unless a TensorFlow class of transformers wrote it."""
        return not self.is_tensorflow

    @property
    def variable_names(self) -> Mapping[str, str]:
        """The keys, if they are the names of TensorFlow variables."""
        return {name: name for name in self.tensors} if self.is_tensorflow else {}


def _read_file(path: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """The tensors and metadata of one file, in the order of the data."""
    try:
        file = open_content(path)
        size = file.size
        length = int.from_bytes(file.read(0, min(8, size)), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_SIZE):
            raise _malformed(path, f"it claims a header of {length:,} bytes and has {size:,} in all")
        text = file.read(8, length)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}", path=path) from None
    header = json_object(text, path, "safetensors file")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _malformed(path, "its __metadata__ is not text by name")
    start = 8 + length
    tensors = sorted((_tensor(name, entry, path, start) for name, entry in header.items()), key=_place)
    end = start
    for info in tensors:
        extent = info.extents[0]
        if extent.offset != end:
            raise _malformed(path, f"the data of {info.name} begins at byte {extent.offset:,}, not {end:,}")
        end += extent.nbytes
    if end != size:
        raise _malformed(path, f"its tensors end at byte {end:,} and the file at {size:,}")
    return {info.name: info for info in tensors}, metadata


def _place(info: TensorInfo) -> tuple[int, int]:
    return info.extents[0].offset, info.extents[0].nbytes


def _tensor(name: str, entry: object, path: Path, start: int) -> TensorInfo:
    """One entry of a header. The data of the file begins at byte ``start``."""
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
    extent = Extent.of_whole(path, start + begin, end - begin, shape)
    return TensorInfo(name, dtype.name, shape, (extent,))


def _are_sizes(dims: list[Any]) -> bool:
    return all(type(size) is int for size in dims) and is_possible_shape(dims)


def _read_shards(path: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """The tensors of all files that an index lists, and the metadata of the first file that has some."""
    weight_map = read_weight_map(path, "safetensors index")
    tensors: dict[str, TensorInfo] = {}
    metadata: dict[str, str] = {}
    for file_name in dict.fromkeys(name for files in weight_map.values() for name in files):
        file_tensors, file_metadata = _read_file(path.with_name(file_name))
        metadata = metadata or file_metadata
        if twice := tensors.keys() & file_tensors.keys():
            raise malformed(path, "safetensors index", f"{min(twice)} is in {file_name} and in another file")
        tensors.update(file_tensors)
    for name, files in weight_map.items():
        stored = stored_name(name, tensors)
        if stored is None or files != (tensors[stored].extents[0].path.name,):
            raise malformed(
                path, "safetensors index", f"it says that {name} is in {', '.join(files)}, which does not hold it"
            )
    return tensors, metadata


def _malformed(path: Path, what: str) -> CheckpointError:
    return malformed(path, "safetensors file", what)

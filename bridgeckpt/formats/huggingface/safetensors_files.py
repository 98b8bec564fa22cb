"""The safetensors files of a Hugging Face checkpoint, planned before anything is written: headers, offsets, index."""

from __future__ import annotations

import json
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import OutputError
from bridgeckpt.store.tensors import DTYPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FILE_NAME = "model.safetensors"

INDEX_NAME = "model.safetensors.index.json"


class SafetensorsFile(NamedTuple):
    """A file to be written.

    ``header`` is all bytes before the tensors. ``offsets`` are where each tensor's bytes begin, counted from the start
    of the file. ``size`` is the number of bytes of the whole file.
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
    """Divide tensors, given as (name, dtype, shape), among the files of a Hugging Face checkpoint.

    A file is full if the next tensor, in the given order, would bring its tensors over ``max_shard_size`` bytes. A
    larger tensor has a file of its own. A file keeps the given order, except that wider elements come first, so that
    every tensor is aligned to its elements.

    Raises:
        OutputError: safetensors cannot hold a dtype.
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


def plan_file(
    name: str, tensors: Sequence[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str]
) -> SafetensorsFile:
    """One file with all of these tensors, given as (name, dtype, shape).

    Raises:
        OutputError: safetensors cannot hold a dtype.
    """
    (file,) = plan_files(tensors, None, metadata)
    return file._replace(name=name)


def can_hold(dtype: str) -> bool:
    """Whether a safetensors file can hold tensors of this dtype."""
    return dtype in DTYPES and DTYPES[dtype].safetensors is not None


def index_json(files: Sequence[SafetensorsFile]) -> bytes:
    """The content of ``model.safetensors.index.json`` for several files; ``total_size`` counts the tensors' bytes."""
    weight_map = {name: file.name for file in files for name in file.offsets}
    total_size = sum(file.size - len(file.header) for file in files)
    index = {"metadata": {"total_size": total_size}, "weight_map": dict(sorted(weight_map.items()))}
    return (json.dumps(index, indent=2) + "\n").encode()


class _Stored(NamedTuple):
    """The storage of a tensor: ``nbytes``, and ``itemsize`` in bytes. ``json`` is the beginning of its header entry."""

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
    """The division of huggingface_hub's ``split_state_dict_into_shards_factory``; large tensors keep their order."""
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
    begins, end = [], 0
    tensors = sorted(tensors, key=lambda tensor: -tensor[1].itemsize)
    for tensor, stored in tensors:
        begins.append(end)
        end += stored.nbytes
        entries.append(f'{encode_basestring_ascii(tensor)}:{stored.json},"data_offsets":[{begins[-1]},{end}]}}')
    text = f"{{{','.join(entries)}}}".encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    offsets = {tensor: start + begin for (tensor, _), begin in zip(tensors, begins, strict=True)}
    return SafetensorsFile(name, len(text).to_bytes(8, "little") + text, offsets, start + end)

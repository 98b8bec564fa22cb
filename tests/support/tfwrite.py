"""TensorBundles written by real TensorFlow, and their indexes written again by hand: compressed, big-endian or damaged.

Whatever is written by hand and meant to be sound, TensorFlow reads in the test that uses it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import cramjam
import google_crc32c
import numpy as np
import pytest

from bridgeckpt.formats.tensorflow.sstable import entries
from bridgeckpt.formats.tensorflow.wire import FIXED32, VARINT, fields, tag

Entries = list[tuple[bytes, bytes]]


def tensorflow() -> Any:
    """TensorFlow, or the test is skipped."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return pytest.importorskip("tensorflow")


def save(prefix: Path, tensors: Mapping[str, Any], slices: Iterable[tuple[str, str, Any]] = ()) -> Path:
    """Save whole tensors by name, and slices as (name, specification such as "40 6 0,10:-", value)."""
    tf = tensorflow()
    rows = [(name, "", value) for name, value in tensors.items()] + list(slices)
    names, specifications, values = (list(column) for column in zip(*rows, strict=True))
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=specifications,
        tensors=[tf.convert_to_tensor(value) for value in values],
    )
    return prefix


def save_shards(prefix: Path, shards: Iterable[Mapping[str, Any]]) -> Path:
    """Save each of ``shards`` into a data file of its own, as a sharded Saver does."""
    parts = [str(save(prefix.with_name(f"{prefix.name}_temp_{n}"), shard)) for n, shard in enumerate(shards)]
    tensorflow().raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=parts, destination_prefix=str(prefix), delete_old_dirs=False
    )
    return prefix


def read(prefix: Path) -> dict[str, Any]:
    """Every tensor as TensorFlow reads it."""
    reader = tensorflow().train.load_checkpoint(str(prefix))
    return {name: np.asarray(reader.get_tensor(name)) for name in reader.get_variable_to_shape_map()}


def index_entries(prefix: Path) -> Entries:
    return list(entries(Path(f"{prefix}.index")))


def write_index(prefix: Path, rows: Entries, **options: Any) -> None:
    Path(f"{prefix}.index").write_bytes(table(rows, **options))


def table(
    rows: Entries, *, snappy: bool = False, block_size: int = 4096, edit: Callable[[bytes], bytes] = lambda block: block
) -> bytes:
    """A LevelDB table of ``rows``; ``edit`` may change each block, its checksum is made for what comes out."""
    written, index, block = bytearray(), [], Entries()

    def put(content: Entries, *, compress: bool) -> bytes:
        data = edit(block_of(content))
        kind = b"\1" if compress else b"\0"
        data = bytes(cramjam.snappy.compress_raw(data)) if compress else data
        handle = varint(len(written)) + varint(len(data))
        written.extend(data + kind + checksum(data + kind))
        return handle

    for key, value in rows:
        block.append((key, value))
        if sum(len(key) + len(value) for key, value in block) >= block_size:
            index.append((key, put(block, compress=snappy)))
            block = []
    if block:
        index.append((block[-1][0], put(block, compress=snappy)))
    footer = put([], compress=False) + put(index, compress=False)
    return bytes(written) + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def block_of(rows: Entries) -> bytes:
    data, restarts, last = bytearray(), [], b""
    for number, (key, value) in enumerate(rows):
        shared = 0
        if number % 16:
            while last[shared : shared + 1] == key[shared : shared + 1] != b"":
                shared += 1
        else:
            restarts.append(len(data))
        data += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return bytes(data) + b"".join(at.to_bytes(4, "little") for at in [*(restarts or [0]), len(restarts or [0])])


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def message(*content: tuple[int, int | bytes]) -> bytes:
    """A protobuf message of (tag, value)."""
    out = b""
    for key, value in content:
        if isinstance(value, bytes):
            out += varint(key) + varint(len(value)) + value
        else:
            out += varint(key) + (value.to_bytes(4, "little") if key & 7 == FIXED32 else varint(value))
    return out


def big_endian(prefix: Path, widths: Mapping[str, int]) -> None:
    """Turn a bundle of one shard into what a big-endian machine writes; ``widths``: the bytes of each number."""
    shard = Path(f"{prefix}.data-00000-of-00001")
    data = bytearray(shard.read_bytes())
    (header_key, header), *rows = index_entries(prefix)
    swapped = [(header_key, header + message((tag(2, VARINT), 1)))]
    for key, value in rows:
        entry = {key: payload or number for key, number, payload in fields(value)}
        at, size, width = entry.get(tag(4, VARINT), 0), entry.get(tag(5, VARINT), 0), widths[key.decode()]
        data[at : at + size] = np.frombuffer(data[at : at + size], f"u{width}").byteswap().tobytes()
        entry[tag(6, FIXED32)] = _masked(google_crc32c.value(bytes(data[at : at + size])))
        swapped.append((key, message(*entry.items())))
    shard.write_bytes(data)
    write_index(prefix, swapped)


def checksum(data: bytes) -> bytes:
    return _masked(google_crc32c.value(data)).to_bytes(4, "little")


def _masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

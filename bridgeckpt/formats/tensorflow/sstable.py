"""LevelDB's table format: the sorted keys and values of a ``.index`` file, or of a V1 checkpoint.

A table is a sequence of blocks, then an index block with their places, then a footer with the place of the index block.
A key is stored without the prefix that it shares with the key before it. A block may be compressed with Snappy, and
every block has a CRC-32C.

Sources: https://github.com/google/leveldb/blob/main/doc/table_format.md, https://github.com/google/snappy (format
description). Every size in a file is checked against the bytes that are there before it is used.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.tensorflow.wire import WireError, varint
from bridgeckpt.store.lfs import open_content

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridgeckpt.store.contract import StoredFile

MAGIC = bytes.fromhex("57fb808b247547db")  # the last 8 bytes of every table
FOOTER_SIZE = 48
_TRAILER_SIZE = 5  # after each block: its compression, and the masked CRC-32C of block and compression
_PLAIN, _SNAPPY = 0, 1
# Snappy's longest copy turns 3 bytes into 64. A block that claims a larger ratio is not valid.
_SNAPPY_RATIO = 22
# A key is written in full every 16 entries, so keys expand to about 16 times their block. Far more is an attack.
_KEY_RATIO = 64

DAMAGED = "the file is damaged or was cut short: copy or download it again"


def unmask(crc: int) -> int:
    """Unmask a CRC-32C. LevelDB and TensorFlow store it masked, because a CRC of data that holds CRCs is weak."""
    rotated = (crc - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def entries(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of the table in ``path``, in ascending order of keys. Blocks are read when needed.

    Raises:
        CheckpointError: the file cannot be read, is not a table, or is damaged.
    """
    try:
        yield from _entries(open_content(path), path)
    except WireError as error:
        raise _damaged(path, str(error)) from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}", path=path) from None


def _entries(file: StoredFile, path: Path) -> Iterator[tuple[bytes, bytes]]:
    if file.size < FOOTER_SIZE:
        raise _damaged(path, f"it has {file.size} bytes, fewer than a footer's {FOOTER_SIZE}")
    end = file.size - FOOTER_SIZE
    footer = file.read(end, FOOTER_SIZE)
    if not footer.endswith(MAGIC):
        raise _damaged(path, "it does not end in the magic number of a table")
    _, position = _handle(footer, 0)  # of the metaindex block, which TensorFlow leaves empty
    index_handle, _ = _handle(footer, position)
    last_key: bytes | None = None
    read_until = 0
    for _, value in _block_entries(_block(file, path, index_handle, end), path):
        handle, _ = _handle(value, 0)
        # Blocks do not overlap. If one could be listed twice, reading could take far longer than the file is long.
        if handle[0] < read_until:
            raise _damaged(path, f"the block at byte {handle[0]} overlaps the one before")
        read_until = sum(handle) + _TRAILER_SIZE
        block_entries = _block_entries(_block(file, path, handle, end), path)
        if block_entries and last_key is not None and block_entries[0][0] <= last_key:
            raise _damaged(path, "its blocks are not in the order of their keys")
        if block_entries:
            last_key = block_entries[-1][0]
        yield from block_entries


def _handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    """A block's offset and its size without trailer, and the position after these numbers."""
    offset, position = varint(data, position)
    size, position = varint(data, position)
    return (offset, size), position


def _block(file: StoredFile, path: Path, handle: tuple[int, int], end: int) -> bytes:
    """The checked and decompressed block at ``handle``. It must end before ``end``."""
    import google_crc32c

    offset, size = handle
    if offset + size + _TRAILER_SIZE > end:
        raise _damaged(path, f"a block of {size:,} bytes at byte {offset:,} reaches past byte {end:,}")
    block = file.read(offset, size + _TRAILER_SIZE)
    expected = unmask(int.from_bytes(block[-4:], "little"))
    computed = google_crc32c.value(block[:-4])
    if computed != expected:
        raise _damaged(path, f"the block at byte {offset:,} has checksum {computed:08x}, not {expected:08x}")
    compression, contents = block[size], block[:size]
    if compression == _PLAIN:
        return contents
    if compression == _SNAPPY:
        return _decompress(contents, path, offset)
    raise _damaged(path, f"the block at byte {offset:,} has the unknown compression {compression}")


def _decompress(contents: bytes, path: Path, offset: int) -> bytes:
    import cramjam

    size, start = varint(contents, 0)
    if size > _SNAPPY_RATIO * (len(contents) - start):
        raise _damaged(path, f"the block at byte {offset:,} claims {size:,} bytes in {len(contents):,} of Snappy")
    try:
        return bytes(cramjam.snappy.decompress_raw(contents))
    except cramjam.DecompressionError as error:
        raise _damaged(path, f"the block at byte {offset:,} is not valid Snappy ({error})") from None


def _block_entries(block: bytes, path: Path) -> list[tuple[bytes, bytes]]:
    """The keys and values of a block. It holds the entries, the offsets of full keys (unused here) and their number."""
    restarts = struct.unpack_from("<I", block, len(block) - 4)[0] if len(block) >= 4 else -1
    end = len(block) - 4 - 4 * restarts
    if restarts < 0 or end < 0:
        raise _damaged(path, f"a block of {len(block):,} bytes claims {restarts:,} restart points")
    pairs: list[tuple[bytes, bytes]] = []
    key, position, expanded, allowed = b"", 0, 0, _KEY_RATIO * len(block)
    while position < end:
        # The three sizes are nearly always one byte each. The restart count keeps position + 2 inside the block.
        shared, fresh, size = block[position], block[position + 1], block[position + 2]
        if (shared | fresh | size) < 0x80:
            position += 3
        else:
            shared, position = varint(block, position)
            fresh, position = varint(block, position)
            size, position = varint(block, position)
        value_start = position + fresh
        previous, key = key, key[:shared] + block[position:value_start]
        position = value_start + size
        expanded += shared + fresh
        if position > end or shared > len(previous) or expanded > allowed:
            raise _damaged(path, f"an entry of a block claims {shared:,} + {fresh:,} + {size:,} bytes")
        if key <= previous and pairs:
            raise _damaged(path, f"its keys are not in order at {key!r}")
        pairs.append((key, block[value_start:position]))
    return pairs


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} is not a readable table: {what}", path=path, hint=DAMAGED)

"""Protocol buffers' wire format, decoded with bounds: the numbers and byte strings of a message, without its schema.

TensorFlow's generated message classes are not used, because two copies of them in one process clash. A field is
recognised by its tag, which holds its number and its wire type; :func:`tag` makes one. As in protobuf itself, a caller
skips a field that it does not know, or that has another wire type.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_UINT32 = struct.Struct("<I")
_UINT64 = struct.Struct("<Q")


class WireError(ValueError):
    """The bytes are not a protobuf message. Code that knows the file turns this into a ``CheckpointError``."""


def tag(number: int, wire_type: int) -> int:
    """The tag of field ``number`` with ``wire_type`` (``VARINT``, ``FIXED64``, ``BYTES`` or ``FIXED32``)."""
    return number << 3 | wire_type


def varint(data: bytes, position: int) -> tuple[int, int]:
    """The unsigned varint at ``position``, below 2**64, and the position after it.

    Raises:
        WireError: the data ends inside the varint, or it has more than 64 bits.
    """
    value, shift, start, end = 0, 0, position, len(data)
    while position < end and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, position
        shift += 7
    raise WireError(f"no number of at most 64 bits at byte {start} of {end}")


def signed(value: int) -> int:
    """An unsigned varint read as int32 or int64: protobuf writes both as 64-bit two's complement."""
    return value - (1 << 64) if value >> 63 else value


def fields(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Every field of a message, in order, as ``(tag, number, payload)``.

    ``number`` is the unsigned value of a numeric field (of its 4 or 8 little-endian bytes if it has a fixed size), and
    0 for a byte string. ``payload`` is the byte string (a string, a message or packed numbers), and empty for a number.

    Raises:
        WireError: the bytes are not a message. The fields before the damage were yielded already.
    """
    position, end = 0, len(data)
    while position < end:
        key = data[position]
        position += 1
        if key >= 0x80:
            key, position = varint(data, position - 1)
        wire_type = key & 7
        if wire_type in (VARINT, BYTES):
            value = data[position] if position < end else 0x80
            if value < 0x80:
                position += 1
            else:
                value, position = varint(data, position)
            if wire_type == VARINT:
                yield key, value, b""
                continue
            start, position = position, position + value
            if position > end:
                raise WireError(f"{value} bytes at byte {start} of {end}")
            yield key, 0, data[start:position]
        elif wire_type == FIXED32 and position + 4 <= end:
            yield key, _UINT32.unpack_from(data, position)[0], b""
            position += 4
        elif wire_type == FIXED64 and position + 8 <= end:
            yield key, _UINT64.unpack_from(data, position)[0], b""
            position += 8
        else:
            raise WireError(f"no field at byte {position} of {end} (wire type {wire_type})")


def numbers(payload: bytes) -> Iterator[int]:
    """The varints of a packed repeated field, unsigned."""
    position = 0
    while position < len(payload):
        value, position = varint(payload, position)
        yield value


def map_entry(message: bytes) -> tuple[str, bytes]:
    """The key and the value of an entry in a map from strings to messages or strings.

    Raises:
        WireError: the bytes are not a message.
        UnicodeDecodeError: the key is not UTF-8.
    """
    parts = {key: payload for key, _, payload in fields(message)}
    return parts.get(tag(1, BYTES), b"").decode(), parts.get(tag(2, BYTES), b"")


def text(message: bytes, key: int) -> str:
    """The string in the field with the tag ``key``; empty if the field is absent.

    Raises:
        WireError: the bytes are not a message.
        UnicodeDecodeError: the string is not UTF-8.
    """
    return b"".join([payload for field, _, payload in fields(message) if field == key][-1:]).decode()

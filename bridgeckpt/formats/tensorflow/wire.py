"""Protocol buffers' wire format, decoded with bounds: the numbers and byte strings of a message, no message by name.

TensorFlow's generated message classes are not used, for two copies of them in one process clash. A field is known by
its tag, which holds its number and its wire type; :func:`tag` makes one. As in protobuf itself, a field that a caller
does not know, or that has another wire type than the caller's, is not an error: it is passed over.

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
    """Bytes that are no protobuf message; whoever knows the file turns it into a ``CheckpointError``."""


def tag(number: int, wire_type: int) -> int:
    """The tag of field ``number`` with ``wire_type`` (``VARINT``, ``FIXED64``, ``BYTES`` or ``FIXED32``)."""
    return number << 3 | wire_type


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The unsigned varint at ``at``, below 2**64, and the position after it.

    Raises:
        WireError: the data ends within it, or it is longer than 64 bits.
    """
    value, shift, start, end = 0, 0, at, len(data)
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, at
        shift += 7
    raise WireError(f"no number of at most 64 bits at byte {start} of {end}")


def signed(value: int) -> int:
    """An unsigned varint read as int32 or int64: protobuf writes both as 64-bit two's complement."""
    return value - (1 << 64) if value >> 63 else value


def fields(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Every field of a message, in order, as ``(tag, number, payload)``.

    ``number`` is the unsigned value of a numeric field (of the 4 or 8 little-endian bytes when it is of fixed size) and
    0 for a byte string; ``payload`` is the byte string (a string, a message or packed numbers) and empty for a number.

    Raises:
        WireError: the bytes are not a message. What came before the damage has been handed out by then.
    """
    at, end = 0, len(data)
    while at < end:
        key = data[at]
        at += 1
        if key >= 0x80:
            key, at = varint(data, at - 1)
        kind = key & 7
        if kind in (VARINT, BYTES):
            value = data[at] if at < end else 0x80
            if value < 0x80:
                at += 1
            else:
                value, at = varint(data, at)
            if kind == VARINT:
                yield key, value, b""
                continue
            start, at = at, at + value
            if at > end:
                raise WireError(f"{value} bytes at byte {start} of {end}")
            yield key, 0, data[start:at]
        elif kind == FIXED32 and at + 4 <= end:
            yield key, _UINT32.unpack_from(data, at)[0], b""
            at += 4
        elif kind == FIXED64 and at + 8 <= end:
            yield key, _UINT64.unpack_from(data, at)[0], b""
            at += 8
        else:
            raise WireError(f"no field at byte {at} of {end} (wire type {kind})")


def numbers(payload: bytes) -> Iterator[int]:
    """The varints of a packed repeated field, unsigned."""
    at = 0
    while at < len(payload):
        value, at = varint(payload, at)
        yield value


def map_entry(message: bytes) -> tuple[str, bytes]:
    """Key and value of an entry of a map from strings to messages or strings.

    Raises:
        WireError: the bytes are no message.
        UnicodeDecodeError: the key is no text.
    """
    parts = {key: payload for key, _, payload in fields(message)}
    return parts.get(tag(1, BYTES), b"").decode(), parts.get(tag(2, BYTES), b"")


def text(message: bytes, key: int) -> str:
    """The string in the field with the tag ``key``; empty without it.

    Raises:
        WireError: the bytes are no message.
        UnicodeDecodeError: the string is no text.
    """
    return b"".join([payload for found, _, payload in fields(message) if found == key][-1:]).decode()

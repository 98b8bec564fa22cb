"""The stated lengths of strings in an HDF5 attribute, checked before libhdf5 allocates memory for them.

A string of variable length is stored as its length and a reference to a heap. libhdf5 1.14 allocates the length, up to
4 GiB, before it looks into the heap. Object headers of version 2 have checksums against damage. Version 1, which h5py
and Keras write by default, has no checksums, so it is read here.

Source: https://docs.hdfgroup.org/archive/support/HDF5/doc/H5.format.html, "Version 1 Data Object Header Prefix", "The
Attribute Message", "Object Header Continuation".
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[int, int], bytes]

_PREFIX, _MESSAGE = 16, 8  # bytes before the first message, and before the content of each message
_ATTRIBUTE, _CONTINUATION = 0x0C, 0x10  # types of messages
_REFERENCE = 16  # length (4 bytes), address of the heap (8), number of the object in it (4)
_MAX_BLOCKS = 1000


def string_lengths(read: Read, header: int, name: str) -> list[int] | None:
    """The lengths in bytes of the strings in the attribute ``name``. None if the object header is not version 1.

    ``header`` is the address of the object header. ``read(address, nbytes)`` reads bytes at an address of the file.

    Raises:
        ValueError: the header is damaged.
    """
    prefix = read(header, _PREFIX)
    if prefix[0] != 1:
        return None
    for kind, message in _messages(read, header + _PREFIX, _number(prefix, 8, 4)):
        if kind == _ATTRIBUTE:
            attribute, value = _attribute(message)
            if attribute == name.encode():
                end = len(value) - len(value) % _REFERENCE
                return [_number(value, start, 4) for start in range(0, end, _REFERENCE)]
    return None


def _messages(read: Read, address: int, size: int) -> Iterator[tuple[int, bytes]]:
    """The type and content of each message, also of those in continuation blocks."""
    blocks = [(address, size)]
    for address, size in islice(blocks, _MAX_BLOCKS):  # the list grows during the loop
        block = read(address, size)
        start = 0
        while start + _MESSAGE <= len(block):
            kind, length = _number(block, start, 2), _number(block, start + 2, 2)
            content = block[start + _MESSAGE : start + _MESSAGE + length]
            if kind == _CONTINUATION:
                blocks.append((_number(content, 0, 8), _number(content, 8, 8)))
            yield kind, content
            start += _MESSAGE + length


def _attribute(message: bytes) -> tuple[bytes, bytes]:
    """The name and the value of an attribute; between them are its type and its shape."""
    version = message[0] if message else 0
    start = 9 if version == 3 else 8
    sizes = [_number(message, offset, 2) for offset in (2, 4, 6)]  # of name, type and shape
    if version == 1:
        sizes = [size + -size % 8 for size in sizes]
    return message[start : start + sizes[0]].rstrip(b"\0"), message[start + sum(sizes) :]


def _number(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little")

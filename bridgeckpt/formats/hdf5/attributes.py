"""How long the strings in an HDF5 attribute say they are, looked up before libhdf5 makes room for them.

A string of variable length is stored as its length and a reference to a heap, and libhdf5 1.14 allocates the length, up
to 4 GiB, before it finds that the heap holds something else. Object headers of version 2 have checksums against
damage; version 1, which h5py and Keras write unless told otherwise, has none, and is read here.

Source: https://docs.hdfgroup.org/archive/support/HDF5/doc/H5.format.html, "Version 1 Data Object Header Prefix", "The
Attribute Message", "Object Header Continuation".
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[int, int], bytes]

_PREFIX, _MESSAGE = 16, 8  # sizes of what comes before the messages, and before each of them
_ATTRIBUTE, _CONTINUATION = 0x0C, 0x10  # types of messages
_REFERENCE = 16  # length (4 bytes), address of the heap (8), number of the object in it (4)
_MAX_BLOCKS = 1000


def string_lengths(read: Read, header: int, name: str) -> list[int] | None:
    """The lengths of the strings of the attribute ``name``, or None where the header at ``header`` is not version 1.

    ``read(address, nbytes)`` gives bytes of the file by its own addresses.

    Raises:
        ValueError: the header is damaged.
    """
    prefix = read(header, _PREFIX)
    if prefix[0] != 1:
        return None
    for kind, message in _messages(read, header + _PREFIX, _number(prefix, 8, 4)):
        if kind == _ATTRIBUTE:
            found, value = _attribute(message)
            if found == name.encode():
                return [_number(value, at, 4) for at in range(0, len(value) - len(value) % _REFERENCE, _REFERENCE)]
    return None


def _messages(read: Read, start: int, nbytes: int) -> Iterator[tuple[int, bytes]]:
    """Each message's type and content, those in continuation blocks included."""
    blocks = [(start, nbytes)]
    for begin, size in islice(blocks, _MAX_BLOCKS):  # grows while it is gone through
        block = read(begin, size)
        at = 0
        while at + _MESSAGE <= len(block):
            kind, length = _number(block, at, 2), _number(block, at + 2, 2)
            content = block[at + _MESSAGE : at + _MESSAGE + length]
            if kind == _CONTINUATION:
                blocks.append((_number(content, 0, 8), _number(content, 8, 8)))
            yield kind, content
            at += _MESSAGE + length


def _attribute(message: bytes) -> tuple[bytes, bytes]:
    """The name and the value of an attribute; between them are its type and its shape."""
    version = message[0] if message else 0
    start = 9 if version == 3 else 8
    sizes = [_number(message, at, 2) for at in (2, 4, 6)]  # of name, type and shape
    if version == 1:
        sizes = [size + -size % 8 for size in sizes]
    return message[start : start + sizes[0]].rstrip(b"\0"), message[start + sum(sizes) :]


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")

"""A part of a file as the file that libhdf5 reads: bounded, without locks, and with a look at what is read.

h5py takes any Python file. One of its own opening would be locked, and could not be opened at all where another user
of h5py in the same process has it open with another choice of locks.

Source of the global heap's layout: https://docs.hdfgroup.org/archive/support/HDF5/doc/H5.format.html, "Disk Format:
Level 1E - Global Heap".
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_HEAP, _HEAP_HEADER, _HEAP_OBJECT = b"GCOL", 16, 16  # the signature, and sizes of headers where lengths take 8 bytes


class Part(NamedTuple):
    """A file inside another file, stored as it is: ``nbytes`` from ``offset``."""

    offset: int
    nbytes: int


class Window(io.RawIOBase):
    """A part of a file as the file that h5py reads, which then needs no lock, and what it reads can be looked at."""

    def __init__(self, path: Path, part: Part) -> None:
        self._file = path.open("rb")
        self._part = part
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The position in the part."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position in the part, which is returned."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._part.nbytes}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Fill the whole buffer.

        Raises:
            ValueError: the part or the file ends before, or has a damage that libhdf5 does not notice.
            OSError: the file cannot be read.
        """
        wanted = memoryview(buffer)
        if self._at + len(wanted) > self._part.nbytes:  # h5py would take what was in the memory for what was not read
            raise ValueError(f"it ends at byte {self._part.nbytes:,}")
        self._file.seek(self._part.offset + self._at)
        found = self._file.readinto(wanted)
        if found < len(wanted):
            raise ValueError(f"it ends at byte {self._at + found:,}")
        if wanted[: len(_HEAP)] == _HEAP:
            _check_heap(wanted)
        self._at += found
        return found

    def read_at(self, offset: int, nbytes: int) -> bytes:
        """``nbytes`` of the part from ``offset``.

        Raises:
            ValueError: as :meth:`readinto`.
            OSError: as :meth:`readinto`.
        """
        if offset + nbytes > self._part.nbytes:
            raise ValueError(f"it ends at byte {self._part.nbytes:,}")
        buffer = bytearray(nbytes)
        self.seek(offset)
        self.readinto(buffer)
        return bytes(buffer)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _check_heap(collection: memoryview) -> None:
    """See that the objects of a global heap collection lead to its end: libhdf5 1.14 follows others for ever."""
    at = _HEAP_HEADER
    while at + _HEAP_OBJECT <= len(collection):
        number = int.from_bytes(collection[at : at + 2], "little")
        size = int.from_bytes(collection[at + 8 : at + 16], "little")
        step = _HEAP_OBJECT + size + -size % 8 if number else size  # object 0 is the free space, its header included
        if not step:
            raise ValueError("a global heap has an object of no size")
        at += step

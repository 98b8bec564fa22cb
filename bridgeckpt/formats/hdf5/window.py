"""Read-only file object over a byte range of a stored file, for h5py: bounded, without locks, and checked.

h5py takes any Python file. One of its own opening would be locked, and could not be opened at all where another user
of h5py in the same process has it open with another choice of locks.

Source of the global heap's layout: https://docs.hdfgroup.org/archive/support/HDF5/doc/H5.format.html, "Disk Format:
Level 1E - Global Heap".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bridgeckpt.store.contract import EndsEarlyError
from bridgeckpt.store.fileobject import FileObject

_HEAP, _HEAP_HEADER, _HEAP_OBJECT = b"GCOL", 16, 16  # the signature, and sizes of headers where lengths take 8 bytes


class Part(NamedTuple):
    """A file inside another file, stored as it is: ``nbytes`` from ``offset``."""

    offset: int
    nbytes: int


class Window(FileObject):
    """Read-only file object over a part of a file. h5py locks no file then, and what it reads can be looked at."""

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Fill the whole buffer.

        Raises:
            ValueError: the part or the file ends before, or has a damage that libhdf5 does not notice.
            OSError: the file cannot be read.
        """
        wanted = memoryview(buffer)
        if self.tell() + len(wanted) > self.nbytes:  # h5py would take what was in the memory for what was not read
            raise ValueError(f"it ends at byte {self.nbytes:,}")
        try:
            found = super().readinto(wanted)
        except EndsEarlyError as error:
            raise ValueError(error.strerror) from None
        if wanted[: len(_HEAP)] == _HEAP:
            _check_heap(wanted)
        return found

    def read_at(self, offset: int, nbytes: int) -> bytes:
        """``nbytes`` of the part from ``offset``.

        Raises:
            ValueError: as :meth:`readinto`.
            OSError: as :meth:`readinto`.
        """
        if offset + nbytes > self.nbytes:
            raise ValueError(f"it ends at byte {self.nbytes:,}")
        buffer = bytearray(nbytes)
        self.seek(offset)
        self.readinto(buffer)
        return bytes(buffer)


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

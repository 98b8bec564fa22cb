"""Read-only file object over a byte range of a stored file, for h5py: bounded, without locks, and checked.

h5py accepts any Python file object. A file that h5py opens itself is locked. It cannot be opened at all if other code
in the process has it open through h5py with another setting for locks.

Source of the global heap's layout: https://docs.hdfgroup.org/archive/support/HDF5/doc/H5.format.html, "Disk Format:
Level 1E - Global Heap".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bridgeckpt.store.contract import EndsEarlyError
from bridgeckpt.store.fileobject import FileObject

_HEAP, _HEAP_HEADER, _HEAP_OBJECT = b"GCOL", 16, 16  # the signature, and the sizes of headers with lengths of 8 bytes


class ByteRange(NamedTuple):
    """A file inside another file, not compressed: ``nbytes`` bytes from byte ``offset``."""

    offset: int
    nbytes: int


class Window(FileObject):
    """Read-only file object over a part of a file. h5py then locks no file, and what it reads is checked."""

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Fill the whole buffer.

        Raises:
            ValueError: the part or the file ends before that, or has damage that libhdf5 does not notice.
            OSError: the file cannot be read.
        """
        wanted = memoryview(buffer)
        if self.tell() + len(wanted) > self.nbytes:  # h5py would use old memory content for missing bytes
            raise ValueError(f"it ends at byte {self.nbytes:,}")
        try:
            count = super().readinto(wanted)
        except EndsEarlyError as error:
            raise ValueError(error.strerror) from None
        if wanted[: len(_HEAP)] == _HEAP:
            _check_heap(wanted)
        return count

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
    """Check that every object in a global heap has a size. At one without, libhdf5 1.14 loops forever."""
    start = _HEAP_HEADER
    while start + _HEAP_OBJECT <= len(collection):
        number = int.from_bytes(collection[start : start + 2], "little")
        size = int.from_bytes(collection[start + 8 : start + 16], "little")
        step = (
            _HEAP_OBJECT + size + -size % 8 if number else size
        )  # object 0 is free space, and its size includes the header
        if not step:
            raise ValueError("a global heap has an object without a size")
        start += step

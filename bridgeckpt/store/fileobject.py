"""A stored file, or a part of it, as a Python file object, for libraries that need one: zipfile and h5py."""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridgeckpt.store.contract import StoredFile


class FileObject(io.RawIOBase):
    """Read-only file object over ``nbytes`` of a file from ``offset``. Without ``nbytes``, it ends with the file.

    One object is for one thread, because it has a position. Threads may share the stored file.
    """

    def __init__(self, file: StoredFile, offset: int = 0, nbytes: int | None = None) -> None:
        self._file = file
        self._begin = offset
        self.nbytes = file.size - offset if nbytes is None else nbytes
        self._position = 0

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true."""
        return True

    def tell(self) -> int:
        """The position, in bytes from the beginning of the range."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position and return it.

        Raises:
            OSError: the position is before the beginning.
        """
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.nbytes}[whence]
        if position < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(self._file.path))
        self._position = position
        return position

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Fill the buffer, or as much of it as is left to read, and return the number of bytes.

        Raises:
            OSError: the file cannot be read, or has become shorter.
        """
        wanted = memoryview(buffer)[: max(0, self.nbytes - self._position)]
        self._file.read_into(wanted, self._begin + self._position)
        self._position += len(wanted)
        return len(wanted)

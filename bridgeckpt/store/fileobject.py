"""A stored file, or a part of it, as Python's file object, for libraries that take nothing else: zipfile, h5py."""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridgeckpt.store.source import StoredFile


class FileObject(io.RawIOBase):
    """Read-only file object over ``nbytes`` of a file from ``offset``; without them, over all of it.

    Its position belongs to one thread; the file below is shared.
    """

    def __init__(self, file: StoredFile, offset: int = 0, nbytes: int | None = None) -> None:
        self._file = file
        self._begin = offset
        self.nbytes = file.size - offset if nbytes is None else nbytes
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, which is returned.

        Raises:
            OSError: it is before the beginning.
        """
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.nbytes}[whence]
        if at < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(self._file.path))
        self._at = at
        return at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Fill the buffer, or as much of it as there is left to read.

        Raises:
            OSError: the file cannot be read, or is shorter than it was.
        """
        wanted = memoryview(buffer)[: max(0, self.nbytes - self._at)]
        self._file.read_into(wanted, self._begin + self._at)
        self._at += len(wanted)
        return len(wanted)

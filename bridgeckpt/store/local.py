"""The local disk as a store: positional reads that threads and forked processes share."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from bridgeckpt.store.contract import EndsEarlyError, Entry

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Any, BinaryIO

    from bridgeckpt.store.folder import OwnFiles

_MAX_CALL = 1 << 30  # bytes asked of the system in one call; some systems refuse 2 GiB
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP})


class LocalDisk:
    """The file systems of this machine."""

    def look(self, path: Path) -> Entry | None:
        """What is at ``path``; None if there is nothing."""
        try:
            return _entry(path, path.stat())
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise
        except ValueError:  # the path has a null character
            return None

    def members(self, folder: Path) -> list[Entry]:
        """What is directly in ``folder``, sorted by name."""
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
        return [self._look_or_unknown(folder / name) for name in names]

    def _look_or_unknown(self, path: Path) -> Entry:
        """What is at ``path``. If it cannot be reached, as a mount of another user, it is neither file nor folder."""
        try:
            return self.look(path) or Entry(path, False, False)
        except OSError:
            return Entry(path, False, False)

    def open(self, path: Path) -> LocalFile:
        """The file at ``path``, opened for reading."""
        return LocalFile(path)

    def replacing(self, path: Path) -> AbstractContextManager[BinaryIO]:
        """A file to write. It appears at ``path`` when the block ends; if the block fails, it does not."""
        from bridgeckpt.store.file import replacing

        return replacing(path)

    def staged(self, destination: Path, own: OwnFiles, *, force: bool) -> AbstractContextManager[Path]:
        """A folder to write. Its files appear at ``destination`` if the block ends without an error."""
        from bridgeckpt.store.folder import staged

        return staged(destination, own, force=force)


class LocalFile:
    """A file on a local disk. Every read names its position, so that threads share nothing but the descriptor.

    The descriptor closes with the last reference to this object, and not before. If one thread closed it while another
    reads, its number could already belong to another file.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | _BINARY)
        status = os.fstat(self._descriptor)
        if stat.S_ISDIR(status.st_mode):  # a folder can be opened, but not read
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        self.size = status.st_size

    def read(self, offset: int, nbytes: int) -> bytes:
        """Exactly ``nbytes`` from ``offset``."""
        parts: list[bytes] = []
        while nbytes > 0:
            part = _pread(self._descriptor, min(nbytes, _MAX_CALL), offset)
            if not part:
                raise EndsEarlyError(self.path, offset, nbytes)
            parts.append(part)
            offset, nbytes = offset + len(part), nbytes - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_into(self, buffer: Any, offset: int) -> None:  # noqa: ANN401
        """Fill a contiguous buffer of bytes from ``offset``."""
        wanted, done = memoryview(buffer), 0
        while done < len(wanted):
            count = _pread_into(self._descriptor, wanted[done : done + _MAX_CALL], offset + done)
            if not count:
                raise EndsEarlyError(self.path, offset + done, len(wanted) - done)
            done += count

    def __del__(self, close: Any = os.close) -> None:  # noqa: ANN401 - a default, because Python clears modules first when it ends
        if self._descriptor >= 0:
            close(self._descriptor)


def _entry(path: Path, status: os.stat_result) -> Entry:
    is_file, is_folder = stat.S_ISREG(status.st_mode), stat.S_ISDIR(status.st_mode)
    return Entry(path, is_file, is_folder, status.st_size if is_file else 0, status.st_mtime_ns)


if hasattr(os, "pread"):
    _pread = os.pread
else:  # Windows
    from threading import Lock

    _seeking = Lock()

    def _pread(descriptor: int, nbytes: int, offset: int) -> bytes:
        with _seeking:
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.read(descriptor, nbytes)


def _pread_into(descriptor: int, buffer: memoryview, offset: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [buffer], offset)
    data = _pread(descriptor, len(buffer), offset)
    buffer[: len(data)] = data
    return len(data)

"""Where files lie: the contract of a store, and the local disk, the only store so far.

Everything above ``store/`` asks the functions at the end of this module what lies at a path and reads it through them:
a second kind of store is another class, and a line in :func:`store_at`. A store reports every failure as an
:class:`OSError` with its usual subclass (:class:`FileNotFoundError`, :class:`PermissionError`), ``strerror`` and
``filename``, whatever error the service behind it raises.
"""

from __future__ import annotations

import errno
import os
import stat
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any, BinaryIO

    from bridgeckpt.store.folder import OwnFiles

_AT_ONCE = 1 << 30  # bytes asked of the system in one call; some systems refuse 2 GiB
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP})


class Entry(NamedTuple):
    """What lies at a path. Links are followed; a device or a socket is neither a file nor a folder.

    ``size`` is in bytes, ``modified`` in nanoseconds: a file whose size and time are the same was not written since.
    """

    path: Path
    is_file: bool
    is_folder: bool
    size: int = 0
    modified: int = 0

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name


class StoredFile(Protocol):
    """A file opened for reading, until nothing refers to it any more.

    Reads take no turns: any number of threads, and children after a fork, share it.
    """

    path: Path
    size: int
    """Bytes when it was opened."""

    def read(self, offset: int, nbytes: int) -> bytes:
        """Exactly ``nbytes`` from ``offset``.

        Raises:
            EndsEarlyError: the file ends before.
            OSError: it cannot be read.
        """

    def read_into(self, buffer: Any, offset: int) -> None:  # noqa: ANN401 - whatever holds contiguous bytes
        """Fill a contiguous buffer of bytes from ``offset``.

        Raises:
            EndsEarlyError: the file ends before.
            OSError: it cannot be read.
        """


class Store(Protocol):
    """A place with files and folders.

    Raises:
        OSError: from every method, when the store cannot be reached or does not permit it.
    """

    def look(self, path: Path) -> Entry | None:
        """What lies at ``path``, None if nothing does."""

    def members(self, folder: Path) -> list[Entry]:
        """What lies in ``folder`` itself, sorted by name."""

    def open(self, path: Path) -> StoredFile:
        """The file at ``path``, opened for reading."""

    def replacing(self, path: Path) -> AbstractContextManager[BinaryIO]:
        """A file to write, which is at ``path`` once the block has ended; nothing of it is if the block fails.

        Raises:
            OutputError: it cannot be written.
        """

    def staged(self, destination: Path, own: OwnFiles, *, force: bool) -> AbstractContextManager[Path]:
        """A folder on a disk of this machine, whose files are at ``destination`` if the block ends without an error.

        Raises:
            OutputError: it cannot be made, or something other than ``own`` files is in the way.
        """


class EndsEarlyError(OSError):
    """A file that ends before the bytes that were asked for: at byte ``end``, ``missing`` bytes too early."""

    def __init__(self, path: Path, end: int, missing: int) -> None:
        super().__init__(errno.EIO, f"it ends at byte {end:,}, {missing:,} bytes too early", str(path))
        self.end = end
        self.missing = missing


class LocalDisk:
    """The disks of this machine."""

    def look(self, path: Path) -> Entry | None:
        """What lies at ``path``, None if nothing does."""
        try:
            return _entry(path, path.stat())
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise
        except ValueError:  # no path has a null character
            return None

    def members(self, folder: Path) -> list[Entry]:
        """What lies in ``folder`` itself, sorted by name."""
        with os.scandir(folder) as found:
            names = sorted(entry.name for entry in found)
        return [self._look_or_unknown(folder / name) for name in names]

    def _look_or_unknown(self, path: Path) -> Entry:
        """What lies at ``path``: neither a file nor a folder if it cannot be reached, as a mount of another user."""
        try:
            return self.look(path) or Entry(path, False, False)
        except OSError:
            return Entry(path, False, False)

    def open(self, path: Path) -> LocalFile:
        """The file at ``path``, opened for reading."""
        return LocalFile(path)

    def replacing(self, path: Path) -> AbstractContextManager[BinaryIO]:
        """A file to write, which is at ``path`` once the block has ended; nothing of it is if the block fails."""
        from bridgeckpt.store.file import replacing

        return replacing(path)

    def staged(self, destination: Path, own: OwnFiles, *, force: bool) -> AbstractContextManager[Path]:
        """A folder whose files are at ``destination`` if the block ends without an error."""
        from bridgeckpt.store.folder import staged

        return staged(destination, own, force=force)


class LocalFile:
    """A file on a local disk: every read names its position, so that nothing is shared but the descriptor.

    The descriptor is closed when the last reference to this object goes, and not before: where one thread closes what
    another one reads, the number could already belong to another file.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | _BINARY)
        about = os.fstat(self._descriptor)
        if stat.S_ISDIR(about.st_mode):  # opening one is no error, reading it would be
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        self.size = about.st_size

    def read(self, offset: int, nbytes: int) -> bytes:
        """Exactly ``nbytes`` from ``offset``."""
        parts: list[bytes] = []
        while nbytes > 0:
            part = _pread(self._descriptor, min(nbytes, _AT_ONCE), offset)
            if not part:
                raise EndsEarlyError(self.path, offset, nbytes)
            parts.append(part)
            offset, nbytes = offset + len(part), nbytes - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_into(self, buffer: Any, offset: int) -> None:  # noqa: ANN401
        """Fill a contiguous buffer of bytes from ``offset``."""
        wanted, done = memoryview(buffer), 0
        while done < len(wanted):
            found = _pread_into(self._descriptor, wanted[done : done + _AT_ONCE], offset + done)
            if not found:
                raise EndsEarlyError(self.path, offset + done, len(wanted) - done)
            done += found

    def __del__(self, close: Any = os.close) -> None:  # noqa: ANN401 - bound here: modules go first when Python ends
        if self._descriptor >= 0:
            close(self._descriptor)


def _entry(path: Path, about: os.stat_result) -> Entry:
    is_file, is_folder = stat.S_ISREG(about.st_mode), stat.S_ISDIR(about.st_mode)
    return Entry(path, is_file, is_folder, about.st_size if is_file else 0, about.st_mtime_ns)


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


_LOCAL_DISK = LocalDisk()


def store_at(path: Path) -> Store:  # noqa: ARG001
    """The store in which ``path`` lies."""
    return _LOCAL_DISK


def look(path: Path) -> Entry | None:
    """What lies at ``path``, None if nothing does.

    Raises:
        OSError: it cannot be reached.
    """
    return store_at(path).look(path)


def is_file(path: Path) -> bool:
    """Whether a file lies at ``path``.

    Raises:
        OSError: it cannot be reached.
    """
    entry = look(path)
    return entry is not None and entry.is_file


def is_folder(path: Path) -> bool:
    """Whether a folder lies at ``path``.

    Raises:
        OSError: it cannot be reached.
    """
    entry = look(path)
    return entry is not None and entry.is_folder


def members(folder: Path) -> list[Entry]:
    """What lies in ``folder`` itself, sorted by name.

    Raises:
        OSError: it is no folder, or cannot be listed.
    """
    return store_at(folder).members(folder)


def matching(folder: Path, pattern: str) -> list[Entry]:
    """What lies in ``folder`` under names like ``*config*.json`` or ``assets/*.txt``, sorted; it need not exist.

    Only the last part of a pattern may have stars. One without is looked up and not searched for.

    Raises:
        OSError: it cannot be listed.
    """
    if not {"*", "?", "["}.intersection(pattern):
        entry = look(folder / pattern)
        return [] if entry is None else [entry]
    *within, last = pattern.split("/")
    folder = folder.joinpath(*within)
    if not is_folder(folder):
        return []
    return [entry for entry in members(folder) if fnmatchcase(entry.name, last)]


def open_file(path: Path) -> StoredFile:
    """The file at ``path``, opened for reading.

    Raises:
        OSError: there is none, or it cannot be opened.
    """
    return store_at(path).open(path)


def read_head(path: Path, limit: int) -> bytes:
    """The first ``limit`` bytes of the file at ``path``, or all of it if it has fewer.

    Raises:
        OSError: it cannot be read.
    """
    file = open_file(path)
    return file.read(0, min(limit, file.size))


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with store_at(path).replacing(path) as file:
        file.write(text.encode())

"""The contract of a store: what is at a path, how files are read, and how files and folders are written.

A store reports every failure as an :class:`OSError` or its usual subclass (:class:`FileNotFoundError`,
:class:`PermissionError`), with ``strerror`` and ``filename``, whatever error the service behind it raises. ``local.py``
keeps the contract for the local disk, the only store so far.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any, BinaryIO

    from bridgeckpt.store.folder import OwnFiles


class Entry(NamedTuple):
    """What is at a path. Links are followed. A device or a socket is neither a file nor a folder.

    ``size`` is in bytes, ``modified`` in nanoseconds. If both are unchanged, the file was not written in the meantime.
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
    """A file opened for reading. It closes when nothing refers to it any more.

    Any number of threads may read at the same time, and so may child processes after a fork.
    """

    path: Path
    size: int
    """In bytes, when the file was opened."""

    def read(self, offset: int, nbytes: int) -> bytes:
        """Exactly ``nbytes`` from ``offset``.

        Raises:
            EndsEarlyError: the file ends before that.
            OSError: the file cannot be read.
        """

    def read_into(self, buffer: Any, offset: int) -> None:  # noqa: ANN401 - any contiguous buffer
        """Fill a contiguous buffer of bytes from ``offset``.

        Raises:
            EndsEarlyError: the file ends before the buffer is full.
            OSError: the file cannot be read.
        """


class Store(Protocol):
    """A place with files and folders.

    Raises:
        OSError: the store cannot be reached, or does not permit the operation. Every method may raise it.
    """

    def look(self, path: Path) -> Entry | None:
        """What is at ``path``; None if there is nothing."""

    def members(self, folder: Path) -> list[Entry]:
        """What is directly in ``folder``, sorted by name."""

    def open(self, path: Path) -> StoredFile:
        """The file at ``path``, opened for reading."""

    def replacing(self, path: Path) -> AbstractContextManager[BinaryIO]:
        """A file to write. It appears at ``path`` when the block ends; if the block fails, it does not.

        Raises:
            OutputError: the file cannot be written.
        """

    def staged(self, destination: Path, own: OwnFiles, *, force: bool) -> AbstractContextManager[Path]:
        """A folder on a local disk to write. Its files appear at ``destination`` if the block ends without an error.

        Raises:
            OutputError: the folder cannot be made, or ``destination`` holds files other than ``own``.
        """


class EndsEarlyError(OSError):
    """A file ends before the requested bytes: at byte ``end``, ``missing`` bytes too early."""

    def __init__(self, path: Path, end: int, missing: int) -> None:
        super().__init__(errno.EIO, f"it ends at byte {end:,}, {missing:,} bytes too early", str(path))
        self.end = end
        self.missing = missing

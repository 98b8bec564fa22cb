"""Tensors that a file keeps encoded, decoded into one temporary file: a place with bytes, as every other tensor has.

A reader whose tensors lie compressed (chunks of HDF5, blocks of a table) reserves a place for each and says how its
bytes are made. Nothing is decoded, and no file is there, until the tensors are needed: ``Checkpoint`` fills the spool
in ``check_files()``, which everything that reads extents by path calls first, and when it reads a tensor itself. The
file is removed with the last checkpoint that refers to it, at the latest when Python ends.

Threads, and processes that were forked or given a copy, share the file. It appears complete under its name or not at
all, and whoever comes second waits for it.
"""

from __future__ import annotations

import os
import weakref
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Pieces = Iterable[bytes | memoryview]
    Decode = Callable[[], Iterator[Pieces]]

_ALIGNMENT = 64  # bytes; no element is wider
_one_thread = Lock()


class _Place(NamedTuple):
    """Where the bytes of one tensor go."""

    name: str
    offset: int
    nbytes: int


class Spool:
    """The temporary file of one checkpoint; one that no place was reserved in is never made."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._groups: list[tuple[list[_Place], Decode]] = []
        self._size = 0
        self._filled = False

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_filled": False}  # the process that made the file may end before the copy is used

    @property
    def path(self) -> Path:
        """Where the file will lie: in a folder of its own, which is made when this is first asked for.

        Raises:
            CheckpointError: there is no folder for temporary files.
        """
        if self._path is None:
            import tempfile  # and with it random and hashlib

            try:
                folder = tempfile.mkdtemp(prefix="bridgeckpt-")
            except OSError as error:
                raise _no_room(f"no folder for temporary files can be made: {error.strerror}") from None
            weakref.finalize(self, _remove, folder, os.getpid())
            self._path = Path(folder, "tensors")
        return self._path

    def is_at(self, path: Path) -> bool:
        """Whether ``path`` is that of the file."""
        return path == self._path

    def reserve(self, tensors: Sequence[tuple[str, int]], decode: Decode) -> list[int]:
        """Places for tensors, given by their names and sizes in bytes: their offsets in the file.

        ``decode`` is called when the spool is filled, and gives the bytes of each of the tensors, in their order, in
        pieces of any size. It may raise a :class:`CheckpointError`. Another process may call it too.
        """
        places = []
        for name, nbytes in tensors:
            places.append(_Place(name, self._size, nbytes))
            self._size += nbytes + -nbytes % _ALIGNMENT
        self._groups.append((places, decode))
        return [place.offset for place in places]

    def fill(self) -> None:
        """Decode every tensor that has a place, unless that was done before.

        Raises:
            CheckpointError: a tensor cannot be decoded, has another size than reserved, or the disk has no room.
        """
        if self._filled or not self._groups:
            return
        path = self.path
        try:
            self._make_folder(path.parent)
            with _alone(path.parent):
                if not path.is_file():
                    self._decode(path)
        except OSError as error:
            raise _no_room(f"cannot write {path}: {error.strerror}") from None
        self._filled = True

    def _make_folder(self, folder: Path) -> None:
        """See that the folder is there and ours: the process that made it, of which this is a copy, may have ended."""
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            weakref.finalize(self, _remove, str(folder), os.getpid())
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            raise PermissionError(None, "its folder belongs to somebody else", str(folder))

    def _decode(self, path: Path) -> None:
        import shutil
        from threading import get_ident

        free = shutil.disk_usage(path.parent).free
        if free < self._size:
            raise _no_room(f"{self._size:,} bytes are to be decoded, and {path.parent} has room for {free:,}")
        temporary = path.with_name(f"{os.getpid()}-{get_ident()}.tmp")
        try:
            with temporary.open("wb") as file:
                for places, decode in self._groups:
                    for place, pieces in zip(places, decode(), strict=True):
                        file.seek(place.offset)
                        left = place.nbytes
                        for piece in pieces:
                            left -= len(piece)
                            if left < 0:
                                break
                            file.write(piece)
                        if left:
                            raise CheckpointError(
                                f"{place.name} does not decode to the {place.nbytes:,} bytes it should"
                            )
                file.truncate(self._size)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One thread of one process at a time: a lock of the system's, for a fork would copy another while it is held.

    A file system that has no locks lets two do the same work at once, each in a file of its own.
    """
    try:
        import fcntl
    except ImportError:  # Windows, where processes do not fork
        with _one_thread:
            yield
        return
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        with suppress(OSError):  # closing is not enough: a process forked in the meantime has it open as well
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _remove(folder: str, process: int) -> None:
    """Remove the folder, which a forked process leaves to the one that made it."""
    if os.getpid() == process:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


def _no_room(what: str) -> CheckpointError:
    return CheckpointError(what, hint="name a folder with more room in the environment variable TMPDIR")

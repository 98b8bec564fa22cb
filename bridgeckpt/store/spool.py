"""Tensors that are stored encoded, decoded into one temporary file, so that each has a range of bytes in a file.

A reader of encoded tensors (chunks of HDF5, blocks of a table) reserves a place for each tensor, with a function that
decodes it. The file is made when the tensors are first needed: ``Checkpoint`` fills the spool in ``check_files()``,
which code that reads extents by path calls first, and when it reads a tensor itself. The file is removed with the last
checkpoint that refers to it, or when Python ends.

Threads share the file, and so do processes that were forked or received a copy. The file appears complete or not at
all. While one of them decodes, the others wait.
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
_thread_lock = Lock()


class _Place(NamedTuple):
    """The place of one tensor's bytes in the file."""

    name: str
    offset: int
    nbytes: int


class Spool:
    """The temporary file of one checkpoint. Without a reserved place, it is never made."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._groups: list[tuple[list[_Place], Decode]] = []
        self._size = 0
        self._filled = False

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_filled": False}  # the process that made the file may end before the copy is used

    @property
    def path(self) -> Path:
        """The path of the file, in a folder of its own. The first use makes the folder.

        Raises:
            CheckpointError: the folder cannot be made.
        """
        if self._path is None:
            import tempfile  # slow: it imports random and hashlib

            try:
                folder = tempfile.mkdtemp(prefix="bridgeckpt-")
            except OSError as error:
                raise _no_room(f"no folder for temporary files can be made: {error.strerror}") from None
            weakref.finalize(self, _remove, folder, os.getpid())
            self._path = Path(folder, "tensors")
        return self._path

    def is_at(self, path: Path) -> bool:
        """Whether ``path`` is the path of the file."""
        return path == self._path

    def reserve(self, tensors: Sequence[tuple[str, int]], decode: Decode) -> list[int]:
        """Reserve places for tensors, given as (name, size in bytes). Returns their offsets in the file.

        ``decode`` is called when the spool is filled. It yields, for each tensor in the same order, its bytes in pieces
        of any size. It may raise a :class:`CheckpointError`. Another process may call it too.
        """
        places = []
        for name, nbytes in tensors:
            places.append(_Place(name, self._size, nbytes))
            self._size += nbytes + -nbytes % _ALIGNMENT
        self._groups.append((places, decode))
        return [place.offset for place in places]

    def fill(self) -> None:
        """Decode every tensor that has a place, once.

        Raises:
            CheckpointError: a tensor cannot be decoded or has another size than reserved, or the disk is full.
        """
        if self._filled or not self._groups:
            return
        path = self.path
        try:
            self._make_folder(path.parent)
            with _exclusive(path.parent):
                if not path.is_file():
                    self._decode(path)
        except OSError as error:
            raise _no_room(f"cannot write {path}: {error.strerror}") from None
        self._filled = True

    def _make_folder(self, folder: Path) -> None:
        """Make the folder again if it is gone: the process that this spool was copied from may have ended."""
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            weakref.finalize(self, _remove, str(folder), os.getpid())
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            raise PermissionError(None, "its folder belongs to another user", str(folder))

    def _decode(self, path: Path) -> None:
        import shutil
        from threading import get_ident

        free = shutil.disk_usage(path.parent).free
        if free < self._size:
            raise _no_room(f"{self._size:,} bytes have to be decoded, and {path.parent} has room for {free:,}")
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
                            raise CheckpointError(f"{place.name} does not decode to its {place.nbytes:,} bytes")
                file.truncate(self._size)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Let one thread of one process in at a time.

    It is a lock of the operating system: a fork would copy a lock of Python while it is held. Without locks in the file
    system, two threads may do the same work, each in a file of its own.
    """
    try:
        import fcntl
    except ImportError:  # Windows, where processes do not fork
        with _thread_lock:
            yield
        return
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        with suppress(OSError):  # to close it is not enough: a process forked in the meantime has it open too
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _remove(folder: str, process: int) -> None:
    """Remove the folder, if this is the process that made it and not a fork of it."""
    if os.getpid() == process:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


def _no_room(what: str) -> CheckpointError:
    return CheckpointError(what, hint="name a folder with more room in the environment variable TMPDIR")

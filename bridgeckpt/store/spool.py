"""Tensors that a file keeps encoded, decoded into one temporary file: a place with bytes, as every other tensor has.

A reader whose tensors lie compressed (chunks of HDF5, blocks of a table) reserves a place for each and says how its
bytes are made. Nothing is decoded, and no file is there, until the tensors are needed: ``Checkpoint`` fills the spool
in ``check_files()``, which everything that reads extents by path calls first, and when it reads a tensor itself. The
file is removed with the last checkpoint that refers to it, at the latest when Python ends.
"""

from __future__ import annotations

import weakref
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Pieces = Callable[[], Iterator[bytes | memoryview]]

_ALIGNMENT = 64  # bytes; no element is wider


class _Place(NamedTuple):
    """Where the bytes of one tensor go, and how they are made."""

    name: str
    offset: int
    nbytes: int
    pieces: Pieces


class Spool:
    """The temporary file of one checkpoint; one that no place was reserved in is never made."""

    def __init__(self) -> None:
        self._places: list[_Place] = []
        self._size = 0
        self._filled = False
        self._lock = Lock()

    @cached_property
    def path(self) -> Path:
        """Where the file will lie: in a folder of its own, which is made when this is first asked for.

        Raises:
            CheckpointError: there is no folder for temporary files.
        """
        import shutil
        import tempfile  # and with it random and hashlib

        try:
            folder = tempfile.mkdtemp(prefix="bridgeckpt-")
        except OSError as error:
            raise _no_room(f"no folder for temporary files can be made: {error.strerror}") from None
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder, "tensors")

    def reserve(self, name: str, nbytes: int, pieces: Pieces) -> int:
        """A place of ``nbytes`` for tensor ``name``: its offset in the file.

        ``pieces`` is called once, when the spool is filled, and gives exactly that many bytes, in pieces of any size;
        places are filled in the order in which they were reserved. It may raise a :class:`CheckpointError`.
        """
        offset = self._size
        self._places.append(_Place(name, offset, nbytes, pieces))
        self._size += nbytes + -nbytes % _ALIGNMENT
        return offset

    def fill(self) -> None:
        """Decode every tensor that has a place, unless that was done before.

        Raises:
            CheckpointError: a tensor cannot be decoded, has another size than reserved, or the disk has no room.
        """
        with self._lock:
            if self._filled or not self._places:
                return
            import shutil

            free = shutil.disk_usage(self.path.parent).free
            if free < self._size:
                raise _no_room(f"{self._size:,} bytes are to be decoded, and {self.path.parent} has room for {free:,}")
            try:
                with self.path.open("wb") as file:
                    for place in self._places:
                        file.seek(place.offset)
                        left = place.nbytes
                        for piece in place.pieces():
                            left -= len(piece)
                            if left < 0:
                                break
                            file.write(piece)
                        if left:
                            raise CheckpointError(
                                f"{place.name} does not decode to the {place.nbytes:,} bytes it should"
                            )
                    file.truncate(self._size)
            except OSError as error:
                raise _no_room(f"cannot write {self.path}: {error.strerror}") from None
            self._filled = True


def _no_room(what: str) -> CheckpointError:
    return CheckpointError(what, hint="name a folder with more room in the environment variable TMPDIR")

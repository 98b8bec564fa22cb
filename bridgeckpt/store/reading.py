"""Reading stored bytes: source files are opened once, and each tensor's checksum is checked once, by whoever is first.

Everything goes through bounded ``pread`` calls rather than a mapping: a file that shrinks or a disk that fails is then
an error and not a SIGBUS, and two threads read one descriptor side by side. No numpy here: the bytes of a tensor that
only has to be copied move while numpy is still being imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bridgeckpt.copying.job import in_order
from bridgeckpt.errors import CheckpointError
from bridgeckpt.store.dtypes import check_crc

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Self

    import numpy as np

    from bridgeckpt.store.tensors import Extent, TensorInfo

    ByteArray = np.ndarray[Any, np.dtype[np.uint8]]

PIECE = 1 << 20  # bytes moved at a time: 512 KiB to 1 MiB stay in the cache between reading, checksum and writing
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class Sources:
    """The source files of a conversion, opened when first needed. Shared by the workers; a context manager.

    ``verify`` has every tensor that is read compared with its CRC-32C, however many jobs read it.
    """

    def __init__(self, *, verify: bool = True) -> None:
        self.extend: Callable[[int, Any], int] | None = None
        if verify:
            import google_crc32c

            self.extend = google_crc32c.extend
        self._descriptors: dict[Path, int] = {}
        self._claimed: dict[int, TensorInfo] = {}  # by id: hashing a record costs more than checking a small tensor

    def reader(self, info: TensorInfo, *, whole: bool) -> Reader:
        """A reader of ``info``. ``whole``: it will be read from the first byte to the last, once and in order.

        Then its checksum is taken in passing; otherwise a first reader checks it before it is used.

        Raises:
            CheckpointError: the tensor is damaged, or a file is missing or too short.
        """
        first = self.claim(info)
        if first and not whole:
            for _ in Reader(info, self, self.extend).pieces():
                pass
        return Reader(info, self, self.extend if first and whole else None)

    def claim(self, info: TensorInfo) -> bool:
        """Whether the caller is to check the tensor: true for the first who asks (two at once may both be told so)."""
        if self.extend is None or id(info) in self._claimed:
            return False
        self._claimed[id(info)] = info
        return True

    def descriptor(self, path: Path) -> int:
        """The open file at ``path``.

        Raises:
            CheckpointError: it cannot be opened.
        """
        known = self._descriptors.get(path)
        if known is not None:
            return known
        try:
            opened = os.open(path, os.O_RDONLY | _BINARY)
        except OSError as error:
            hint = "copy or download it into the same folder"
            raise CheckpointError(f"cannot read {path}: {error.strerror}", path=path, hint=hint) from None
        if self._descriptors.setdefault(path, opened) != opened:  # another worker was quicker
            os.close(opened)
        return self._descriptors[path]

    def read(self, path: Path, offset: int, nbytes: int, name: str) -> bytes:
        """``nbytes`` at ``offset``; ``name`` is the tensor that an error speaks of.

        Raises:
            CheckpointError: the file cannot be read or ends early.
        """
        descriptor = self.descriptor(path)
        parts = []
        while nbytes:
            try:
                part = _pread(descriptor, nbytes, offset)
            except OSError as error:
                raise _unreadable(path, offset, name, error) from None
            if not part:
                raise _truncated(path, offset, nbytes, name)
            parts.append(part)
            offset, nbytes = offset + len(part), nbytes - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_into(self, array: ByteArray, path: Path, offset: int, name: str) -> None:
        """Fill a contiguous array of bytes from ``offset``.

        Raises:
            CheckpointError: as :meth:`read`.
        """
        descriptor, done = self.descriptor(path), 0
        while done < len(array):
            try:
                found = _pread_into(descriptor, array[done:], offset + done)
            except OSError as error:
                raise _unreadable(path, offset + done, name, error) from None
            if not found:
                raise _truncated(path, offset + done, len(array) - done, name)
            done += found

    def close(self) -> None:
        """Close the files."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Reader:
    """One tensor's stored bytes, addressed by their position in its row-major order over all its extents.

    With ``extend``, the CRC-32C function, they must be read in order: each extent is checked when its end is reached.
    """

    def __init__(self, info: TensorInfo, sources: Sources, extend: Callable[[int, Any], int] | None) -> None:
        # Extents that interleave have no positions; they are still read whole, one after another.
        order = in_order(info) or range(len(info.extents))
        self._name = info.name
        self._extents: list[tuple[int, Extent]] = []
        self._sources = sources
        self._extend = extend
        self._crc = 0
        position = 0
        for at in order:
            self._extents.append((position, info.extents[at]))
            position += info.extents[at].nbytes
        self.nbytes = position

    def pieces(self) -> Iterator[bytes]:
        """All bytes in order, in pieces of at most ``PIECE``.

        Raises:
            CheckpointError: the tensor is damaged, or a file is missing or too short.
        """
        for position in range(0, self.nbytes, PIECE):
            for extent, skip, nbytes in self._runs(position, min(PIECE, self.nbytes - position)):
                data = self._sources.read(extent.path, extent.offset + skip, nbytes, self._name)
                self._check(extent, skip + nbytes, data)
                yield data

    def read_into(self, array: ByteArray, position: int) -> None:
        """Fill a contiguous array of bytes from ``position``.

        Raises:
            CheckpointError: as :meth:`pieces`.
        """
        done = 0
        for extent, skip, nbytes in self._runs(position, len(array)):
            part = array[done : done + nbytes]
            self._sources.read_into(part, extent.path, extent.offset + skip, self._name)
            self._check(extent, skip + nbytes, part)
            done += nbytes

    def _runs(self, position: int, nbytes: int) -> Iterator[tuple[Extent, int, int]]:
        """The extents under a range: each with the bytes of it to skip and to take."""
        for begin, extent in self._extents:
            first, last = max(position, begin), min(position + nbytes, begin + extent.nbytes)
            if first < last:
                yield extent, first - begin, last - first

    def _check(self, extent: Extent, end: int, data: bytes | ByteArray) -> None:
        if self._extend is None or extent.crc32c is None:
            return
        self._crc = self._extend(self._crc, data)
        if end == extent.nbytes:
            check_crc(self._crc, extent, self._name)
            self._crc = 0


def _unreadable(path: Path, offset: int, name: str, error: OSError) -> CheckpointError:
    return CheckpointError(f"cannot read {name} at byte {offset:,} of {path}: {error.strerror}", path=path)


def _truncated(path: Path, offset: int, missing: int, name: str) -> CheckpointError:
    return CheckpointError(
        f"{name} is truncated: {path} ends at byte {offset:,}, {missing:,} bytes too early",
        path=path,
        hint="the file was cut short: copy or download it again",
    )


if hasattr(os, "pread"):
    _pread = os.pread
else:  # Windows
    from threading import Lock

    _seeking = Lock()

    def _pread(descriptor: int, nbytes: int, offset: int) -> bytes:
        with _seeking:
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.read(descriptor, nbytes)


def _pread_into(descriptor: int, array: ByteArray, offset: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [array.data], offset)
    data = _pread(descriptor, len(array), offset)
    array.data[: len(data)] = data
    return len(data)

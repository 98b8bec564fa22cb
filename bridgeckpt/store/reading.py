"""Reading the stored bytes of tensors. Single tensors, copies, warm starts and fingerprints all use this module.

Files are opened when they are first needed. Every read names its position, so threads and forked processes share an
open file. A read returns all bytes or raises an error: a file that shrinks or a disk that fails is an error, and not a
SIGBUS as with a memory-mapped file. Only functions that make arrays import numpy, so that the bytes of a tensor can be
copied while numpy is still being imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.store.contract import EndsEarlyError
from bridgeckpt.store.dtypes import check_crc
from bridgeckpt.store.lfs import open_content
from bridgeckpt.store.tensors import in_order

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Self

    import numpy as np

    from bridgeckpt.store.contract import StoredFile
    from bridgeckpt.store.spool import Spool
    from bridgeckpt.store.tensors import Extent, TensorInfo

    Array = np.ndarray[Any, np.dtype[Any]]
    ByteArray = np.ndarray[Any, np.dtype[np.uint8]]
    Extend = Callable[[int, Any], int]
    Keep = Callable[[Extent, int], None]

PIECE = 1 << 20  # bytes moved at a time: 512 KiB to 1 MiB stay in the cache between reading, checksum and writing
_CUT_SHORT = "the file was cut short: copy or download it again"


class Files:
    """Data files, each opened once. Any number of threads may read them, and child processes after a fork.

    ``spool`` is filled before its file is opened.
    """

    def __init__(self, spool: Spool | None = None) -> None:
        self._spool = spool
        self._opened: dict[Path, StoredFile] = {}

    def __reduce__(self) -> tuple[type[Files], tuple[Spool | None]]:
        return Files, (self._spool,)  # another process opens the files itself

    def open(self, path: Path) -> StoredFile:
        """The open file at ``path``.

        Raises:
            CheckpointError: the file cannot be opened, or its content cannot be decoded.
        """
        file = self._opened.get(path)
        if file is not None:
            return file
        if self._spool is not None and self._spool.is_at(path):
            self._spool.fill()
        try:
            file = open_content(path)
        except OSError as error:
            hint = "the tensors themselves are in this file: copy or download it into the same folder"
            raise CheckpointError(f"cannot read {path}: {error.strerror}", path=path, hint=hint) from None
        return self._opened.setdefault(path, file)  # another thread may have been faster

    def read(self, path: Path, offset: int, nbytes: int, name: str) -> bytes:
        """Read ``nbytes`` at ``offset``. ``name`` is the tensor, for errors.

        Raises:
            CheckpointError: the file cannot be read or ends early.
        """
        file = self.open(path)
        try:
            return file.read(offset, nbytes)
        except OSError as error:
            raise _unreadable(path, offset, name, error) from None

    def read_into(self, array: ByteArray, path: Path, offset: int, name: str) -> None:
        """Fill a contiguous array of bytes from ``offset``.

        Raises:
            CheckpointError: as :meth:`read`.
        """
        file = self.open(path)
        try:
            file.read_into(array, offset)
        except OSError as error:
            raise _unreadable(path, offset, name, error) from None

    def pieces(self, extent: Extent, name: str) -> Iterator[bytes]:
        """The bytes of an extent of tensor ``name``, in order, in pieces of at most ``PIECE``.

        Raises:
            CheckpointError: the file is missing or too short.
        """
        for done in range(0, extent.nbytes, PIECE):
            yield self.read(extent.path, extent.offset + done, min(PIECE, extent.nbytes - done), name)

    def check_fits(self, info: TensorInfo) -> None:
        """Check that the files are large enough for a tensor, before memory is allocated for it.

        Raises:
            CheckpointError: a file is missing or too short, or the tensor's parts overlap.
        """
        sizes = {path: self.open(path).size for path in {extent.path for extent in info.extents}}
        for extent in info.extents:
            if extent.offset + extent.nbytes > sizes[extent.path]:
                raise CheckpointError(
                    f"{info.name} ends at byte {extent.offset + extent.nbytes:,} of {extent.path}, "
                    f"which has {sizes[extent.path]:,}",
                    path=extent.path,
                    hint=_CUT_SHORT,
                )
        if info.nbytes > sum(sizes.values()):
            path = info.extents[0].path
            raise CheckpointError(f"{info.name}: its parts overlap in {path}", path=path)

    def close(self) -> None:
        """Drop the files. Each closes when its last read has ended, and a later read opens it again."""
        self._opened.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Reader:
    """The stored bytes of one tensor. A position counts bytes in row-major order over all extents.

    With ``extend``, the CRC-32C function, the bytes must be read in order. At the end of each extent, its checksum is
    compared with the stored one, or passed to ``keep`` if the file stores none.
    """

    def __init__(self, info: TensorInfo, files: Files, extend: Extend | None = None, keep: Keep | None = None) -> None:
        # Extents that interleave have no row-major positions: they are read whole, one after another.
        order = in_order(info) or range(len(info.extents))
        self._name = info.name
        self._extents: list[tuple[int, Extent]] = []
        self._files = files
        self._extend = extend
        self._keep = keep
        self._crc = 0
        position = 0
        for number in order:
            self._extents.append((position, info.extents[number]))
            position += info.extents[number].nbytes
        self.nbytes = position

    def pieces(self) -> Iterator[bytes]:
        """All bytes in order, in pieces of at most ``PIECE``.

        Raises:
            CheckpointError: the tensor is damaged, or a file is missing or too short.
        """
        for position in range(0, self.nbytes, PIECE):
            for extent, skip, nbytes in self._runs(position, min(PIECE, self.nbytes - position)):
                data = self._files.read(extent.path, extent.offset + skip, nbytes, self._name)
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
            self._files.read_into(part, extent.path, extent.offset + skip, self._name)
            self._check(extent, skip + nbytes, part)
            done += nbytes

    def _runs(self, position: int, nbytes: int) -> Iterator[tuple[Extent, int, int]]:
        """The extents that a range touches, each with the number of its bytes to skip and to read."""
        for start, extent in self._extents:
            first, end = max(position, start), min(position + nbytes, start + extent.nbytes)
            if first < end:
                yield extent, first - start, end - first

    def _check(self, extent: Extent, end: int, data: bytes | ByteArray) -> None:
        if self._extend is None or (extent.crc32c is None and self._keep is None):
            return
        self._crc = self._extend(self._crc, data)
        if end < extent.nbytes:
            return
        if extent.crc32c is not None:
            check_crc(self._crc, extent, self._name)
        elif self._keep is not None:
            self._keep(extent, self._crc)
        self._crc = 0


def read_array(info: TensorInfo, reader: Reader, dtype: np.dtype[Any]) -> Array:
    """Read the elements of a tensor from all its extents into one array of ``dtype``, in the stored byte order.

    Raises:
        CheckpointError: the tensor is damaged, or a file is missing or too short.
    """
    import numpy as np

    array, position = np.empty(info.shape, dtype), 0
    if in_order(info) is not None:
        reader.read_into(array.reshape(-1).view(np.uint8), 0)
        return array
    for extent in info.extents:
        part = np.empty(extent.shape, dtype)
        reader.read_into(part.reshape(-1).view(np.uint8), position)
        array[tuple(slice(start, start + size) for start, size in zip(extent.start, extent.shape, strict=True))] = part
        position += extent.nbytes
    return array


def _unreadable(path: Path, offset: int, name: str, error: OSError) -> CheckpointError:
    if isinstance(error, EndsEarlyError):
        return CheckpointError(
            f"{name} is truncated: {path} ends at byte {error.end:,}, {error.missing:,} bytes too early",
            path=path,
            hint=_CUT_SHORT,
        )
    return CheckpointError(f"cannot read {name} at byte {offset:,} of {path}: {error.strerror}", path=path)

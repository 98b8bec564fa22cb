"""Reading stored bytes, the only way there is: single tensors, copies, warm starts and fingerprints all stand on it.

Files are opened when they are first needed. Every read names its position, is complete or an error, and is bounded by
what the file holds: threads and forked processes share an open file, and a file that shrinks or a disk that fails is
an error and not a SIGBUS, as it would be with a mapping. No numpy here outside the functions that make arrays: the
bytes of a tensor that only has to be copied move while numpy is still being imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.store.dtypes import check_crc
from bridgeckpt.store.source import EndsEarlyError, open_file
from bridgeckpt.store.tensors import in_order

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Self

    import numpy as np

    from bridgeckpt.store.checksums import Checksums, Known
    from bridgeckpt.store.source import StoredFile
    from bridgeckpt.store.spool import Spool
    from bridgeckpt.store.tensors import Extent, TensorInfo

    Array = np.ndarray[Any, np.dtype[Any]]
    ByteArray = np.ndarray[Any, np.dtype[np.uint8]]
    Extend = Callable[[int, Any], int]
    Keep = Callable[[Extent, int], None]

PIECE = 1 << 20  # bytes moved at a time: 512 KiB to 1 MiB stay in the cache between reading, checksum and writing
_CUT_SHORT = "the file was cut short: copy or download it again"


class Files:
    """Data files, each opened once; any number of threads may read them, and children after a fork.

    ``spool`` is filled before it is opened.
    """

    def __init__(self, spool: Spool | None = None) -> None:
        self._spool = spool
        self._opened: dict[Path, StoredFile] = {}

    def __reduce__(self) -> tuple[type[Files], tuple[Spool | None]]:
        return Files, (self._spool,)  # what another process is given is opened there

    def open(self, path: Path) -> StoredFile:
        """The open file at ``path``.

        Raises:
            CheckpointError: it cannot be opened, or its content not be decoded.
        """
        known = self._opened.get(path)
        if known is not None:
            return known
        if self._spool is not None and self._spool.is_at(path):
            self._spool.fill()
        try:
            opened = open_file(path)
        except OSError as error:
            hint = "the tensors themselves are in this file: copy or download it into the same folder"
            raise CheckpointError(f"cannot read {path}: {error.strerror}", path=path, hint=hint) from None
        return self._opened.setdefault(path, opened)  # another thread may have been quicker

    def read(self, path: Path, offset: int, nbytes: int, name: str) -> bytes:
        """``nbytes`` at ``offset``; ``name`` is the tensor that an error speaks of.

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
        for at in range(0, extent.nbytes, PIECE):
            yield self.read(extent.path, extent.offset + at, min(PIECE, extent.nbytes - at), name)

    def check_fits(self, info: TensorInfo) -> None:
        """See that the files can hold a tensor before anything is allocated for it, whatever the index says.

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
        """Let go of the files, which close when the last read has ended; a later read opens them again."""
        self._opened.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Sources(Files):
    """The source files of a conversion, shared by its workers. Each tensor is checked once, by whoever is first.

    ``verify`` has every tensor that is read compared with its CRC-32C, however many jobs read it. ``checksums`` takes
    those of the tensors for which the file holds none.
    """

    def __init__(self, *, verify: bool = True, checksums: Checksums | None = None) -> None:
        super().__init__()
        self._extend: Extend | None = None
        if verify or checksums is not None:
            import google_crc32c

            self._extend = google_crc32c.extend
        self._verify = verify
        self._checksums = checksums
        self._known: dict[Path, Known] = {}
        self._claimed: dict[int, TensorInfo] = {}  # by id: hashing a record costs more than checking a small tensor

    def reader(self, info: TensorInfo, *, whole: bool) -> Reader:
        """A reader of ``info``. ``whole``: it will be read from the first byte to the last, once and in order.

        Then its checksum is taken in passing; otherwise a first reader takes it before the tensor is used.

        Raises:
            CheckpointError: the tensor is damaged, or a file is missing or too short.
        """
        if not self._claim(info):
            return Reader(info, self)
        checking = Reader(info, self, self._extend, self._keep)
        if whole:
            return checking
        for _ in checking.pieces():
            pass
        return Reader(info, self)

    def check(self, info: TensorInfo, data: bytes) -> None:
        """Take the checksum of a tensor that is stored in one extent, whose bytes are ``data``, if nobody has yet.

        Raises:
            CheckpointError: it is damaged.
        """
        if self._extend is not None and self._claim(info):
            extent = info.extents[0]
            if extent.crc32c is None:
                self._keep(extent, self._extend(0, data))
            else:
                check_crc(self._extend(0, data), extent, info.name)

    def _claim(self, info: TensorInfo) -> bool:
        """Whether the caller is to take the tensor's checksum: true for the first (two at once may both be told so)."""
        if self._extend is None or id(info) in self._claimed:
            return False
        self._claimed[id(info)] = info
        if info.extents and info.extents[0].crc32c is None:
            return self._checksums is not None and any(
                (extent.offset, extent.nbytes) not in self._known_of(extent.path) for extent in info.extents
            )
        return self._verify

    def _keep(self, extent: Extent, crc: int) -> None:
        """Keep the checksum of an extent for which the file holds none."""
        if self._checksums is not None:
            self._known_of(extent.path)[extent.offset, extent.nbytes] = crc

    def _known_of(self, path: Path) -> Known:
        known = self._known.get(path)
        if known is None:  # asked once: it looks at the file
            known = self._known[path] = {} if self._checksums is None else self._checksums.of_file(path)
        return known


class Reader:
    """One tensor's stored bytes, addressed by their position in its row-major order over all its extents.

    With ``extend``, the CRC-32C function, they must be read in order: when the end of an extent is reached, its
    checksum is compared with the stored one, or handed to ``keep`` where there is none.
    """

    def __init__(self, info: TensorInfo, files: Files, extend: Extend | None = None, keep: Keep | None = None) -> None:
        # Extents that interleave have no positions; they are still read whole, one after another.
        order = in_order(info) or range(len(info.extents))
        self._name = info.name
        self._extents: list[tuple[int, Extent]] = []
        self._files = files
        self._extend = extend
        self._keep = keep
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
        """The extents under a range: each with the bytes of it to skip and to take."""
        for begin, extent in self._extents:
            first, last = max(position, begin), min(position + nbytes, begin + extent.nbytes)
            if first < last:
                yield extent, first - begin, last - first

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
    """The elements of a tensor as they are stored, read as ``dtype`` and put together from all extents.

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
        array[tuple(slice(at, at + size) for at, size in zip(extent.start, extent.shape, strict=True))] = part
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

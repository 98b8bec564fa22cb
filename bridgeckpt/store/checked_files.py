"""Source files whose tensors are checked: several workers share them, and compute each checksum once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.store.dtypes import check_crc
from bridgeckpt.store.reading import Files, Reader

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.store.checksums import Checksums, Known
    from bridgeckpt.store.reading import Extend
    from bridgeckpt.store.tensors import Extent, TensorInfo


class Sources(Files):
    """The source files of a conversion, shared by its workers. The first worker that reads a tensor checks it.

    With ``verify``, every tensor that is read is compared with its stored CRC-32C, once. ``checksums`` receives the
    CRC-32C of tensors whose file stores none.
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
        """A reader of ``info``. ``whole``: the caller reads it from the first byte to the last, once and in order.

        Then the checksum is computed during that read. Otherwise the tensor is read once for its checksum, here.

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
        """Check a tensor that is stored in one extent, unless it was checked before. ``data`` are its bytes.

        Raises:
            CheckpointError: the tensor is damaged.
        """
        if self._extend is not None and self._claim(info):
            extent = info.extents[0]
            if extent.crc32c is None:
                self._keep(extent, self._extend(0, data))
            else:
                check_crc(self._extend(0, data), extent, info.name)

    def _claim(self, info: TensorInfo) -> bool:
        """Whether the caller must compute the tensor's checksum: the first caller (or two at the same time)."""
        if self._extend is None or id(info) in self._claimed:
            return False
        self._claimed[id(info)] = info
        if info.extents and info.extents[0].crc32c is None:
            return self._checksums is not None and any(
                (extent.offset, extent.nbytes) not in self._known_of(extent.path) for extent in info.extents
            )
        return self._verify

    def _keep(self, extent: Extent, crc: int) -> None:
        """Keep the checksum of an extent whose file stores none."""
        if self._checksums is not None:
            self._known_of(extent.path)[extent.offset, extent.nbytes] = crc

    def _known_of(self, path: Path) -> Known:
        known = self._known.get(path)
        if known is None:  # asked once, because it looks at the file
            known = self._known[path] = {} if self._checksums is None else self._checksums.of_file(path)
        return known

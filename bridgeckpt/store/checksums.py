"""Checksums of tensors whose file stores none, computed while the tensors are read for another purpose.

A checkpoint's fingerprint needs the CRC-32C of every tensor. If the format stores none, code that reads a whole tensor
keeps its checksum here. The fingerprint then does not read the tensor again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.store.source import look

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridgeckpt.store.tensors import Extent

    Known = dict[tuple[int, int], int]  # CRC-32C by offset and number of bytes


class Checksums:
    """The CRC-32C of extents. When a file has changed, its checksums are dropped."""

    def __init__(self) -> None:
        self._files: dict[Path, tuple[tuple[int, int] | None, Known]] = {}

    def of_file(self, path: Path) -> Known:
        """The known checksums of the file at ``path``, by offset and number of bytes. Set an item to add a checksum."""
        entry = look(path)
        version = None if entry is None else (entry.size, entry.modified)
        kept = self._files.get(path)
        if kept is None or kept[0] != version:
            kept = self._files[path] = version, {}
        return kept[1]

    def passing(self, extent: Extent, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield ``pieces``, all bytes of an extent, unchanged. After the last piece, the checksum is known."""
        if extent.crc32c is not None:
            yield from pieces
            return
        import google_crc32c

        known, crc = self.of_file(extent.path), 0
        for piece in pieces:
            crc = google_crc32c.extend(crc, piece)
            yield piece
        known[extent.offset, extent.nbytes] = crc

"""Checksums that a file does not hold, taken of bytes that were read for another purpose.

A checkpoint's fingerprint needs the CRC-32C of every tensor. Where the format stores none, whoever reads a tensor from
the first byte to the last leaves its checksum here, so that nothing is read again for the fingerprint.
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
    """The CRC-32C of extents, of the files as they are now: those of a file that has changed are forgotten."""

    def __init__(self) -> None:
        self._files: dict[Path, tuple[tuple[int, int] | None, Known]] = {}

    def of_file(self, path: Path) -> Known:
        """What is known of the file at ``path``, by offset and number of bytes; a checksum is added by setting it."""
        entry = look(path)
        version = None if entry is None else (entry.size, entry.modified)
        found = self._files.get(path)
        if found is None or found[0] != version:
            found = self._files[path] = version, {}
        return found[1]

    def passing(self, extent: Extent, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same ``pieces``, which are all of an extent: once the last was taken, its checksum is known."""
        if extent.crc32c is not None:
            yield from pieces
            return
        import google_crc32c

        known, crc = self.of_file(extent.path), 0
        for piece in pieces:
            crc = google_crc32c.extend(crc, piece)
            yield piece
        known[extent.offset, extent.nbytes] = crc

"""The fingerprint of a checkpoint: the same for the same tensors. The name and the place of the file do not count."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.store.checksums import Known
    from bridgeckpt.store.tensors import Extent, TensorInfo


def fingerprint(checkpoint: Checkpoint) -> str:
    """SHA-256, in hexadecimal, over every tensor's name, dtype, shape and content.

    The name is the one in the file, and the content counts by its CRC-32C. If the format stores none and the tensor was
    not read before (``checkpoint.checksums``), its bytes are read here.

    Raises:
        CheckpointError: a tensor that has to be read cannot be read.
    """
    lines = []
    known: dict[Path, Known] = {}
    for info in sorted(checkpoint.tensors.values(), key=lambda info: info.name):
        extents = sorted(info.extents, key=lambda extent: extent.start)
        content = ",".join([f"{_crc32c(checkpoint, info, extent, known):08x}" for extent in extents])
        lines.append(f"{info.name}\t{info.dtype}\t{info.shape}\t{content}\n")
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def _crc32c(checkpoint: Checkpoint, info: TensorInfo, extent: Extent, known: dict[Path, Known]) -> int:
    if extent.crc32c is not None:
        return extent.crc32c
    if extent.path not in known:
        known[extent.path] = checkpoint.checksums.of_file(extent.path)
    place = extent.offset, extent.nbytes
    if place not in known[extent.path]:
        for _ in checkpoint.checksums.passing(extent, checkpoint.pieces(extent, info.name)):
            pass
    return known[extent.path][place]

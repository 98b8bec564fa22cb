"""The fingerprint of a checkpoint: the same for the same tensors, whatever the file is called and wherever it lies."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.store.tensors import Extent, TensorInfo


def fingerprint(checkpoint: Checkpoint) -> str:
    """SHA-256, in hexadecimal, over every tensor's name, dtype, shape and content.

    The name is the one in the file, and the content counts by its CRC-32C: where the format stores none, the bytes are
    read for it.

    Raises:
        CheckpointError: a tensor that has to be read cannot be.
    """
    lines = []
    for info in sorted(checkpoint.tensors.values(), key=lambda info: info.name):
        extents = sorted(info.extents, key=lambda extent: extent.start)
        checks = [_crc32c(checkpoint, info, extent) if extent.crc32c is None else extent.crc32c for extent in extents]
        content = ",".join(f"{check:08x}" for check in checks)
        lines.append(f"{info.name}\t{info.dtype}\t{info.shape}\t{content}\n")
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def _crc32c(checkpoint: Checkpoint, info: TensorInfo, extent: Extent) -> int:
    import google_crc32c

    crc = 0
    for piece in checkpoint.pieces(extent, info.name):
        crc = google_crc32c.extend(crc, piece)
    return crc

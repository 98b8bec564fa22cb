"""The fingerprint of a checkpoint: the same for the same tensors, whatever the file is called and wherever it lies."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridgeckpt.formats.checkpoint import Checkpoint


def fingerprint(checkpoint: Checkpoint) -> str:
    """SHA-256, in hexadecimal, over every tensor's name, dtype, shape and content.

    The content counts by the CRC-32C that the format stores, so that a TensorBundle's index is enough; where a format
    stores none, by the SHA-256 of the bytes, which are read.

    Raises:
        CheckpointError: a tensor that has to be read cannot be.
    """
    lines = []
    for name, info in sorted(checkpoint.tensors.items()):
        checks = [extent.crc32c for extent in sorted(info.extents, key=lambda extent: extent.start)]
        if None in checks:
            content = hashlib.sha256(checkpoint.get_tensor(name).tobytes()).hexdigest()
        else:
            content = ",".join(f"{check:08x}" for check in checks)
        lines.append(f"{name}\t{info.dtype}\t{info.shape}\t{content}\n")
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()

"""Copies: a variable that a file stores several times must have the same values each time."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.store.tensors import TensorInfo


def check_copies(checkpoint: Checkpoint, copies: Mapping[str, str]) -> None:
    """Compare tensors bit for bit, each in pieces of 1 MiB.

    Args:
        checkpoint: Holds both.
        copies: The name of each copy, with the name of the tensor that it should equal.

    Raises:
        CheckpointError: Two tensors differ, or a tensor cannot be read.
    """
    for name, first in copies.items():
        one, other = checkpoint.tensors[first], checkpoint.tensors[name]
        if any(a != b for a, b in zip_longest(_pieces(checkpoint, one), _pieces(checkpoint, other))):
            raise CheckpointError(
                f"{checkpoint.path} holds {first} twice, and not the same both times:\n  {one.name}\n  {other.name}",
                path=checkpoint.path,
                hint="they are two variables of one name, and only the code that wrote them knows which one the model "
                "uses. Save the model again, with different names",
            )


def _pieces(checkpoint: Checkpoint, info: TensorInfo) -> Iterator[bytes]:
    for extent in sorted(info.extents, key=lambda extent: extent.start):
        yield from checkpoint.checksums.passing(extent, checkpoint.pieces(extent, info.name))

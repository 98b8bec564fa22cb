"""Copies: a variable that a file stores more than once has to hold the same values each time."""

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
        copies: The name of each copy, and of the tensor that it should equal.

    Raises:
        CheckpointError: two differ, or cannot be read.
    """
    for name, first in copies.items():
        one, other = checkpoint.tensors[first], checkpoint.tensors[name]
        if any(a != b for a, b in zip_longest(_pieces(checkpoint, one), _pieces(checkpoint, other))):
            raise CheckpointError(
                f"{checkpoint.path} holds {first} twice, and not the same both times:\n  {one.name}\n  {other.name}",
                path=checkpoint.path,
                hint="they are two variables of one name: which of them the model uses, only the code that wrote them "
                "knows. Save the model anew, with names of their own",
            )


def _pieces(checkpoint: Checkpoint, info: TensorInfo) -> Iterator[bytes]:
    for extent in sorted(info.extents, key=lambda extent: extent.start):
        yield from checkpoint.checksums.passing(extent, checkpoint.pieces(extent, info.name))

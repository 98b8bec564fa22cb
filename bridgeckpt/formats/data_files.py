"""Whether the data files of a checkpoint are there, and long enough for its tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.store import lfs
from bridgeckpt.store.source import is_file, look

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bridgeckpt.store.tensors import TensorInfo


def check_data_files(checkpoint: Path, tensors: Iterable[TensorInfo]) -> None:
    """Check the files of all tensors. ``checkpoint`` is the path for errors.

    Raises:
        CheckpointError: files are missing or too short. The message names each of them.
    """
    ends: dict[Path, int] = {}
    for info in tensors:
        for extent in info.extents:
            ends[extent.path] = max(ends.get(extent.path, 0), extent.offset + extent.nbytes)
    problems = {path: problem for path, size in ends.items() if (problem := _problem(path, size))}
    if problems:
        first, these = next(iter(problems)), "it" if len(problems) == 1 else "them"
        raise CheckpointError(
            f"{checkpoint} is incomplete: {'; '.join(problems.values())}",
            path=first,
            hint=lfs.HINT if all(map(_is_pointer, problems)) else f"copy or download {these} into {first.parent}",
        )


def _problem(path: Path, size: int) -> str | None:
    """What is wrong with a data file that should have at least ``size`` bytes, or None."""
    entry = look(path)
    if entry is None or not entry.is_file:
        return f"{path.name} is missing"
    if lfs.is_pointer(path):
        return f"{path.name} is {lfs.WHAT}"
    if entry.size >= size:
        return None
    return f"{path.name} has {entry.size:,} bytes of at least {size:,}"


def _is_pointer(path: Path) -> bool:
    return is_file(path) and lfs.is_pointer(path)

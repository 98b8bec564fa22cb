"""Git LFS pointers: short texts in a clone, in place of large files that were not fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.store.source import read_head

if TYPE_CHECKING:
    from pathlib import Path

FIRST_BYTES = b"version https://git-lfs"
WHAT = "a Git LFS pointer, not the file itself"
HINT = "run `git lfs pull` in the repository that it came from"


def is_pointer(path: Path) -> bool:
    """Whether the file at ``path`` is a pointer.

    Raises:
        OSError: the file cannot be read.
    """
    return read_head(path, len(FIRST_BYTES)) == FIRST_BYTES

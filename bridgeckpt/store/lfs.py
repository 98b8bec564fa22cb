"""Git LFS pointers: short texts in a clone, in place of large files that were not fetched.

Whoever reads the content of a file opens it with :func:`open_content`, so that a pointer is called one wherever it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.store.source import open_file

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.store.contract import StoredFile

FIRST_BYTES = b"version https://git-lfs"
WHAT = "a Git LFS pointer, not the file itself"
HINT = "run `git lfs pull` in the repository that it came from"
_LARGEST = 1024  # bytes; a pointer is smaller


def is_pointer(path: Path) -> bool:
    """Whether the file at ``path`` is a pointer.

    Raises:
        OSError: the file cannot be read.
    """
    return _is_pointer(open_file(path))


def open_content(path: Path) -> StoredFile:
    """The file at ``path``, opened for reading.

    Raises:
        CheckpointError: the file is a pointer.
        OSError: there is no such file, or it cannot be opened.
    """
    file = open_file(path)
    if _is_pointer(file):
        raise CheckpointError(f"{path} is {WHAT}", path=path, hint=HINT)
    return file


def _is_pointer(file: StoredFile) -> bool:
    size = len(FIRST_BYTES)
    return size <= file.size <= _LARGEST and file.read(0, size) == FIRST_BYTES

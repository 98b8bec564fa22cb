"""Output files whose path the user gives: checked before the work begins, and no file of the user is overwritten."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError, OutputError

if TYPE_CHECKING:
    from typing import BinaryIO


def check_output(path: Path, what: str, is_own: Callable[[Path], bool]) -> None:
    """Check that ``path`` can be written: it is absent, or a file that ``is_own`` recognises as ``what`` we write.

    Raises:
        OutputError: the path cannot be written, or it holds something else.
    """
    if os.path.lexists(path) and not _is_own_file(path, is_own):
        raise OutputError(
            f"{path} exists and is not {what}", hint="give a new path; only what we wrote ourselves is replaced"
        )
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {path.parent}", hint="make it first")
    with _temporary_beside(path) as temporary:
        temporary.touch()  # the only certain test


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write. It appears at ``path`` when the block ends; if the block fails, it does not.

    Raises:
        OutputError: the file cannot be written.
    """
    with _temporary_beside(path) as temporary:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)


@contextmanager
def _temporary_beside(path: Path) -> Iterator[Path]:
    """A path for a temporary file in the folder of ``path``. The file is removed when the block ends."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        yield temporary
    except OSError as error:
        hint = "check the path and its permissions"
        raise OutputError(f"cannot write {path}: {error.strerror}", hint=hint) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _is_own_file(path: Path, is_own: Callable[[Path], bool]) -> bool:
    try:
        return path.is_file() and is_own(path)
    except (CheckpointError, OSError):  # damaged or unreadable: its kind is unknown
        return False

"""An output folder that appears whole or not at all: written as a temporary folder, synced and moved into place."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from bridgeckpt.errors import OutputError
from bridgeckpt.sentences import Sentence


class OwnFiles(NamedTuple):
    """How to recognise a folder that bridgeckpt wrote. Only such a folder is ever replaced.

    ``patterns`` are the names of files that it may hold. ``last`` are the files without which the folder does not load.
    They are moved into place after the others, and every such folder has the last one.
    """

    patterns: tuple[str, ...]
    last: tuple[str, ...]


def check_destination(destination: Path, own: OwnFiles, *, force: bool) -> None:
    """Check that the output folder may be written at ``destination``.

    Raises:
        OutputError: the destination exists and is not an empty folder; or, with ``force``, it is not a converted model;
            or it cannot be reached or listed.
    """
    try:
        destination.lstat()
        contents = sorted(path.name for path in destination.iterdir()) if destination.is_dir() else None
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise _output_error(error, destination) from error
    if contents is None:
        raise OutputError(f"{destination} exists and is not a folder", hint="give a new path for the output folder")
    if not contents:
        return
    unknown = [name for name in contents if not any(fnmatchcase(name, pattern) for pattern in own.patterns)]
    is_ours = not unknown and own.last[-1] in contents
    if is_ours and not force:
        hint = Sentence("give another path, or replace it with {force:True}")
        raise OutputError(f"{destination} exists already", hint=hint)
    if not is_ours:
        some = ", ".join((unknown or contents)[:4] + ["..."] * (len(unknown or contents) > 4))
        raise OutputError(
            f"{destination} exists already and is not a converted model: it holds {some}"
            + ("" if unknown else f" and no {own.last[-1]}"),
            hint=Sentence(
                "{force:True} replaces only what was converted here; remove it yourself, or give another path"
            )
            if force
            else "give another path",
        )


@contextmanager
def staged(destination: Path, own: OwnFiles, *, force: bool = False) -> Iterator[Path]:
    """A temporary folder to write. Its files appear at ``destination`` if the block ends without an error.

    A new folder is made beside ``destination`` and moved there in one step. With ``force``, it may replace a converted
    model in the same way. If ``destination`` is an empty folder (perhaps a mount point, or a working directory), it is
    filled from a temporary folder inside it. After an error, KeyboardInterrupt or SystemExit, all is removed. A process
    that is killed leaves a hidden folder whose name ends in ``.tmp``.

    Raises:
        OutputError: the folder cannot be made or moved, or ``destination`` was created by another process.
    """
    destination = destination.absolute()
    fill = destination.is_dir() and not any(destination.iterdir())
    staging, parents = _make(destination / destination.name if fill else destination)
    with ExitStack() as undo:
        undo.callback(_remove_empty, parents)
        undo.callback(_remove, staging)
        try:
            yield staging
            for path in staging.iterdir():
                _sync(path)
            _sync(staging)
            if fill:
                _fill(staging, destination, own.last)
            replaced = None if fill else _replace(staging, destination, own, force=force)
        except OSError as error:
            raise _output_error(error, destination) from error
        undo.pop_all()
    # The new files are in place, so no step below may raise an error.
    if replaced is not None:
        _remove(replaced)
    with suppress(OSError):
        _sync(destination.parent)


def _output_error(error: OSError | ValueError, destination: Path) -> OutputError:
    code, reason = (error.errno, error.strerror) if isinstance(error, OSError) else (None, None)
    if code == errno.ENOSPC:
        return OutputError(f"no space left for {destination}", hint="free some space or give a path on another disk")
    if code in (errno.ENOTEMPTY, errno.EEXIST):
        return OutputError(
            f"{destination} was created by another process during the conversion", hint="is another conversion running?"
        )
    return OutputError(f"cannot write {destination}: {reason or error}", hint="check the path and its permissions")


def _make(destination: Path) -> tuple[Path, list[Path]]:
    """Make the temporary folder. Returns it and the parent folders that were missing, innermost first."""
    staging = destination.with_name(f".{destination.name}.{os.urandom(4).hex()}.tmp")
    missing: list[Path] = []
    try:
        missing += [path for path in destination.parents if not path.exists()]
        destination.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
    except OSError as error:
        _remove_empty(missing)
        raise _output_error(error, destination) from error
    return staging, missing


def _remove_empty(parents: list[Path]) -> None:
    """Remove the parent folders that were made, unless another program has put something into them."""
    for parent in parents:
        with suppress(OSError):
            parent.rmdir()


def _fill(staging: Path, destination: Path, last: tuple[str, ...]) -> None:
    """Move the files from the temporary folder up into ``destination``, the files of ``last`` after the others."""
    if any(path != staging for path in destination.iterdir()):
        raise FileExistsError(errno.EEXIST, "not empty any more", str(destination))
    names = sorted((path.name for path in staging.iterdir()), key=lambda name: (name in last, name))
    with ExitStack() as undo:
        for name in names:
            undo.callback((destination / name).unlink, missing_ok=True)
        for name in names:
            (staging / name).rename(destination / name)
        undo.pop_all()
    staging.rmdir()


def _replace(staging: Path, destination: Path, own: OwnFiles, *, force: bool) -> Path | None:
    """Rename ``staging`` to ``destination``. Returns where a converted model that was there is now, or None."""
    if not force or not destination.is_dir():
        staging.rename(destination)  # the system refuses a folder that is not empty
        return None
    check_destination(destination, own, force=True)
    if _exchange(staging, destination):
        return staging
    old = staging.with_name(staging.name.removesuffix(".tmp") + ".old.tmp")
    destination.rename(old)
    try:
        staging.rename(destination)
    except OSError:
        old.rename(destination)
        raise
    return old


def _exchange(a: Path, b: Path) -> bool:
    """Swap two paths atomically with renameat2(2), Linux 3.15 and newer. False if the system cannot."""
    import ctypes

    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    at_fdcwd, rename_exchange = -100, 2
    return bool(renameat2(at_fdcwd, os.fsencode(a), at_fdcwd, os.fsencode(b), rename_exchange) == 0)


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # Windows does not open folders
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems do not sync folders
            raise
    finally:
        os.close(descriptor)


def _remove(directory: Path) -> None:
    from shutil import rmtree

    rmtree(directory, ignore_errors=True)

"""Output that appears whole or not at all: a temporary folder, synced to disk and moved into place."""

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
    """How a folder that was written here is known; only such a folder is ever replaced.

    ``patterns`` are the names that it may hold. ``last`` are the files without which it is nothing that loads: they are
    moved into place after the others, and the last of them is in every such folder.
    """

    patterns: tuple[str, ...]
    last: tuple[str, ...]


def check_destination(destination: Path, own: OwnFiles, *, force: bool) -> None:
    """Refuse a destination that stands in the way.

    Raises:
        OutputError: it exists and is not an empty folder; with ``force``, it holds anything but a converted model; or
            it cannot be reached or listed.
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
    if not force:
        raise OutputError(
            f"{destination} exists already", hint=Sentence("give another path, or replace it with {force:True}")
        )
    unknown = [name for name in contents if not any(fnmatchcase(name, pattern) for pattern in own.patterns)]
    if unknown or own.last[-1] not in contents:
        some = ", ".join((unknown or contents)[:4] + ["..."] * (len(unknown or contents) > 4))
        raise OutputError(
            f"{destination} is not a converted model: it holds {some}{'' if unknown else f' and no {own.last[-1]}'}",
            hint=Sentence(
                "{force:True} only replaces what was converted here; remove it yourself, or give another path"
            ),
        )


@contextmanager
def staged(destination: Path, own: OwnFiles, *, force: bool = False) -> Iterator[Path]:
    """A temporary folder whose files are at ``destination`` when the block ends without an error.

    A new folder, or one that replaces a converted model with ``force``, is made beside ``destination`` and takes its
    place in one step. An empty folder that is there already (it may be a mount point, or somebody's working directory)
    is filled instead, from a temporary folder inside it. On an error, and on KeyboardInterrupt or SystemExit, all of it
    is taken back. A process that is killed outright leaves a hidden folder behind whose name ends in ``.tmp``.

    Raises:
        OutputError: the folder cannot be made or moved, or ``destination`` was created by another process.
    """
    destination = destination.absolute()
    fill = destination.is_dir() and not any(destination.iterdir())
    staging, parents = _make(destination / destination.name if fill else destination)
    with ExitStack() as undo:
        undo.callback(_take_back, parents)
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
    # The new files are in place: nothing from here on may say that they are not.
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
    """The temporary folder, under a name of its own, and the parents that had to be made for it, innermost first."""
    staging = destination.with_name(f".{destination.name}.{os.urandom(4).hex()}.tmp")
    missing: list[Path] = []
    try:
        missing += [path for path in destination.parents if not path.exists()]
        destination.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
    except OSError as error:
        _take_back(missing)
        raise _output_error(error, destination) from error
    return staging, missing


def _take_back(parents: list[Path]) -> None:
    """Remove the parents that were made, unless something else has come to lie in them."""
    for parent in parents:
        with suppress(OSError):
            parent.rmdir()


def _fill(staging: Path, destination: Path, last: tuple[str, ...]) -> None:
    """Move the files up into the folder that holds the temporary one; what makes them a model comes last."""
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
    """Rename into place. A converted model is swapped out, in one step where the system can; returns where it went."""
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
    """Swap two paths atomically with renameat2(2), Linux 3.15 and newer; False where that is not to be had."""
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
    except OSError:  # Windows opens no folders
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

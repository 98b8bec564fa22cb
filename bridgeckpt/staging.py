"""Output that appears whole or not at all: a temporary sibling folder, synced to disk and renamed into place."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bridgeckpt.errors import OutputError

REPORT = "conversion_report.json"


def check_destination(destination: Path, source: Path, *, force: bool) -> None:
    """Refuse a destination that stands in the way, before any work is done.

    Raises:
        OutputError: it exists and is not an empty folder; with ``force``, it is no converted model or holds the source;
            or it cannot be reached or listed.
    """
    try:
        destination.lstat()
        contents = sorted(path.name for path in destination.iterdir()) if destination.is_dir() else None
    except FileNotFoundError:
        return
    except OSError as error:
        raise _output_error(error, destination) from error
    if contents is None or destination.is_symlink():
        raise OutputError(f"{destination} exists and is not a folder", hint="give a new path for the output folder")
    if not contents:
        return
    if not force:
        raise OutputError(f"{destination} exists already", hint="give another path, or replace it with --force")
    if source.resolve().is_relative_to(destination.resolve()):
        raise OutputError(f"{destination} holds the source {source}; replacing it would delete the source")
    if not {REPORT, "config.json"} & set(contents):
        some = ", ".join(contents[:4] + ["..."] * (len(contents) > 4))
        raise OutputError(
            f"{destination} is not a converted model: it holds {some}",
            hint="--force only replaces a model folder (one with a config.json); give another path",
        )


@contextmanager
def staged(destination: Path) -> Iterator[Path]:
    """A temporary folder beside ``destination`` that takes its place when the block ends without an error.

    A folder that was at ``destination`` stays as it is until then and is removed afterwards. On an error, and on
    KeyboardInterrupt or SystemExit, the temporary folder is removed. A process that is killed outright leaves it behind
    under a hidden name that ends in ``.tmp``.

    Raises:
        OutputError: the folder cannot be created or renamed.
    """
    destination = destination.absolute()
    staging, parents = _make(destination)
    try:
        yield staging
        for path in staging.iterdir():
            _sync(path)
        _sync(staging)
        replaced = _replace(staging, destination)
    except BaseException as error:
        _remove(staging)
        _take_back(parents)
        if isinstance(error, OSError):
            raise _output_error(error, destination) from error
        raise
    # The new folder is in place: nothing from here on may say that it is not.
    if replaced is not None:
        _remove(replaced)
    with suppress(OSError):
        _sync(destination.parent)


def _output_error(error: OSError, destination: Path) -> OutputError:
    if error.errno == errno.ENOSPC:
        return OutputError(f"no space left for {destination}", hint="free some space or give a path on another disk")
    return OutputError(
        f"cannot write {destination}: {error.strerror or error}", hint="check the path and its permissions"
    )


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


def _replace(staging: Path, destination: Path) -> Path | None:
    """Rename into place. An existing folder is swapped out, in one step where the system can; returns where it went."""
    if not destination.is_dir() or not any(destination.iterdir()):
        staging.rename(destination)
        return None
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

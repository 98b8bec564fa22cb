"""What is at a path, and opening it: the functions that every module above ``store/`` calls.

Each finds the store of a path with :func:`store_at` and asks it. A second kind of store needs a class that keeps the
contract (``contract.py``) and a line in :func:`store_at`.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from bridgeckpt.store.local import LocalDisk

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.store.contract import Entry, Store, StoredFile

_LOCAL_DISK = LocalDisk()


def store_at(path: Path) -> Store:  # noqa: ARG001
    """The store that holds ``path``."""
    return _LOCAL_DISK


def look(path: Path) -> Entry | None:
    """What is at ``path``; None if there is nothing.

    Raises:
        OSError: the path cannot be reached.
    """
    return store_at(path).look(path)


def is_file(path: Path) -> bool:
    """Whether there is a file at ``path``.

    Raises:
        OSError: the path cannot be reached.
    """
    entry = look(path)
    return entry is not None and entry.is_file


def is_folder(path: Path) -> bool:
    """Whether there is a folder at ``path``.

    Raises:
        OSError: the path cannot be reached.
    """
    entry = look(path)
    return entry is not None and entry.is_folder


def members(folder: Path) -> list[Entry]:
    """What is directly in ``folder``, sorted by name.

    Raises:
        OSError: there is no such folder, or it cannot be listed.
    """
    return store_at(folder).members(folder)


def matching(folder: Path, pattern: str) -> list[Entry]:
    """What is in ``folder`` under names that match ``pattern`` (``*config*.json``, ``assets/*.txt``), sorted by name.

    Only the last part of a pattern may hold wildcards. A pattern without wildcards is looked up without listing. The
    folder need not exist.

    Raises:
        OSError: the folder cannot be listed.
    """
    if not {"*", "?", "["}.intersection(pattern):
        entry = look(folder / pattern)
        return [] if entry is None else [entry]
    *parents, name_pattern = pattern.split("/")
    folder = folder.joinpath(*parents)
    if not is_folder(folder):
        return []
    return [entry for entry in members(folder) if fnmatchcase(entry.name, name_pattern)]


def open_file(path: Path) -> StoredFile:
    """The file at ``path``, opened for reading.

    Raises:
        OSError: there is no such file, or it cannot be opened.
    """
    return store_at(path).open(path)


def read_head(path: Path, limit: int) -> bytes:
    """The first ``limit`` bytes of the file at ``path``, or the whole file if it is shorter.

    Raises:
        OSError: the file cannot be read.
    """
    file = open_file(path)
    return file.read(0, min(limit, file.size))


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8. It appears whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with store_at(path).replacing(path) as file:
        file.write(text.encode())

"""A folder while a checkpoint is looked for in it: listed once, and each of its files identified once."""

from __future__ import annotations

from fnmatch import fnmatch
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import CheckpointError
from bridgeckpt.store.source import members
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bridgeckpt.formats.locating.kinds import FileKind
    from bridgeckpt.store.contract import Entry


class Location(NamedTuple):
    """Where a checkpoint lies.

    Attributes:
        path: Its file; of a TensorBundle its prefix.
        kind: What the file is, which decides on the reader.
        notes: What to say about the choice.
    """

    path: Path
    kind: FileKind
    notes: tuple[str, ...] = ()


class Folder:
    """A folder, and through :meth:`other` every other one that the search comes to.

    Attributes:
        path: Where it lies.
        lost: What to say of its state file, if that names a checkpoint that is not there.
    """

    def __init__(self, path: Path, identify: Callable[[Path], FileKind]) -> None:
        self.path = path
        self.lost: str | None = None
        self._identify = identify
        self._kinds: dict[Path, FileKind] = {}
        self._folders = {path: self}

    def other(self, path: Path) -> Folder:
        """The folder at ``path``, which shares what is known of files."""
        if path not in self._folders:
            folder = self._folders[path] = Folder(path, self._identify)
            folder._kinds, folder._folders = self._kinds, self._folders
        return self._folders[path]

    @cached_property
    def members(self) -> list[Entry]:
        """What lies in it, sorted by name; nothing if there is no such folder.

        Raises:
            OSError: it cannot be listed.
        """
        try:
            return members(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def entries(self, *patterns: str) -> list[Entry]:
        """The files with names that fit, as the store describes them, pattern by pattern."""
        return [
            entry for pattern in patterns for entry in self.members if entry.is_file and fnmatch(entry.name, pattern)
        ]

    def files(self, *patterns: str) -> list[Path]:
        """The files with names that fit, pattern by pattern."""
        return [entry.path for entry in self.entries(*patterns)]

    def file(self, name: str) -> Path | None:
        """The file of this name, if there is one."""
        return next((entry.path for entry in self.members if entry.name == name and entry.is_file), None)

    def kind(self, path: Path) -> FileKind:
        """What the file at ``path`` is, in this folder or another.

        Raises:
            OSError: it cannot be read.
            CheckpointError: it is a table that is damaged.
        """
        if path not in self._kinds:
            self._kinds[path] = self._identify(path)
        return self._kinds[path]


def only_file(folder: Folder, *patterns: str, kinds: tuple[FileKind, ...]) -> Location | None:
    """The rule for most formats: the only file of these kinds with such a name, None if there is none.

    Raises:
        CheckpointError: there are several.
    """
    found = [file for file in folder.files(*patterns) if folder.kind(file) in kinds]
    if len(found) > 1:
        names = listed(sorted(file.name for file in found))
        raise CheckpointError(f"{folder.path} holds {names}", path=folder.path, hint="pass one of them")
    return Location(found[0], folder.kind(found[0])) if found else None

"""A folder in which a checkpoint is searched for: it is listed once, and each of its files is identified once."""

from __future__ import annotations

import re
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


# What macOS writes beside files in archives: "._model.index" holds attributes of "model.index".
_OF_MACOS = re.compile(r"\._.|__MACOSX$")


class Location(NamedTuple):
    """The place of a checkpoint.

    Attributes:
        path: Its file; or the prefix of a TensorBundle.
        kind: The kind of the file, which decides the reader.
        notes: What to tell the user about the choice.
        warnings: What may be wrong with the choice.
    """

    path: Path
    kind: FileKind
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Folder:
    """A folder. :meth:`other` gives other folders, which share the kinds of files that are known.

    Attributes:
        path: Its path.
        lost: A message about its state file, if that names a checkpoint that is absent.
    """

    def __init__(self, path: Path, identify: Callable[[Path], FileKind]) -> None:
        self.path = path
        self.lost: str | None = None
        self._identify = identify
        self._kinds: dict[Path, FileKind] = {}
        self._folders = {path: self}

    def other(self, path: Path) -> Folder:
        """The folder at ``path``, which shares the known kinds of files."""
        if path not in self._folders:
            folder = self._folders[path] = Folder(path, self._identify)
            folder._kinds, folder._folders = self._kinds, self._folders
        return self._folders[path]

    @cached_property
    def members(self) -> list[Entry]:
        """What is directly in it, sorted by name, without what macOS adds; empty if there is no such folder.

        Raises:
            OSError: the folder cannot be listed.
        """
        try:
            return [entry for entry in members(self.path) if not _OF_MACOS.match(entry.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def entries(self, *patterns: str) -> list[Entry]:
        """The files whose names match, pattern by pattern, as entries of the store."""
        return [
            entry for pattern in patterns for entry in self.members if entry.is_file and fnmatch(entry.name, pattern)
        ]

    def files(self, *patterns: str) -> list[Path]:
        """The files whose names match, pattern by pattern."""
        return [entry.path for entry in self.entries(*patterns)]

    def file(self, name: str) -> Path | None:
        """The file with this name, if there is one."""
        return next((entry.path for entry in self.members if entry.name == name and entry.is_file), None)

    def kind(self, path: Path) -> FileKind:
        """The kind of the file at ``path``, in this folder or another.

        Raises:
            OSError: the file cannot be read.
            CheckpointError: the file is a damaged table.
        """
        if path not in self._kinds:
            self._kinds[path] = self._identify(path)
        return self._kinds[path]


def only_file(
    folder: Folder, *patterns: str, kinds: tuple[FileKind, ...], fits: Callable[[Path], bool] = lambda _: True
) -> Location | None:
    """The rule of most formats: the only file of these kinds with a matching name that ``fits``; None if there is none.

    Raises:
        CheckpointError: there are several such files.
    """
    files = [file for file in folder.files(*patterns) if folder.kind(file) in kinds and fits(file)]
    if len(files) > 1:
        names = listed(sorted(file.name for file in files))
        raise CheckpointError(f"{folder.path} holds {names}", path=folder.path, hint="pass one of them")
    return Location(files[0], folder.kind(files[0])) if files else None

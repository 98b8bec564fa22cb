"""Finds the checkpoint that a path means: a folder, a state file, a prefix or a file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.locating import refusals
from bridgeckpt.formats.locating.folder import Folder, Location
from bridgeckpt.formats.locating.kinds import STATE_FILE
from bridgeckpt.formats.locating.others import among_others
from bridgeckpt.formats.locating.registry import FORMATS
from bridgeckpt.formats.locating.state_file import find_named, state_file_in
from bridgeckpt.formats.locating.tensorflow_files import bundle_at, find_saved_model, v1_at
from bridgeckpt.store.source import is_file, is_folder, look
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from pathlib import Path

_PYTORCH = ("*.safetensors", "pytorch_model*.bin")


def is_address(path: Path) -> bool:
    """Whether it is a URL and not a path, as ``gs://bucket/model.ckpt``. A drive of Windows has only one letter."""
    return re.match(r"[a-z][a-z0-9+.-]+:/", str(path)) is not None


def locate(path: Path) -> Location:
    """The checkpoint that ``path`` means.

    Each folder that is searched is listed once, and each file is identified once.

    Raises:
        CheckpointError: there is no checkpoint, or no reader opens files of its kind.
    """
    if is_address(path):
        raise CheckpointError(f"{path} is an address, not a path", hint="copy the checkpoint to this machine first")
    try:
        path = path.expanduser()
        location = _location(path, Folder(path, FORMATS.identify))
    except OSError as error:
        raise CheckpointError(f"cannot read {error.filename or path}: {error.strerror}", path=path) from None
    except RuntimeError as error:  # a home folder that does not exist, as in ~nobody/model
        raise CheckpointError(f"{path}: {error}", path=path) from None
    if FORMATS.of_kind(location.kind) is None:
        raise refusals.refused(location.path, location.kind)
    return location if refusals.prefix_of(path) else _with_folder(location)


def _with_folder(location: Location) -> Location:
    """The same place; if a folder has the name of the chosen prefix, with a note about the checkpoint in it."""
    path = location.path
    if not is_folder(path):
        return location
    try:
        inner = _in_folder(folder := Folder(path, FORMATS.identify), state_file_in(folder))
    except (CheckpointError, OSError):
        return location
    note = f"{path} is a folder too: took the checkpoint {refusals.index_of(path)}; pass {inner.path} to take that one"
    return location._replace(notes=(*location.notes, note))


def _location(path: Path, folder: Folder) -> Location:
    """The checkpoint that ``path`` means: in the folder itself, with this prefix, or a file."""
    if is_file(refusals.index_of(path)):
        return bundle_at(path, folder)
    entry = look(path)
    if entry is not None and entry.is_folder:
        return _in_folder(folder, state_file_in(folder))
    if prefix := refusals.prefix_of(path):
        return v1_at(prefix, folder) or bundle_at(prefix, folder)
    if entry is not None:
        if not entry.is_file:
            raise CheckpointError(f"{path} is neither a file nor a folder", path=path)
        return _by_file(path, folder)
    if location := v1_at(path, folder):
        return location
    raise refusals.without_index(path, folder, given=path)


def _by_file(path: Path, folder: Folder) -> Location:
    """The checkpoint that a file means: usually the file itself."""
    kind = folder.kind(path)
    if kind is STATE_FILE:
        return _in_folder(folder.other(path.parent), path)
    row = FORMATS.of_kind(kind)
    location = row.find_by_file(path, folder) if row is not None and row.find_by_file else Location(path, kind)
    if location is None:
        raise refusals.refused(path, kind)
    return location


def _in_folder(folder: Folder, state: Path | None) -> Location:
    """The checkpoint in a folder: the one that its state file names, or else that of the first format found in it."""
    if state is not None and (location := find_named(state, folder)):
        return _beside_pytorch(among_others(location, folder), folder)
    for row in FORMATS.formats:
        if location := row.find(folder):
            return _beside_pytorch(among_others(location, folder), folder)
    patterns = [pattern for row in FORMATS.formats for pattern in row.patterns]
    if location := _only_version(folder, patterns):
        return location
    raise refusals.nothing_in(folder, patterns)


def _beside_pytorch(location: Location, folder: Folder) -> Location:
    """The same place; if PyTorch's files are beside it, with a note. Safetensors may be TensorFlow's too."""
    others = folder.files(*_PYTORCH)
    if not others or location.path in others or location.path.name.endswith(".safetensors.index.json"):
        return location
    taken = location.path.name
    note = f"{folder.path} holds {taken} and {listed(file.name for file in others)}: took {taken}, TensorFlow's"
    return location._replace(notes=(*location.notes, note))


def _only_version(folder: Folder, patterns: list[str]) -> Location | None:
    """The SavedModel below a folder, if there is no other checkpoint and its folder has the number of a version."""
    below = refusals.below_of(folder, patterns)
    if len(below) != 1 or not (version := below.pop()).name.isdecimal():
        return None
    if (location := find_saved_model(folder.other(version))) is None:
        return None
    note = f"took {version}, the only version of a SavedModel in {folder.path}"
    return location._replace(notes=(note, *location.notes))

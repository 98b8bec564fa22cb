"""Errors for a path without a readable checkpoint: what is there instead, what is missing, which name is near."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.tensorflow.saved_model import GRAPH, GRAPH_AS_TEXT
from bridgeckpt.store.source import is_folder, look
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridgeckpt.formats.locating.folder import Folder
    from bridgeckpt.formats.locating.kinds import FileKind

_PART = re.compile(r"(.+)\.(index|meta|data-\d{5}-of-\d{5})")
_WITHOUT_WEIGHTS = "it holds no weights: pass the checkpoint that it belongs to"  # of a kind that a reader opens
_DEEPEST = 3  # levels below a folder, as in export/exporter/1583920000
_MOST = 1000  # folders of a level that are searched
_COMPARED = 10_000  # names in a folder that are compared with a missing one


def index_of(prefix: Path) -> Path:
    """The index of the TensorBundle with this prefix."""
    return Path(f"{prefix}.index")


def prefix_of(part: Path) -> Path | None:
    """The prefix of the TensorBundle that a file with this name belongs to, or None."""
    match = _PART.fullmatch(part.name)
    return part.with_name(match[1]) if match else None


def refused(path: Path, kind: FileKind) -> CheckpointError:
    """An error: no reader opens files of this kind."""
    return CheckpointError(f"{path} is {kind.what}", path=path, hint=kind.hint)


def nothing_in(folder: Folder, patterns: Iterable[str]) -> CheckpointError:
    """An error: the folder holds no readable checkpoint. ``patterns`` match the names of checkpoints."""
    error = _content(folder, patterns)
    if folder.lost is None:
        return error
    return CheckpointError(f"{folder.lost}; {error.message}", path=folder.path, hint=error.hint)


def _content(folder: Folder, patterns: Iterable[str]) -> CheckpointError:
    for name in (GRAPH, GRAPH_AS_TEXT):
        if graph := folder.file(name):
            return refused(folder.path, folder.kind(graph))
    for entry in folder.members:
        if prefix := prefix_of(entry.path):
            return without_index(prefix, folder)
    below = below_of(folder, patterns)
    models = [file for file in folder.files("*") if folder.kind(file).is_model]
    if models and not below:
        kind = folder.kind(models[0])
        what = f"{folder.path} holds {models[0].name}, which is {kind.what}"
        return CheckpointError(what, path=models[0], hint=kind.hint or _WITHOUT_WEIGHTS)
    beside = f", but {models[0].name}, which is {folder.kind(models[0]).what}" if models else ""
    if below:
        hint = f"did you mean {listed(sorted(map(str, below)))}?"
    else:
        names = [entry.name for entry in folder.members]
        hint = f"it holds {listed(names)}" if names else "the folder is empty"
    return CheckpointError(f"there is no checkpoint in {folder.path}{beside}", path=folder.path, hint=hint)


def below_of(folder: Folder, patterns: Iterable[str]) -> set[Path]:
    """The checkpoints in the folders below a folder; a SavedModel is its folder."""
    checkpoints: set[Path] = set()
    level = _folders(folder)
    for _ in range(_DEEPEST):
        checkpoints.update(model.path for model in level if is_saved_model(model))
        others = [inner for inner in level if not is_saved_model(inner)]
        for inner in others:
            found = (file for file in inner.files(*patterns) if _is_checkpoint(inner, file))
            checkpoints.update(prefix_of(file) or file for file in found)
        level = [deeper for inner in others for deeper in _folders(inner)][:_MOST]
    return checkpoints


def is_saved_model(folder: Folder) -> bool:
    """Whether a folder is a SavedModel."""
    return (folder.file(GRAPH) or folder.file(GRAPH_AS_TEXT)) is not None


def _is_checkpoint(folder: Folder, file: Path) -> bool:
    """Whether a file with the name of a checkpoint is one: other files of TensorFlow and Keras end in .pb too."""
    return file.suffix != ".pb" or (file.name != GRAPH and folder.kind(file).is_model)


def _folders(folder: Folder) -> list[Folder]:
    """The folders in a folder that can be listed."""
    folders = []
    for inner in (folder.other(entry.path) for entry in folder.members if entry.is_folder):
        with suppress(OSError):
            inner.members  # noqa: B018 - listed here, once
            folders.append(inner)
    return folders


def without_index(prefix: Path, folder: Folder, given: Path | None = None) -> CheckpointError:
    """An error: the index of a prefix is missing. ``given``: the user passed the prefix, and not one of its files."""
    beside = folder.other(prefix.parent).members
    others = [entry.name for entry in beside if prefix_of(entry.path) == prefix]
    if not others:
        return _absent(given or index_of(prefix), folder)
    return CheckpointError(
        f"{index_of(prefix)} is missing, and without it {listed(others)} cannot be read",
        path=index_of(prefix),
        hint="copy or download it into the same folder",
    )


def _absent(path: Path, folder: Folder) -> CheckpointError:
    """An error: the path does not exist. It says which part of it, and which names are near."""
    missing = path
    while not is_folder(missing.parent) and missing.parent != missing:
        missing = missing.parent
    if look(missing) is not None:
        return CheckpointError(f"{path} does not exist: {missing} is a file, not a folder", path=path)
    where = f": {missing.parent} holds no {missing.name}" if missing != path else ""
    return CheckpointError(f"{path} does not exist{where}", path=path, hint=_near(missing, folder))


def _near(missing: Path, folder: Folder) -> str | None:
    """A hint with the names that the user may have meant by a missing one, or None."""
    from difflib import get_close_matches

    members = islice(folder.other(missing.parent).members, _COMPARED)
    beside = sorted({(prefix_of(entry.path) or entry.path).name for entry in members})
    wanted = (prefix_of(missing) or missing).name
    near = [name for name in beside if name.startswith(wanted)] or get_close_matches(wanted, beside)
    if not near:
        return None
    return f"did you mean {listed(str(missing.with_name(name)) for name in near)}?"

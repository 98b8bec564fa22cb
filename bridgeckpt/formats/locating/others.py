"""Checkpoints of other formats beside the one that is taken from a folder: they may be of another model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.locating.huggingface_files import PATTERNS, SAFETENSORS, SAFETENSORS_INDEX, is_tensorflows
from bridgeckpt.formats.locating.registry import FORMATS
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.formats.locating.folder import Folder, Location
    from bridgeckpt.formats.locating.kinds import FileKind
    from bridgeckpt.formats.locating.registry import FileFormat


def among_others(location: Location, folder: Folder) -> Location:
    """The same place; with a warning if a checkpoint of another format is beside it.

    It may be the same model in another format: nothing but its values would show that.
    """
    rows = [row for row in FORMATS.formats if location.kind not in row.readers]
    others = [path for row in rows for path in _found(row, folder) if path != location.path]
    if not others:
        return location
    warning = (
        f"{folder.path} holds {listed(path.name for path in others)} too: took {location.path.name}; pass the path of "
        f"the one that is meant: {location.path} or {' or '.join(map(str, others))}"
    )
    return location._replace(warnings=(*location.warnings, warning))


def _found(row: FileFormat, folder: Folder) -> list[Path]:
    """The checkpoints of a format in the folder. PyTorch's files are none, and what is damaged cannot be meant."""
    try:
        location = row.find(folder)
    except CheckpointError:  # there are several
        return [path for path in folder.files(*row.patterns) if _counts(path, _kind(path, folder), folder)]
    return [location.path] if location is not None and _counts(location.path, location.kind, folder) else []


def _kind(path: Path, folder: Folder) -> FileKind | None:
    try:
        return folder.kind(path)
    except CheckpointError:
        return None


def _counts(path: Path, kind: FileKind | None, folder: Folder) -> bool:
    """Whether a reader opens the file, and it is not PyTorch's."""
    if kind is None or FORMATS.of_kind(kind) is None:
        return False
    if kind is SAFETENSORS_INDEX:
        return any(is_tensorflows(shard) for shard in folder.files(*PATTERNS))
    return kind is not SAFETENSORS or is_tensorflows(path)

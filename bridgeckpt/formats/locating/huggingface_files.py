"""Safetensors files: how to recognise one, and which file of a folder is the checkpoint."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.locating.folder import Location
from bridgeckpt.formats.locating.kinds import FileKind, FileStart, text_matches
from bridgeckpt.store.source import open_file
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.formats.locating.folder import Folder


def _is_safetensors(start: FileStart) -> bool:
    """Whether the file begins with the length of a JSON object, and is long enough for it."""
    return start.head[8:9] == b"{" and int.from_bytes(start.head[:8], "little") <= start.size - 8


SAFETENSORS = FileKind("a safetensors file", matches=_is_safetensors, suffix=".safetensors")
SAFETENSORS_INDEX = FileKind(
    "the index of safetensors shards", matches=text_matches(r'\{.*"weight_map"\s*:', re.DOTALL)
)
PATTERNS = ("*.safetensors",)
_HEADER = 4096  # bytes: the metadata comes first


def is_tensorflows(path: Path) -> bool:
    """Whether transformers' TensorFlow classes wrote a safetensors file: its header says so at its beginning."""
    file = open_file(path)
    head = file.read(0, min(_HEADER, file.size))
    return re.search(rb'"__metadata__"\s*:\s*\{[^}]*"format"\s*:\s*"tf"', head) is not None


def find(folder: Folder) -> Location | None:
    """The only index of shards, the file with the usual name, or the only file.

    Raises:
        CheckpointError: there are several files and no index.
    """
    indexes, files = folder.files("*.safetensors.index.json"), folder.files(*PATTERNS)
    usual = [file for file in files if file.name == "model.safetensors"]
    for candidates in (indexes, usual, files):
        if len(candidates) == 1:
            return Location(candidates[0], folder.kind(candidates[0]))
    if not files:
        return None
    raise CheckpointError(
        f"{folder.path} holds {listed(file.name for file in files)} and no index of them",
        path=folder.path,
        hint="pass one of them, or add the .safetensors.index.json that names them",
    )

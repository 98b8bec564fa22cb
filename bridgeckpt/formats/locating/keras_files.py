"""HDF5 files of Keras and transformers: how to recognise one, and which file of a folder is the checkpoint."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridgeckpt.formats.locating.folder import Location, only_file
from bridgeckpt.formats.locating.kinds import FileKind, FileStart, text_matches, zip_holds
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.formats.locating.folder import Folder

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_STARTS = (0, 512, 1024, 2048)  # a user block of HDF5 may come before it
# of transformers (a file, an index of shards), then of a KerasHub preset
_USUAL = (
    ("tf_model.h5", "tf_model.h5.index.json"),
    ("task.weights.h5", "model.weights.h5", "model.weights.json"),
)
_SHARD = re.compile(r".*[-_]\d{4,}(-of-\d+)?(\.weights)?\.h5")


def _is_hdf5(start: FileStart) -> bool:
    return any(start.head.startswith(_SIGNATURE, offset) for offset in _STARTS)


HDF5 = FileKind("an HDF5 file", matches=_is_hdf5)
HDF5_INDEX = FileKind(
    "the index of HDF5 shards",
    matches=text_matches(r'\{.*"weight_map"\s*:\s*\{\s*"[^"]*"\s*:\s*\[?\s*"[^"]*\.h5"', re.DOTALL),
)
KERAS_ARCHIVE = FileKind("a .keras archive", matches=zip_holds("model.weights.h5"))
_KINDS = (HDF5, HDF5_INDEX, KERAS_ARCHIVE)
PATTERNS = ("*.h5", "*.hdf5", "*.keras")


def find(folder: Folder) -> Location | None:
    """The file with a usual name, the only index of shards, or the only file.

    Raises:
        CheckpointError: there are several files or indexes, and no usual name among them.
    """
    for names in _USUAL:
        if usual := [file for name in names if (file := folder.file(name)) and folder.kind(file) in _KINDS]:
            return _with_others(usual, folder)
    location = only_file(folder, "*.weights.json", "*.h5.index.json", kinds=_KINDS)
    return location or only_file(folder, *PATTERNS, kinds=_KINDS)


def _with_others(usual: list[Path], folder: Folder) -> Location:
    """The file with a usual name, with a warning if there are files of other names, apart from its shards."""
    others = [file.name for file in folder.files(*PATTERNS) if file not in usual and not _SHARD.fullmatch(file.name)]
    taken = Location(usual[0], folder.kind(usual[0]))
    if not others:
        return taken
    held = f"{folder.path} holds {listed(others)} too"
    return taken._replace(warnings=(f"{held}: took {usual[0].name}, by its name; another is taken by its path",))

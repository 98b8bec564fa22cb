"""TensorBundles, SavedModels and V1 checkpoints: how to recognise one, and which one of a folder to take."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.locating import refusals
from bridgeckpt.formats.locating.folder import Location
from bridgeckpt.formats.locating.frozen_files import FROZEN_GRAPH
from bridgeckpt.formats.locating.kinds import EMPTY, LFS_POINTER, WEB_PAGE, FileKind, FileStart
from bridgeckpt.formats.tensorflow.saved_model import GRAPH, GRAPH_AS_TEXT, HUB_MARK, SavedModel
from bridgeckpt.formats.tensorflow.stored_graph import has_variables
from bridgeckpt.formats.tensorflow.wire import BYTES, VARINT, tag
from bridgeckpt.store.source import is_file
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.formats.locating.folder import Folder

_SHARD = re.compile(r"(?<=.)-\d{5}-of-\d{5}$")
_STEP = re.compile(r"[-_.](\d+)(\.ckpt)?$")
_SAVED_MODEL_START = bytes([tag(1, VARINT), 1, tag(2, BYTES)])  # schema version 1, then a graph
_FROZEN = "its variables/variables.index is missing: copy or download the whole folder"
_NO_GRAPH = f"{GRAPH} is missing: what the graph says has to come from a config or from options"
INDEX_PATTERNS = ("?*.index",)


def _is_v1(start: FileStart) -> bool:
    """Under the empty key, field 1 is a message in a V1 checkpoint (SavedTensorSlices), and a number in a bundle."""
    if start.path.name.endswith(".index") or start.table_entry is None:
        return False
    key, value = start.table_entry
    return not key and value[:1] == bytes([tag(1, BYTES)])


def _is_bundle(start: FileStart) -> bool:
    """Whether the file is a table, but not a V1 checkpoint. The last bytes show it, even if the table is damaged."""
    return start.is_table and not _is_v1(start)


def _is_graph(start: FileStart) -> bool:
    return start.path.name in (GRAPH, GRAPH_AS_TEXT)


V1_CHECKPOINT = FileKind("a TensorFlow V1 checkpoint (the format before 2017)", matches=_is_v1)
BUNDLE_INDEX = FileKind("the index of a TensorBundle", matches=_is_bundle)
HUB_MODULE = FileKind(
    what="a TF1 hub module (saved_model.pb with tfhub_module.pb)",
    hint=_FROZEN,
    matches=lambda start: _is_graph(start) and is_file(start.path.with_name(HUB_MARK)),
    by_name=True,
)
SAVED_MODEL = FileKind(
    what="a SavedModel",
    hint=_FROZEN,
    matches=lambda start: _is_graph(start) or start.head.startswith(_SAVED_MODEL_START),
    by_name=True,
)


def bundle_at(prefix: Path, folder: Folder) -> Location:
    """The TensorBundle with this prefix.

    Raises:
        CheckpointError: the index is missing, empty, a Git LFS pointer or a web page.
    """
    index = refusals.index_of(prefix)
    if not is_file(index):
        raise refusals.without_index(prefix, folder)
    if (kind := folder.kind(index)) in (EMPTY, LFS_POINTER, WEB_PAGE):
        raise refusals.refused(index, kind)
    return Location(prefix, BUNDLE_INDEX)  # any other content is a damaged index: the reader says where


def v1_at(prefix: Path, folder: Folder) -> Location | None:
    """The V1 checkpoint with this prefix, if there is one: a file with this name, or shards."""
    files = [prefix] if is_file(prefix) else _shards(prefix, folder.other(prefix.parent))
    return Location(files[0], V1_CHECKPOINT) if files and folder.kind(files[0]) is V1_CHECKPOINT else None


def find_bundle(folder: Folder) -> Location | None:
    """The newest TensorBundle: the one with the highest step, and of equal steps the one that was written last."""
    written = {entry.path.with_suffix(""): entry.modified for entry in folder.entries(*INDEX_PATTERNS)}
    prefixes = sorted(written)
    if not prefixes:
        return None
    newest = max(prefixes, key=lambda prefix: (step_of(prefix), written[prefix]))
    reasons = [folder.lost] if folder.lost else []
    if len(prefixes) > 1:
        reasons.append(f"{folder.path} holds {listed(prefix.name for prefix in prefixes)}")
    why = "; ".join(reasons)
    warnings = (f"{why}: took {newest.name}, the newest; another is taken by its path",) if why else ()
    return bundle_at(newest, folder)._replace(warnings=warnings)


def misnamed_index(path: Path, folder: Folder) -> Location | None:  # noqa: ARG001
    """Refuse an index whose name does not end in ``.index``: its bundle has no prefix.

    Raises:
        CheckpointError: always.
    """
    raise CheckpointError(
        f"{path} is the index of a TensorBundle, but its name does not end in .index",
        path=path,
        hint="give it and its data file their names back: NAME.index and NAME.data-00000-of-00001",
    )


def find_saved_model(folder: Folder) -> Location | None:
    """The variables of the SavedModel in a folder, even if its graph is missing; the graph of one without variables."""
    variables, graph = SavedModel(folder.path).variables, folder.file(GRAPH)
    has_index = is_file(refusals.index_of(variables))
    if graph is None and folder.file(GRAPH_AS_TEXT) is None:
        return bundle_at(variables, folder)._replace(notes=(_NO_GRAPH,)) if has_index else None
    kind = HUB_MODULE if folder.file(HUB_MARK) else SAVED_MODEL
    if not has_index:
        is_frozen = kind is SAVED_MODEL and graph is not None and has_variables(graph) is False
        return Location(graph, FROZEN_GRAPH) if graph is not None and is_frozen else None
    return bundle_at(variables, folder)._replace(kind=kind)


def saved_model_of(path: Path, folder: Folder) -> Location | None:
    """The variables of the SavedModel that has the graph file ``path``."""
    return find_saved_model(folder.other(path.parent))


def find_v1(folder: Folder) -> Location | None:
    """The V1 checkpoint in a folder; of several, the one with the highest step."""
    candidates = [file for file in folder.files("*") if refusals.prefix_of(file) is None]
    files = [file for file in candidates if folder.kind(file) is V1_CHECKPOINT]
    prefixes = sorted(set(map(_without_shard, files)), key=lambda prefix: (step_of(prefix), prefix))
    if not prefixes:
        return None
    location = v1_at(prefixes[-1], folder)
    if len(prefixes) == 1 or location is None:
        return location
    held = f"{folder.path} holds {listed(prefix.name for prefix in prefixes)}"
    return location._replace(warnings=(f"{held}: took {prefixes[-1].name}, the newest; another is taken by its path",))


def _shards(prefix: Path, folder: Folder) -> list[Path]:
    return [file for file in folder.files("*") if file.name != prefix.name and _without_shard(file) == prefix]


def _without_shard(file: Path) -> Path:
    """The prefix of a V1 checkpoint, given one of its files."""
    return file.with_name(_SHARD.sub("", file.name))


def prefixes_in(folder: Folder) -> list[Path]:
    """The prefixes of the TensorBundles in a folder."""
    return sorted(index.with_suffix("") for index in folder.files(*INDEX_PATTERNS))


def step_of(prefix: Path) -> int:
    """The training step at the end of a prefix (``model.ckpt-300``), or -1."""
    match = _STEP.search(prefix.name)
    return int(match[1]) if match else -1

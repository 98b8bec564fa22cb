"""Frozen graphs: how to recognise one, and which file of a folder is the checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.formats.locating.folder import Location, only_file
from bridgeckpt.formats.locating.kinds import FileKind, FileStart
from bridgeckpt.formats.tensorflow.stored_graph import has_variables, is_graph_def

if TYPE_CHECKING:
    from bridgeckpt.formats.locating.folder import Folder


def _is_frozen(start: FileStart) -> bool:
    return is_graph_def(start.head)


FROZEN_GRAPH = FileKind("a TensorFlow graph (.pb)", matches=_is_frozen)
PATTERNS = ("*.pb",)


def find(folder: Folder) -> Location | None:
    """The only frozen graph in a folder. A graph that has variables belongs to a checkpoint.

    Raises:
        CheckpointError: there are several.
    """
    return only_file(folder, *PATTERNS, kinds=(FROZEN_GRAPH,), fits=lambda path: not has_variables(path))

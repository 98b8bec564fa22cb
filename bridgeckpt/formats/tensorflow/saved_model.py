"""The folder of a SavedModel: graphs in ``saved_model.pb``, variables in ``variables/``, other files in ``assets/``.

The variables are a TensorBundle. A TF1 hub module is a SavedModel with a ``tfhub_module.pb`` beside its graphs.

Source: https://github.com/tensorflow/tensorflow, tensorflow/python/saved_model/constants.py; for hub modules
https://github.com/tensorflow/hub, tensorflow_hub/native_module.py; for ``saved_model/1`` save_pretrained in
src/transformers/modeling_tf_utils.py of https://github.com/huggingface/transformers (v4.46.3)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.companions import has_companions
from bridgeckpt.formats.tensorflow.objectgraph import OBJECT_GRAPH
from bridgeckpt.store.source import is_file

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

GRAPH, GRAPH_AS_TEXT = "saved_model.pb", "saved_model.pbtxt"
HUB_MARK = "tfhub_module.pb"
_VARIABLES = "variables"  # a folder, and the prefix of the files in it


class SavedModel(NamedTuple):
    """The SavedModel in a folder."""

    folder: Path

    @property
    def variables(self) -> Path:
        """The prefix of the TensorBundle with its variables. A frozen model has no such files."""
        return self.folder / _VARIABLES / _VARIABLES

    @property
    def graph(self) -> Path | None:
        """The file of its graphs; None if they are in protobuf's text format, which is not read."""
        path = self.folder / GRAPH
        return path if is_file(path) else None

    @property
    def directory(self) -> Path:
        """Where config and vocabulary are: in the folder; or above it, if it is a version and has none.

        transformers writes saved_model/1 into the folder that holds the config.
        """
        above = self.folder.parent.parent
        if self.folder.parent.name == "saved_model" and is_file(above / "config.json"):
            return above
        is_version = self.folder.name.isdecimal() and not has_companions(self.folder)
        return self.folder.parent if is_version and has_companions(self.folder.parent) else self.folder

    @property
    def notes(self) -> tuple[str, ...]:
        """What to tell the user about files that are not read."""
        if self.graph is not None:
            return ()
        return (f"{GRAPH_AS_TEXT} is not read: what the graph says has to come from a config or from options",)

    def format(self, tensors: Container[str]) -> str:
        """Its format, for people. ``tensors`` holds the keys of its variables."""
        if is_file(self.folder / HUB_MARK):
            return "TF1 hub module"
        return f"TF{2 if OBJECT_GRAPH in tensors else 1} SavedModel"


def folder_of(prefix: Path) -> Path:
    """Where config and vocabulary are for a TensorBundle: beside it, or beside the variables/ of a SavedModel."""
    is_saved_model = prefix.name == prefix.parent.name == _VARIABLES
    return prefix.parent.parent if is_saved_model and not has_companions(prefix.parent) else prefix.parent


def saved_model_at(folder: Path) -> SavedModel | None:
    """The SavedModel in ``folder``, if there is one."""
    return SavedModel(folder) if any(is_file(folder / name) for name in (GRAPH, GRAPH_AS_TEXT)) else None


def saved_model_for(path: Path) -> SavedModel | None:
    """The SavedModel that a path means: its folder, its graph file, its variables or their folder; or None."""
    path = path.expanduser().absolute()
    for folder in (path, path.parent, path.parent.parent):
        saved = SavedModel(folder)
        if saved.graph is not None and path in (folder, saved.graph, saved.variables.parent, saved.variables):
            return saved
    return None


def saved_model_of(prefix: Path) -> SavedModel | None:
    """The SavedModel that the TensorBundle with this prefix is part of, if there is one."""
    saved = saved_model_at(prefix.parent.parent)
    return saved if saved is not None and saved.variables == prefix else None

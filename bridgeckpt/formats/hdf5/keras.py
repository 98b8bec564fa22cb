"""Keras' and transformers' HDF5 checkpoints: ``.h5`` of every generation, their shards, ``.keras``, KerasHub's presets.

A tensor's name is the path of its dataset, without the leading ``model_weights/`` of a file that holds a whole model.
Keras 2 keeps each variable's own name in the attribute ``weight_names`` of its layer's group; of transformers' shards
the index has them. A model's config is text here: no object is ever made from it, and no code in it is run.

Sources: https://github.com/keras-team/tf-keras, tf_keras/saving/legacy/hdf5_format.py (groups and attributes of Keras
2); https://github.com/keras-team/keras, keras/src/saving/saving_lib.py (``.weights.h5`` and its shards);
https://github.com/huggingface/transformers, v4.46.3, src/transformers/modeling_tf_utils.py (shards of tf_model.h5);
https://github.com/keras-team/keras-hub, keras_hub/src/utils/preset_utils.py and keras_hub/src/models/task.py (presets).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.formats.hdf5.file import HDF5File
from bridgeckpt.formats.huggingface.shards import json_object, malformed, read_description, read_weight_map, stored_name
from bridgeckpt.store.source import is_file
from bridgeckpt.store.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridgeckpt.formats.hdf5.window import Part
    from bridgeckpt.store.tensors import TensorInfo

TASK = "task.weights.h5"  # of a KerasHub preset: a model with its head
BACKBONE = ("model.weights.h5", "model.weights.json")  # the same model without it

_WHOLE_MODEL = "model_weights"  # the group of the weights in a file that holds the model too
_TOP_LEVEL = "top_level_model_weights"  # of a model that owns variables itself; layer_names does not list it
_TEXTS = ("keras_version", "backend", "model_config")
_TRANSFORMERS = re.compile(r"tf\w*/")  # its classes, and so the names of their variables, begin with TF
_INDEX = "index of HDF5 shards"
_PRESET = "config of a KerasHub preset"


class KerasFile(Checkpoint):
    """The weights in a file of Keras or transformers.

    ``task.weights.h5`` of a KerasHub preset that holds the head alone is completed with the backbone beside it, under
    the names that the backbone has in a complete one.

    Raises:
        CheckpointError: a file is missing or damaged, or refers to other files.
    """

    def __init__(self, path: Path, *, notes: tuple[str, ...] = ()) -> None:
        spool = Spool()
        content = self._content(path, spool)
        if path.name == TASK:
            content, told = _completed(content, path, spool)
            notes += told
        super().__init__(path, content.tensors, metadata=content.metadata, notes=notes, spool=spool)
        self._variable_names = content.variable_names
        self.format = content.what

    @property
    def variable_names(self) -> Mapping[str, str]:
        """The variables' own names by key; files of Keras 3 keep none."""
        return self._variable_names

    @property
    def objects(self) -> frozenset[str]:
        """The paths of the layers that hold the tensors."""
        return frozenset(key.rpartition("/")[0].removesuffix("/vars") for key in self.tensors)

    @staticmethod
    def _content(path: Path, spool: Spool) -> _Content:
        return _read(path, spool)


class KerasShards(KerasFile):
    """The weights in several files that an index names."""

    @staticmethod
    def _content(path: Path, spool: Spool) -> _Content:
        return _read_shards(path, spool)


class KerasArchive(KerasFile):
    """The weights in a ``.keras`` archive."""

    @staticmethod
    def _content(path: Path, spool: Spool) -> _Content:
        from bridgeckpt.formats.hdf5.keras_archive import read_archive  # imports zipfile

        part, texts = read_archive(path)
        content = _read(path, spool, part)
        return content._replace(metadata={**content.metadata, **texts}, what=_archive(texts, path))


class _Content(NamedTuple):
    """What is in a file, and ``what`` it is for people."""

    tensors: dict[str, TensorInfo]
    variable_names: dict[str, str]
    metadata: dict[str, str]
    what: str


def _read(path: Path, spool: Spool, part: Part | None = None) -> _Content:
    with HDF5File(path, part) as file:
        stored = {info.name: info for info in file.datasets(spool)}
        groups = file.groups()
        root = _WHOLE_MODEL if _WHOLE_MODEL in groups else ""
        metadata = {name: text for name in _TEXTS if (text := file.text("", name) or file.text(root, name))}
        layers = file.names(root, "layer_names")
        tensors, variable_names = _named(file, stored, root, layers or [])
    version = f" (Keras {metadata['keras_version']})" if "keras_version" in metadata else ""
    if any(map(_TRANSFORMERS.match, variable_names.values())):
        what = f"transformers' TensorFlow weights in HDF5{version}"
    elif root:
        what = f"whole Keras model in HDF5{version}"
    elif layers is not None:
        what = f"Keras weights in HDF5{version}"
    elif any("vars" in name.split("/") for name in stored):
        what = "Keras weights in HDF5 (.weights.h5)"
    else:
        what = "HDF5 without Keras' groups"
    return _Content(tensors, variable_names, metadata, what)


def _named(
    file: HDF5File, stored: dict[str, TensorInfo], root: str, layers: list[str]
) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """The tensors by name, in the order of the layers where the file has one, and their variables' names.

    Those of an optimizer keep their paths (``optimizer_weights/...``): Keras gives them names that weights have too.
    """
    within = f"{root}/" if root else ""
    tensors: dict[str, TensorInfo] = {}
    variable_names: dict[str, str] = {}
    for group in dict.fromkeys(f"{within}{layer}" for layer in (*layers, _TOP_LEVEL)):
        for name in file.names(group, "weight_names") or ():
            if info := stored.pop(f"{group}/{name}", None):
                key = info.name.removeprefix(within)
                variable_names[key] = name
                tensors[key] = info._replace(name=key)
    for path, info in stored.items():
        key = path.removeprefix(within)
        if key in tensors:  # beside the group of the weights another one has its name
            key = path
        tensors[key] = info._replace(name=key)
    return tensors, variable_names


def _read_shards(path: Path, spool: Spool) -> _Content:
    """The files that an index names. Its own names are of variables (transformers) or of groups (Keras 3)."""
    weight_map = read_weight_map(path, _INDEX)
    tensors: dict[str, TensorInfo] = {}
    shards = dict.fromkeys(name for files in weight_map.values() for name in files)
    for shard in shards:
        found = _read(path.with_name(shard), spool)
        if twice := tensors.keys() & found.tensors.keys():
            raise malformed(path, _INDEX, f"{min(twice)} is in {shard} and in another file")
        tensors.update(found.tensors)
    groups = {f"/{name.rpartition('/')[0]}" for name in tensors}
    variable_names: dict[str, str] = {}
    for name, files in weight_map.items():
        stored = stored_name(name, tensors)
        if stored is not None:
            variable_names[stored] = name
        elif name not in groups:
            raise malformed(path, _INDEX, f"it says that {name} is in {', '.join(files)}, which does not hold it")
    owner = "transformers' TensorFlow" if any(map(_TRANSFORMERS.match, variable_names.values())) else "Keras"
    return _Content(tensors, variable_names, {}, f"{owner} weights in HDF5, {len(shards)} files")


def _archive(texts: dict[str, str], path: Path) -> str:
    """What a .keras archive is; its ``metadata.json`` has the version."""
    about = json_object(texts.get("metadata.json", "{}"), path, ".keras archive")
    return f"Keras archive (Keras {about.get('keras_version', 'of unknown version')})"


def _completed(task: _Content, path: Path, spool: Spool) -> tuple[_Content, tuple[str, ...]]:
    """The weights of a KerasHub task with its backbone's, and what to say of them.

    Some versions of Keras and KerasHub write all of a task's weights into its file, others what the backbone lacks.
    """
    beside = next((file for name in BACKBONE if is_file(file := path.with_name(name))), None)
    if beside is None:
        return task, ()
    backbone = _read(beside, spool) if beside.suffix == ".h5" else _read_shards(beside, spool)
    first = next(iter(backbone.tensors), "")
    groups = (name.removesuffix(first) for name in task.tensors if name.endswith(f"/{first}"))
    if any(all(f"{group}{name}" in task.tensors for name in backbone.tensors) for group in groups):
        return task, ()
    within = f"layers/{_backbone_group(path)}/"
    tensors = {f"{within}{name}": info._replace(name=f"{within}{name}") for name, info in backbone.tensors.items()}
    note = f"{path.name} holds the head alone: the backbone is from {beside.name}"
    return task._replace(tensors={**tensors, **task.tensors}), (note,)


def _backbone_group(path: Path) -> str:
    """The group of the backbone in a task's file: its class' name, in config.json of the preset, in snake case."""
    config = path.with_name("config.json")
    name = json_object(read_description(config, _PRESET), config, _PRESET).get("class_name")
    if not isinstance(name, str):
        raise malformed(config, _PRESET, "it has no class_name")
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()

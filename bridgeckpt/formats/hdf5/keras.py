"""Keras' and transformers' HDF5 checkpoints: ``.h5`` of every generation, their shards, ``.keras``, KerasHub's presets.

A tensor's name is the path of its dataset, without the leading ``model_weights/`` of a file that holds a whole model.
Keras 2 stores each variable's name in the attribute ``weight_names`` of its layer's group; transformers' shards have
the names in their index. A model's config stays text: no object is made from it, and no code in it is run.

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
from bridgeckpt.formats.shards import json_object, malformed, read_description, read_weight_map, stored_name
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.store.source import is_file
from bridgeckpt.store.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridgeckpt.formats.hdf5.window import ByteRange
    from bridgeckpt.formats.layer_places import Place
    from bridgeckpt.store.tensors import TensorInfo

TASK = "task.weights.h5"  # of a KerasHub preset: a model with its head
BACKBONE = ("model.weights.h5", "model.weights.json")  # the same model without it

_WHOLE_MODEL = "model_weights"  # the group of the weights in a file that holds the model too
_TOP_LEVEL = "top_level_model_weights"  # of a model that owns variables itself; layer_names does not list it
_TEXTS = ("keras_version", "backend", "model_config")
_TRANSFORMERS = re.compile(r"tf\w*/")  # the names of its classes begin with TF, and so do its variables' names
_INDEX = "index of HDF5 shards"
_PRESET = "config of a KerasHub preset"


class KerasFile(Checkpoint):
    """The weights in a file of Keras or transformers.

    If the ``task.weights.h5`` of a KerasHub preset holds only the head, the backbone beside it is added, with
    the names that it has in a complete file.

    Raises:
        CheckpointError: a file is missing or damaged, or refers to other files.
    """

    def __init__(self, path: Path, *, notes: tuple[str, ...] = ()) -> None:
        spool = Spool()
        content = self._content(path, spool)
        if path.name == TASK:
            content, backbone_notes = _with_backbone(content, path, spool)
            notes += backbone_notes
        super().__init__(path, content.tensors, metadata=content.metadata, notes=notes, spool=spool)
        self._variable_names = content.variable_names
        self._layers = content.layers
        self._places = content.places
        self._in_order = content.in_order or content.layers
        self.format = content.what

    @property
    def variable_names(self) -> Mapping[str, str]:
        """The names of the variables by key. Files of Keras 3 have no such names."""
        return self._variable_names

    @property
    def objects(self) -> frozenset[str]:
        """The paths of the layers that have the tensors, and the names of the layers that Keras 2 lists."""
        return frozenset((*self._layers, *(key.rpartition("/")[0].removesuffix("/vars") for key in self.tensors)))

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The layers that the file lists, or that the config in an archive describes."""
        return self._in_order

    def _stored_places(self) -> Mapping[str, Place]:
        return self._places

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
        from bridgeckpt.formats.hdf5.keras_archive import described_layers, read_archive  # imports zipfile

        part, texts = read_archive(path)
        content = _read(path, spool, part)
        content = content._replace(in_order=described_layers(texts))
        return content._replace(metadata={**content.metadata, **texts}, what=_archive(texts, path))


class _Content(NamedTuple):
    """What is in a file. ``what`` is its format, for people; ``layers`` are those of the file's own list of layers.

    ``places`` are by tensor: the place of its layer in that list. ``in_order`` are all layers of an archive's config.
    """

    tensors: dict[str, TensorInfo]
    variable_names: dict[str, str]
    metadata: dict[str, str]
    what: str
    layers: tuple[str, ...] = ()
    places: Mapping[str, Place] = FrozenDict()
    in_order: tuple[str, ...] = ()


def _read(path: Path, spool: Spool, part: ByteRange | None = None) -> _Content:
    with HDF5File(path, part) as file:
        stored = {info.name: info for info in file.datasets(spool)}
        groups = file.groups()
        root = _WHOLE_MODEL if _WHOLE_MODEL in groups else ""
        metadata = {name: text for name in _TEXTS if (text := file.text("", name) or file.text(root, name))}
        layers = file.names(root, "layer_names")
        tensors, variable_names, places = _named(file, stored, root, layers or [])
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
    return _Content(
        tensors=tensors,
        variable_names=variable_names,
        metadata=metadata,
        what=what,
        layers=tuple(layers or ()),
        places=places,
    )


def _named(
    file: HDF5File, stored: dict[str, TensorInfo], root: str, layers: list[str]
) -> tuple[dict[str, TensorInfo], dict[str, str], dict[str, Place]]:
    """The tensors by name, the names of their variables, and the places of their layers in the list of layers.

    They are in the order of that list, if the file has it.

    The tensors of an optimizer keep their paths (``optimizer_weights/...``): Keras gives them names of weights.
    """
    prefix = f"{root}/" if root else ""
    tensors: dict[str, TensorInfo] = {}
    variable_names: dict[str, str] = {}
    places: dict[str, Place] = {}
    for place, group in enumerate(dict.fromkeys(f"{prefix}{layer}" for layer in (*layers, _TOP_LEVEL))):
        for name in file.names(group, "weight_names") or ():
            if info := stored.pop(f"{group}/{name}", None):
                key = info.name.removeprefix(prefix)
                variable_names[key] = name
                tensors[key] = info._replace(name=key)
                if group.removeprefix(prefix) in layers:
                    places[key] = (place,)
    for path, info in stored.items():
        key = path.removeprefix(prefix)
        if key in tensors:  # another group than that of the weights has this name too
            key = path
        tensors[key] = info._replace(name=key)
    return tensors, variable_names, places


def _read_shards(path: Path, spool: Spool) -> _Content:
    """The files that an index lists. The index names variables (transformers) or groups (Keras 3)."""
    weight_map = read_weight_map(path, _INDEX)
    tensors: dict[str, TensorInfo] = {}
    shards = dict.fromkeys(name for files in weight_map.values() for name in files)
    for shard in shards:
        content = _read(path.with_name(shard), spool)
        if twice := tensors.keys() & content.tensors.keys():
            raise malformed(path, _INDEX, f"{min(twice)} is in {shard} and in another file")
        tensors.update(content.tensors)
    groups = {f"/{name.rpartition('/')[0]}" for name in tensors}
    variable_names: dict[str, str] = {}
    for name, files in weight_map.items():
        stored = stored_name(name, tensors)
        if stored is not None:
            variable_names[stored] = name
        elif name not in groups:
            raise malformed(path, _INDEX, f"it says that {name} is in {', '.join(files)}, which does not hold it")
    owner = "transformers' TensorFlow" if any(map(_TRANSFORMERS.match, variable_names.values())) else "Keras"
    what = f"{owner} weights in HDF5, {len(shards)} files"
    return _Content(tensors=tensors, variable_names=variable_names, metadata={}, what=what)


def _archive(texts: dict[str, str], path: Path) -> str:
    """The format of a .keras archive, for people. Its ``metadata.json`` has the version of Keras."""
    metadata = json_object(texts.get("metadata.json", "{}"), path, ".keras archive")
    return f"Keras archive (Keras {metadata.get('keras_version', 'of unknown version')})"


def _with_backbone(task: _Content, path: Path, spool: Spool) -> tuple[_Content, tuple[str, ...]]:
    """The weights of a KerasHub task together with its backbone's, and notes about them.

    Some versions of Keras and KerasHub write all weights of a task into its file, others only those of the head.
    """
    beside = next((file for name in BACKBONE if is_file(file := path.with_name(name))), None)
    if beside is None:
        return task, ()
    backbone = _read(beside, spool) if beside.suffix == ".h5" else _read_shards(beside, spool)
    first = next(iter(backbone.tensors), "")
    groups = (name.removesuffix(first) for name in task.tensors if name.endswith(f"/{first}"))
    if any(all(f"{group}{name}" in task.tensors for name in backbone.tensors) for group in groups):
        return task, ()
    prefix = f"layers/{_backbone_group(path)}/"
    tensors = {f"{prefix}{name}": info._replace(name=f"{prefix}{name}") for name, info in backbone.tensors.items()}
    note = f"{path.name} holds only the head: the backbone is from {beside.name}"
    return task._replace(tensors={**tensors, **task.tensors}), (note,)


def _backbone_group(path: Path) -> str:
    """The backbone's group in the file of a task: the class name in the preset's config.json, in snake case."""
    config = path.with_name("config.json")
    name = json_object(read_description(config, _PRESET), config, _PRESET).get("class_name")
    if not isinstance(name, str):
        raise malformed(config, _PRESET, "it has no class_name")
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()

"""The description of a Keras model in a SavedModel, as one text: ``{"root": {...}, "root.layer-0": {...}}``.

Since TensorFlow 2.5 it is in ``keras_metadata.pb``, before that in the object graph of ``saved_model.pb``. Keras 3
writes none.

Sources: https://github.com/keras-team/tf-keras, tf_keras/protobuf/saved_metadata.proto;
https://github.com/tensorflow/tensorflow, tensorflow/core/protobuf/{meta_graph,saved_object_graph}.proto
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bridgeckpt.formats.descriptions import IN_SAVED_MODEL
from bridgeckpt.formats.tensorflow.wire import BYTES, WireError, fields, tag
from bridgeckpt.store.source import is_file
from bridgeckpt.store.texts import TextError, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridgeckpt.formats.tensorflow.saved_model import SavedModel

_LARGEST = 256 << 20  # bytes; a model of 24 layers takes 3 MiB, and its graphs 20
_NODE = tag(1, BYTES)  # of SavedMetadata and of SavedObjectGraph
_PATH, _METADATA = tag(3, BYTES), tag(5, BYTES)  # of SavedObject in SavedMetadata
_META_GRAPH, _OBJECT_GRAPH = tag(2, BYTES), tag(7, BYTES)  # of SavedModel and of MetaGraphDef
_USER_OBJECT, _OWN_METADATA = tag(4, BYTES), tag(3, BYTES)  # of SavedObject and of SavedUserObject


def read_keras_metadata(saved: SavedModel) -> str | None:
    """The description of a SavedModel's Keras model; None without one, and if it cannot be read."""
    path, graph = saved.folder / IN_SAVED_MODEL, saved.graph
    try:
        nodes = dict(_since_2_5(read_bytes(path, _LARGEST))) if is_file(path) else {}
        if not nodes and graph is not None:
            nodes = dict(_before_2_5(read_bytes(graph, _LARGEST)))
    except (TextError, WireError, UnicodeDecodeError, OSError):
        return None
    members = ", ".join(f"{json.dumps(name)}: {metadata}" for name, metadata in nodes.items())
    return f"{{{members}}}" if nodes else None


def _since_2_5(content: bytes) -> Iterator[tuple[str, str]]:
    """The path and the metadata of each node of a SavedMetadata."""
    for key, _, node in fields(content):
        if key == _NODE:
            parts = {node_key: payload for node_key, _, payload in fields(node)}
            if metadata := parts.get(_METADATA, b"").decode():
                yield parts.get(_PATH, b"").decode(), metadata


def _before_2_5(content: bytes) -> Iterator[tuple[str, str]]:
    """The number and the metadata of each object in the object graphs of a SavedModel."""
    for proto in _inside(content, _META_GRAPH, _OBJECT_GRAPH):
        for number, node in enumerate(_inside(proto, _NODE)):
            for metadata in _inside(node, _USER_OBJECT, _OWN_METADATA):
                if metadata.startswith(b"{"):  # other objects have texts of their own there
                    yield str(number), metadata.decode()


def _inside(content: bytes, *path: int) -> Iterator[bytes]:
    """The messages at a path of fields."""
    for key, _, payload in fields(content):
        if key == path[0]:
            if len(path) > 1:
                yield from _inside(payload, *path[1:])
            else:
                yield payload

"""The graph in a file: the only one of a ``.meta`` or a ``.pb``, or that of a ``saved_model.pb`` not for training."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bridgeckpt.formats.tensorflow.stored_graph import is_graph_def
from bridgeckpt.parity.tensorflow.nodes import UnusableGraph
from bridgeckpt.parity.tensorflow.runtime import first_line
from bridgeckpt.store.source import read_head
from bridgeckpt.store.texts import TextError, read_bytes

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = 4096  # bytes that show the kind of a graph
_LARGEST = (1 << 31) - 1  # bytes; no protocol buffer is larger


def read_meta_graph(tf: Any, path: Path) -> Any:  # noqa: ANN401 - TensorFlow has no types
    """The ``MetaGraphDef`` in a file.

    Raises:
        UnusableGraph: the file cannot be read, is too large for a protocol buffer, or holds no graph.
    """
    if path.name != "saved_model.pb" or is_graph_def(read_head(path, _HEAD)):
        meta = tf.compat.v1.MetaGraphDef()
        _parse(meta if path.suffix == ".meta" else meta.graph_def, path)
        return meta
    saved = _parse(import_module("tensorflow.core.protobuf.saved_model_pb2").SavedModel(), path)
    if not saved.meta_graphs:
        raise UnusableGraph(f"{path.name} holds no graph")
    return min(saved.meta_graphs, key=lambda meta: ("train" in meta.meta_info_def.tags, len(meta.meta_info_def.tags)))


def _parse(message: Any, path: Path) -> Any:  # noqa: ANN401 - a protocol buffer
    errors = import_module("google.protobuf.message")  # TensorFlow brings it along
    try:
        message.ParseFromString(read_bytes(path, _LARGEST))
    except TextError as error:
        reason = error.what if error.fault == "unreadable" else f"it {error.what}"
        raise UnusableGraph(f"{path.name} cannot be read: {reason}") from error
    except errors.DecodeError as error:
        raise UnusableGraph(f"{path.name} cannot be read: {first_line(error)}") from error
    return message

"""Which graph of a file to read: of a SavedModel the one for inference, of a ``.meta`` or a GraphDef the only one.

Source: https://github.com/tensorflow/tensorflow, tensorflow/core/protobuf/{saved_model,meta_graph}.proto
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.tensorflow.saved_model import GRAPH as SAVED_MODEL_GRAPH
from bridgeckpt.formats.tensorflow.wire import BYTES, VARINT, WireError, fields, map_entry, tag

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEMA_VERSION, _META_GRAPHS = tag(1, VARINT), tag(2, BYTES)  # of SavedModel
_INFO, _GRAPH, _SIGNATURE = tag(1, BYTES), tag(2, BYTES), tag(5, BYTES)  # of MetaGraphDef
_TAG, _TF_VERSION = tag(4, BYTES), tag(5, BYTES)  # of MetaGraphDef.MetaInfoDef


class MetaGraph(NamedTuple):
    """A graph and its metadata.

    Attributes:
        graph: A serialized GraphDef.
        writer: The version of TensorFlow that wrote it, if it is stated.
        tags: In a SavedModel, its purpose ("serve", "train").
        signatures: Name to serialized SignatureDef.
    """

    graph: bytes
    writer: str | None = None
    tags: frozenset[str] = frozenset()
    signatures: Mapping[str, bytes] = MappingProxyType({})


def find_graph(data: bytes, name: str) -> MetaGraph:
    """The graph in a file with the name ``name`` and the content ``data``.

    Raises:
        WireError: the content is not a protobuf message, or it is a SavedModel without a graph.
        UnicodeDecodeError: a name in it is not UTF-8.
    """
    top = [(key, payload) for key, _, payload in fields(data)]
    if name == SAVED_MODEL_GRAPH or any(
        key == _SCHEMA_VERSION for key, _ in top
    ):  # TF1 hub modules do not state the version
        graphs = [_meta_graph(payload) for key, payload in top if key == _META_GRAPHS]
        if not graphs:
            raise WireError("it holds no graph")
        return min(graphs, key=_inference_order)
    keys = [key for key, _ in top]
    if _GRAPH not in keys or keys.count(_INFO) > 1:  # a bare GraphDef: field 1 is its nodes
        return MetaGraph(data)
    return _meta_graph(data)


def _inference_order(meta: MetaGraph) -> tuple[bool, bool]:
    """Sorts graphs for inference first. An estimator's has the tag "serve", a hub module's has no tag."""
    return bool(meta.tags & {"train", "tpu"}), "serve" not in meta.tags


def _meta_graph(data: bytes) -> MetaGraph:
    graph, writer = b"", None
    tags: set[str] = set()
    signatures: dict[str, bytes] = {}
    for key, _, payload in fields(data):
        if key == _GRAPH:
            graph = payload
        elif key == _INFO:
            for info_key, _, value in fields(payload):
                if info_key == _TAG:
                    tags.add(value.decode())
                elif info_key == _TF_VERSION:
                    writer = f"TensorFlow {value.decode()}"
        elif key == _SIGNATURE:
            name, signature = map_entry(payload)
            signatures[name] = signature
    return MetaGraph(graph, writer, frozenset(tags), signatures)

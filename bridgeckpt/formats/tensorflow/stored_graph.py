"""A GraphDef where it lies in a file: how to recognise one, its nodes, and a light copy without its weights.

Source: https://github.com/tensorflow/tensorflow, tensorflow/core/framework/{graph,node_def,attr_value}.proto and
tensorflow/core/protobuf/{saved_model,meta_graph}.proto
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.tensorflow.saved_model import GRAPH as SAVED_MODEL
from bridgeckpt.formats.tensorflow.stored_wire import Span, StoredMessages
from bridgeckpt.formats.tensorflow.wire import BYTES, VARINT, WireError, tag
from bridgeckpt.store.lfs import open_content

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_META_GRAPHS, _INFO, _GRAPH, _TAG = tag(2, BYTES), tag(1, BYTES), tag(2, BYTES), tag(4, BYTES)
_NODE, _NAME, _OP, _INPUT, _ATTRIBUTE = (tag(number, BYTES) for number in (1, 1, 2, 3, 5))
_KEY, _VALUE = tag(1, BYTES), tag(2, BYTES)  # of an entry in the map of attributes
_BOOL, _TENSOR = tag(5, VARINT), tag(8, BYTES)  # of AttrValue
_SECOND_TRANSPOSED = {b"transpose_b", b"adj_y"}  # attributes of matrix products
VARIABLES = frozenset({"Variable", "VariableV2", "VarHandleOp"})
PRODUCTS = frozenset({"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"})
_SMALL = 4096  # bytes; a larger node holds a tensor
# A node, which begins with its name and its operation; the name of an operation begins with a capital letter.
_FIRST_NODE = re.compile(
    rb"\x0a[\x80-\xff]{0,4}[\x00-\x7f]\x0a[\x80-\xff]?[\x01-\x7f][^\x00-\x1f]+?\x12[\x01-\x7f][A-Z_]\w"
)


class StoredNode(NamedTuple):
    """A node, the place of its tensor if it is a constant, and whether it transposes its second input."""

    name: str
    op: str
    inputs: tuple[str, ...]
    tensor: Span | None
    transposes: bool


def is_graph_def(head: bytes) -> bool:
    """Whether a file with these first bytes is a GraphDef. One without a node is not."""
    return _FIRST_NODE.match(head) is not None


def nodes_in(messages: StoredMessages, name: str) -> Iterator[StoredNode]:
    """The nodes of the graph in a file with this name: a GraphDef, or the ``saved_model.pb`` of a frozen SavedModel.

    Raises:
        WireError: the file is damaged.
        UnicodeDecodeError: a name is not UTF-8.
    """
    head = messages.read(Span(0, min(_SMALL, messages.whole.end)))
    graph = _in_saved_model(messages) if name == SAVED_MODEL and not is_graph_def(head) else messages.whole
    for field in messages.fields(graph):
        if field.key == _NODE:
            yield _node(messages, field.payload)


def has_variables(path: Path) -> bool | None:
    """Whether the graph at ``path`` has variables, so that its weights are in a checkpoint. None if it is damaged.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        return any(node.op in VARIABLES for node in nodes_in(StoredMessages(open_content(path)), path.name))
    except (WireError, UnicodeDecodeError):
        return None


def without_weights(path: Path) -> bytes | None:
    """A GraphDef without its large constants; None if the file is something else.

    Raises:
        WireError: the file is damaged.
        OSError: the file cannot be read.
    """
    file = open_content(path)
    if not is_graph_def(file.read(0, min(_SMALL, file.size))):
        return None
    messages = StoredMessages(file)
    return b"".join(
        _delimited(_NODE, _light(messages, field.payload))
        for field in messages.fields(messages.whole)
        if field.key == _NODE
    )


def _in_saved_model(messages: StoredMessages) -> Span:
    """The place of the graph in a SavedModel; of several, one that is not for training."""
    graphs: list[tuple[bool, Span]] = []
    for field in messages.fields(messages.whole):
        if field.key != _META_GRAPHS:
            continue
        parts = {part.key: part.payload for part in messages.fields(field.payload)}
        tags = [tag.payload for tag in messages.fields(parts[_INFO]) if tag.key == _TAG] if _INFO in parts else []
        if _GRAPH in parts:
            graphs.append((b"train" in map(messages.read, tags), parts[_GRAPH]))
    if not graphs:
        raise WireError("it holds no graph")
    return min(graphs, key=lambda graph: graph[0])[1]


def _node(messages: StoredMessages, node: Span) -> StoredNode:
    name, op = "", ""
    inputs, attributes = [], []
    for key, _, payload in messages.fields(node):
        if key == _NAME:
            name = messages.read(payload).decode()
        elif key == _OP:
            op = messages.read(payload).decode()
        elif key == _INPUT:
            inputs.append(messages.read(payload).decode())
        elif key == _ATTRIBUTE:
            attributes.append(payload)
    tensor = next(_tensors(messages, attributes), None) if op == "Const" else None
    return StoredNode(name, op, tuple(inputs), tensor, op in PRODUCTS and _transposes(messages, attributes))


def _tensors(messages: StoredMessages, attributes: list[Span]) -> Iterator[Span]:
    """The places of the tensors in attributes, which are entries of a map from names to AttrValues."""
    for attribute in attributes:
        for part in messages.fields(attribute):
            if part.key == _VALUE:
                yield from (value.payload for value in messages.fields(part.payload) if value.key == _TENSOR)


def _transposes(messages: StoredMessages, attributes: list[Span]) -> bool:
    """Whether these attributes of a matrix product say that it transposes its second input."""
    for attribute in attributes:
        parts = {part.key: part.payload for part in messages.fields(attribute)}
        if _KEY in parts and _VALUE in parts and messages.read(parts[_KEY]) in _SECOND_TRANSPOSED:
            return any(value.key == _BOOL and value.number for value in messages.fields(parts[_VALUE]))
    return False


def _light(messages: StoredMessages, node: Span) -> bytes:
    """The bytes of a node, without attributes that are large."""
    if node.nbytes <= _SMALL:
        return messages.read(node)
    kept = (field for field in messages.fields(node) if field.payload.nbytes <= _SMALL and field.key & 7 == BYTES)
    return b"".join(_delimited(field.key, messages.read(field.payload)) for field in kept)


def _delimited(key: int, payload: bytes) -> bytes:
    """A field of bytes, whose tag takes one byte."""
    size, length = len(payload), bytearray()
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([key, *length, size]) + payload

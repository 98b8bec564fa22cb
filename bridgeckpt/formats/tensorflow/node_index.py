"""The nodes of a stored graph by name, and those of its functions; each is decoded only when it is asked for.

Source: https://github.com/tensorflow/tensorflow, tensorflow/core/framework/{graph,node_def,function,op_def}.proto
"""

from __future__ import annotations

from typing import NamedTuple

from bridgeckpt.formats.tensorflow.function_calls import RESULT, SIGNATURE, Head
from bridgeckpt.formats.tensorflow.wire import BYTES, fields, tag, text, varint

_GRAPH_NODE, _GRAPH_LIBRARY = tag(1, BYTES), tag(2, BYTES)
_LIBRARY_FUNCTION = tag(1, BYTES)
_FUNCTION_NODE, _SIGNATURE_NAME = tag(3, BYTES), tag(1, BYTES)
_NODE_NAME, _NODE_OP, _NODE_INPUT, _NODE_ATTR = (tag(number, BYTES) for number in (1, 2, 3, 5))
# Functions that save and restore: they name every variable and compute nothing.
_BOOKKEEPING = ("__inference__traced_save", "__inference__traced_restore")


class Node(NamedTuple):
    """One operation. ``inputs`` name tensors (``name``, ``name:1``, ``^control``); ``stored`` attributes are bytes."""

    name: str
    op: str
    inputs: tuple[str, ...]
    stored: tuple[bytes, ...]

    @property
    def data(self) -> tuple[str, ...]:
        """The tensors that it gets: inputs without control edges."""
        return tuple(name for name in self.inputs if not name.startswith("^"))

    @property
    def operands(self) -> tuple[str, ...]:
        """The names of the nodes that it gets data from: inputs without output numbers and without control edges."""
        return tuple(name.partition(":")[0] for name in self.inputs if not name.startswith("^"))


class NodeIndex(NamedTuple):
    """The bytes of nodes by name; for nodes inside functions, the function's name; and what describes each function."""

    nodes: dict[str, bytes]
    functions: dict[str, str]
    heads: dict[str, Head]


def index_nodes(graph: bytes) -> NodeIndex:
    """Find the nodes of a GraphDef. A damaged one raises :class:`WireError` or :class:`UnicodeDecodeError`."""
    index = NodeIndex({}, {}, {})
    for key, _, payload in fields(graph):
        if key == _GRAPH_NODE:
            index.nodes[_name(payload)] = payload
        elif key == _GRAPH_LIBRARY:
            for library_key, _, function in fields(payload):
                if library_key == _LIBRARY_FUNCTION:
                    _add_function(index, function)
    return index


def _add_function(index: NodeIndex, function: bytes) -> None:
    """Add the nodes of a function, unless it saves or restores."""
    parts = [(key, payload) for key, _, payload in fields(function)]
    name = next((text(payload, _SIGNATURE_NAME) for key, payload in parts if key == SIGNATURE), "")
    if name.startswith(_BOOKKEEPING):
        return
    index.heads[name] = tuple([part for part in parts if part[0] in (SIGNATURE, RESULT)])
    for key, payload in parts:
        if key == _FUNCTION_NODE:
            node = f"{name}/{_name(payload)}"
            index.nodes[node], index.functions[node] = payload, name


def _name(node: bytes) -> str:
    """A node's name. It is the first field in all files that TensorFlow writes."""
    if node[:1] == b"\x0a":
        size, start = varint(node, 1)
        return node[start : start + size].decode()
    return text(node, _NODE_NAME)


def decode_node(name: str, data: bytes, function: str | None) -> Node:
    """The node ``name``, which may be in a ``function``. A damaged one raises errors as :func:`index_nodes` does."""
    op, inputs, stored = "", [], []
    for key, _, payload in fields(data):
        if key == _NODE_OP:
            op = payload.decode()
        elif key == _NODE_INPUT:
            inputs.append(_input(payload.decode(), function))
        elif key == _NODE_ATTR:
            stored.append(payload)
    return Node(name, op, tuple(inputs), tuple(stored))


def _input(name: str, function: str | None) -> str:
    """The name of an input in the index: inside a function, with the function's name as prefix."""
    if function is None:
        return name
    return f"^{function}/{name[1:]}" if name.startswith("^") else f"{function}/{name}"

"""The nodes of a TensorFlow graph: a MetaGraphDef (``.meta``) or a GraphDef, read without TensorFlow.

A graph says how a checkpoint's variables are used, which the checkpoint does not. Training graphs have tens of
thousands of nodes and a question concerns a few, so opening one indexes the names and nodes are decoded when asked for.

Source: https://github.com/tensorflow/tensorflow, tensorflow/core/framework/{graph,node_def,attr_value,tensor,
tensor_shape}.proto and tensorflow/core/protobuf/meta_graph.proto
"""

from __future__ import annotations

import struct
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.wire import BYTES, FIXED32, VARINT, WireError, fields, numbers, signed, tag, varint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_META_INFO, _META_GRAPH = tag(1, BYTES), tag(2, BYTES)  # of MetaGraphDef
_META_TF_VERSION = tag(5, BYTES)  # of MetaGraphDef.MetaInfoDef
_GRAPH_NODE = tag(1, BYTES)
_NODE_NAME, _NODE_OP, _NODE_INPUT, _NODE_ATTR = (tag(number, BYTES) for number in (1, 2, 3, 5))
_MAP_KEY, _MAP_VALUE = tag(1, BYTES), tag(2, BYTES)
_ATTR_FLOAT, _ATTR_TENSOR = tag(4, FIXED32), tag(8, BYTES)
_TENSOR_DTYPE, _TENSOR_SHAPE, _TENSOR_CONTENT = tag(1, VARINT), tag(2, BYTES), tag(4, BYTES)
_SHAPE_DIM, _DIM_SIZE = tag(2, BYTES), tag(1, VARINT)

# DataType number -> the code of its values for `struct`, and the tag of their (packed) field in a TensorProto.
_NUMBERS = {1: ("f", tag(5, BYTES)), 2: ("d", tag(6, BYTES)), 3: ("i", tag(7, BYTES)), 9: ("q", tag(10, BYTES))}
# A constant with more elements is a weight or a table, not a setting.
_MAX_ELEMENTS = 64

Number = int | float


class Node(NamedTuple):
    """One operation: its ``inputs`` are names of nodes (``name``, ``name:1``, ``^control``), ``attrs`` undecoded."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, bytes]

    @property
    def operands(self) -> tuple[str, ...]:
        """Names of the nodes that data comes from: inputs without output numbers and control edges."""
        return tuple(name.partition(":")[0] for name in self.inputs if not name.startswith("^"))


class Graph:
    """A graph's nodes by name. ``writer`` is the TensorFlow that wrote the file, where the file says so."""

    def __init__(self, path: Path, nodes: Mapping[str, bytes], writer: str | None) -> None:
        self.path = path
        self.writer = writer
        self._nodes = nodes
        self._decoded: dict[str, Node] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __getitem__(self, name: str) -> Node:
        """The node ``name``.

        Raises:
            KeyError: there is none.
            CheckpointError: it is damaged.
        """
        node = self._decoded.get(name)
        if node is None:
            try:
                node = self._decoded[name] = _node(name, self._nodes[name])
            except (WireError, UnicodeDecodeError) as error:
                raise _damaged(self.path, f"node {name}: {error}") from error
        return node

    def under(self, scope: str) -> list[Node]:
        """Every node whose name begins with ``scope/``, in the file's order."""
        prefix = f"{scope}/"
        return [self[name] for name in self._nodes if name.startswith(prefix)]

    def readers(self, name: str) -> list[Node]:
        """Every node that takes an output of node ``name``."""
        wanted = name.encode()
        return [
            node for found, data in self._nodes.items() if wanted in data and name in (node := self[found]).operands
        ]

    def constant(self, name: str) -> tuple[Number, ...] | None:
        """The elements of a Const node of float32, float64, int32 or int64, in C order.

        None if there is no such node, or it is another op, of another dtype or larger than a setting would be.

        Raises:
            CheckpointError: the node is damaged.
        """
        if name not in self._nodes or (node := self[name]).op != "Const" or "value" not in node.attrs:
            return None
        try:
            return _elements(b"".join(tensor for key, _, tensor in fields(node.attrs["value"]) if key == _ATTR_TENSOR))
        except WireError as error:
            raise _damaged(self.path, f"constant {name}: {error}") from error

    def number(self, node: Node, attr: str) -> float | None:
        """The float attribute ``attr`` of ``node``, or None when it is not stored (it then has its op's default).

        Raises:
            CheckpointError: the attribute is damaged.
        """
        try:
            found = [bits for key, bits, _ in fields(node.attrs.get(attr, b"")) if key == _ATTR_FLOAT]
        except WireError as error:
            raise _damaged(self.path, f"attribute {attr} of {node.name}: {error}") from error
        return _shortest(struct.pack("<I", found[-1])) if found else None


def read_graph(path: Path) -> Graph:
    """Index the nodes of a MetaGraphDef or GraphDef file.

    Raises:
        CheckpointError: the file cannot be read or is not a graph.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}", path=path) from error
    try:
        top = list(fields(data))
        graphs = [payload for key, _, payload in top if key == _META_GRAPH]
        infos = [payload for key, _, payload in top if key == _META_INFO]
        if not graphs or len(infos) > 1:  # a bare GraphDef: field 1 is its nodes
            return Graph(path, _index(data), None)
        del data, top
        return Graph(path, _index(graphs[-1]), _writer(infos[0]) if infos else None)
    except (WireError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is not a whole TensorFlow graph: {what}",
        path=path,
        hint="copy it again; or move it away, and what it says is taken from the config and the options instead",
    )


def _index(graph: bytes) -> dict[str, bytes]:
    """Node name to the bytes of the node. The name is a node's first field in all files that TensorFlow writes."""
    nodes: dict[str, bytes] = {}
    for key, _, payload in fields(graph):
        if key != _GRAPH_NODE:
            continue
        if payload[:1] == b"\x0a":
            size, at = varint(payload, 1)
            name = payload[at : at + size]
        else:
            name = b"".join(value for key, _, value in fields(payload) if key == _NODE_NAME)
        nodes[name.decode()] = payload
    return nodes


def _writer(info: bytes) -> str | None:
    versions = [payload.decode() for key, _, payload in fields(info) if key == _META_TF_VERSION]
    return f"TensorFlow {versions[-1]}" if versions else None


def _node(name: str, data: bytes) -> Node:
    op, inputs, attrs = "", [], {}
    for key, _, payload in fields(data):
        if key == _NODE_OP:
            op = payload.decode()
        elif key == _NODE_INPUT:
            inputs.append(payload.decode())
        elif key == _NODE_ATTR:
            entry = {entry_key: value for entry_key, _, value in fields(payload)}
            attrs[entry.get(_MAP_KEY, b"").decode()] = entry.get(_MAP_VALUE, b"")
    return Node(name, op, tuple(inputs), attrs)


def _elements(tensor: bytes) -> tuple[Number, ...] | None:
    """The elements of a TensorProto; fewer than the shape asks for are stored when the rest equals the last one."""
    dtype, count, content, listed = 0, 1, b"", {}
    for key, number, payload in fields(tensor):
        if key == _TENSOR_DTYPE:
            dtype = number
        elif key == _TENSOR_SHAPE:
            count = prod(_dim(dim) for dim_key, _, dim in fields(payload) if dim_key == _SHAPE_DIM)
        elif key == _TENSOR_CONTENT:
            content = payload
        else:
            listed[key] = payload
    if dtype not in _NUMBERS or count > _MAX_ELEMENTS:
        return None
    code, key = _NUMBERS[dtype]
    if content or code in "fd":
        values = _unpack(content or listed.get(key, b""), code)
    else:
        values = [signed(value) for value in numbers(listed.get(key, b""))]
    if len(values) < count:
        values += (values[-1:] or [0]) * (count - len(values))
    return tuple(values[:count])


def _dim(dim: bytes) -> int:
    """The size that a TensorShapeProto.Dim states; 0 is not stored."""
    return sum(signed(size) for key, size, _ in fields(dim) if key == _DIM_SIZE)


def _unpack(data: bytes, code: str) -> list[Number]:
    """Little-endian numbers, one after the other."""
    size = struct.calcsize(code)
    if len(data) % size:
        raise WireError(f"{len(data)} bytes of {size}-byte numbers")
    if code == "f":
        return [_shortest(data[at : at + size]) for at in range(0, len(data), size)]
    return list(struct.unpack(f"<{len(data) // size}{code}", data))


def _shortest(data: bytes) -> float:
    """This float32 as the decimal number of the fewest digits: 1e-12, where the same as a float64 is 9.99999996e-13."""
    value: float = struct.unpack("<f", data)[0]
    for digits in range(1, 10):  # nine always tell a float32
        short = float(f"{value:.{digits}g}")
        try:
            if struct.pack("<f", short) == data:
                return short
        except OverflowError:  # rounded up past the largest float32
            continue
    return value  # NaN, whose bits no decimal tells

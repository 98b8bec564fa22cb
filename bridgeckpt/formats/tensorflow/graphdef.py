"""The nodes of a TensorFlow graph (``saved_model.pb``, ``.meta`` or a GraphDef file), read without TensorFlow.

A graph shows how the variables of a checkpoint are used; the checkpoint itself does not. Training graphs have tens of
thousands of nodes, and a question concerns a few of them. So opening a graph indexes the names, and a node is decoded
when it is first used.

TensorFlow 2 computes in functions. Their nodes are in the same index under ``FUNCTION/NODE``, and the names of their
inputs have the same prefix. The arguments of a function are not nodes.

Source: https://github.com/tensorflow/tensorflow, tensorflow/core/framework/{graph,node_def,function,op_def,attr_value}
.proto
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.tensorflow.function_calls import Calls
from bridgeckpt.formats.tensorflow.metagraph import MetaGraph, find_graph
from bridgeckpt.formats.tensorflow.node_index import decode_node, index_nodes
from bridgeckpt.formats.tensorflow.stored_graph import without_weights
from bridgeckpt.formats.tensorflow.tensorproto import Number, decimal, is_uneven_square, small_constant
from bridgeckpt.formats.tensorflow.wire import (
    BYTES,
    FIXED32,
    VARINT,
    WireError,
    fields,
    map_entry,
    signed,
    tag,
    text,
)
from bridgeckpt.store.lfs import open_content

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from bridgeckpt.formats.tensorflow.node_index import Node, NodeIndex


_SIGNATURE_OUTPUT, _OUTPUT_NAME = tag(2, BYTES), tag(1, BYTES)  # of SignatureDef and of TensorInfo
_ATTR_STRING, _ATTR_INTEGER = tag(2, BYTES), tag(3, VARINT)
_ATTR_FLAG, _ATTR_FLOAT, _ATTR_TYPE, _ATTR_TENSOR = tag(5, VARINT), tag(4, FIXED32), tag(6, VARINT), tag(8, BYTES)
_AFTER_SLASH = chr(ord("/") + 1)


class Graph:
    """A graph's nodes by name.

    Attributes:
        path: The file.
        writer: The version of TensorFlow that wrote it, if the file says so.
    """

    def __init__(self, path: Path, index: NodeIndex, meta_graph: MetaGraph) -> None:
        self.path = path
        self.writer = meta_graph.writer
        self._signatures = meta_graph.signatures
        self._nodes = index.nodes
        self._functions = index.functions
        self._calls = Calls(self, index.heads)
        self._decoded: dict[str, Node] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    @property
    def has_functions(self) -> bool:
        """Whether some of its nodes are in functions."""
        return bool(self._functions)

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __getitem__(self, name: str) -> Node:
        """The node ``name``.

        Raises:
            KeyError: there is no such node.
            CheckpointError: the node is damaged.
        """
        node = self._decoded.get(name)
        if node is None:
            try:
                node = self._decoded[name] = decode_node(name, self._nodes[name], self._functions.get(name))
            except (WireError, UnicodeDecodeError) as error:
                raise _damaged(self.path, f"node {name}: {error}") from error
        return node

    def under(self, scope: str) -> list[Node]:
        """Every node whose name begins with ``scope/``, in the file's order."""
        return [self[name] for name in sorted(self._names_under(scope), key=self._places.__getitem__)]

    def has_scope(self, scope: str) -> bool:
        """Whether a name begins with ``scope/``."""
        return bool(self._names_under(scope))

    def _names_under(self, scope: str) -> list[str]:
        first, last = bisect_left(self._sorted, f"{scope}/"), bisect_left(self._sorted, f"{scope}{_AFTER_SLASH}")
        return self._sorted[first:last]

    @cached_property
    def scopes(self) -> tuple[str, ...]:
        """Every name scope, in the order of its first node in the file."""
        parents = dict.fromkeys(name.rpartition("/")[0] for name in self._nodes)
        return tuple(dict.fromkeys(scope for parent in parents for scope in _with_parents(parent)))

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._nodes)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self._nodes)}

    def readers(self, name: str) -> list[Node]:
        """Every node that takes an output of node ``name``."""
        function = self._functions.get(name)
        wanted = (name if function is None else name.removeprefix(f"{function}/")).encode()
        return [
            node
            for reader, data in self._nodes.items()
            if wanted in data and self._functions.get(reader) == function and name in (node := self[reader]).operands
        ]

    def readers_of(self, names: Collection[str]) -> dict[str, list[Node]]:
        """Every node that takes the first output of one of these nodes, by their names: all are found at once."""
        found: dict[str, list[Node]] = {name: [] for name in names}
        inside = [name.removeprefix(f"{self._functions[name]}/") for name in names if name in self._functions]
        outside = [name.encode() for name in names if name not in self._functions]
        patterns = [re.escape(b"\x1a" + _size(len(name)) + name) for name in outside]  # a whole input
        patterns += [re.escape(name.encode()) for name in inside]  # in a function, the name of the output follows
        wanted = re.compile(b"|".join(patterns) or b"(?!)")
        for reader, data in self._nodes.items():
            if wanted.search(data):
                for operand in {*(node := self[reader]).operands} & found.keys():
                    found[operand].append(node)
        return found

    def with_ops(self, ops: Collection[str]) -> Iterator[Node]:
        """Every node with one of these operations, in the file's order."""
        stored = re.compile(b"|".join(b"\x12%c%s" % (len(op), op.encode()) for op in ops))  # the field of the operation
        for name, data in self._nodes.items():
            if stored.search(data) and (node := self[name]).op in ops:
                yield node

    def outside(self, tensor: str) -> tuple[str, ...]:
        """The tensors that an argument of a function is where the function is called; () for anything else.

        Raises:
            CheckpointError: a function is damaged.
        """
        try:
            return self._calls.argument(tensor)
        except (WireError, UnicodeDecodeError) as error:
            raise _damaged(self.path, f"the function of {tensor}: {error}") from error

    def calls(self, node: str) -> bool:
        """Whether ``node`` calls a function that the graph holds, and that computes.

        Raises:
            CheckpointError: the function's name is damaged.
        """
        try:
            return self._calls.called(node) is not None
        except (WireError, UnicodeDecodeError) as error:
            raise _damaged(self.path, f"the function that {node} calls: {error}") from error

    def callers(self, node: str) -> tuple[str, ...] | None:
        """The nodes that call the function in which ``node`` is; None if it is in none.

        Raises:
            CheckpointError: a function is damaged.
        """
        function = self._functions.get(node)
        try:
            return tuple(self._calls.callers.get(function, ())) if function is not None else None
        except (WireError, UnicodeDecodeError) as error:
            raise _damaged(self.path, f"the calls of {function}: {error}") from error

    def inside(self, node: str, index: int) -> str | None:
        """The tensor in the function that ``node`` calls which is its output ``index``; None if it calls none.

        Raises:
            CheckpointError: a function is damaged.
        """
        try:
            return self._calls.result(node, index)
        except (WireError, UnicodeDecodeError) as error:
            raise _damaged(self.path, f"the function that {node} calls: {error}") from error

    def signature(self, name: str) -> dict[str, str]:
        """The outputs of the signature ``name``, each with the node that computes it. Empty without such a signature.

        Raises:
            CheckpointError: the signature is damaged.
        """
        try:
            outputs = [
                map_entry(output)
                for key, _, output in fields(self._signatures.get(name, b""))
                if key == _SIGNATURE_OUTPUT
            ]
            nodes = {output: text(info, _OUTPUT_NAME).partition(":")[0] for output, info in outputs}
        except (WireError, UnicodeDecodeError) as error:
            raise _damaged(self.path, f"signature {name}: {error}") from error
        return nodes

    def constant(self, name: str) -> tuple[Number, ...] | None:
        """The elements of a Const node of float32, float64, int32, int64 or bool, in C order.

        None if there is no such node, or it has another op or dtype, or more elements than a setting has.

        Raises:
            CheckpointError: the node is damaged.
        """
        if name not in self._nodes or (node := self[name]).op != "Const":
            return None
        tensors = [tensor for key, _, tensor in self._attribute(node, "value") if key == _ATTR_TENSOR]
        try:
            return small_constant(b"".join(tensors)) if tensors else None
        except WireError as error:
            raise _damaged(self.path, f"constant {name}: {error}") from error

    def is_uneven_square(self, name: str) -> bool:
        """Whether the Const node ``name`` certainly holds square matrices of different numbers.

        Raises:
            CheckpointError: the node is damaged.
        """
        tensors = [tensor for key, _, tensor in self.attribute(name, "value") if key == _ATTR_TENSOR]
        try:
            return bool(tensors) and is_uneven_square(b"".join(tensors))
        except WireError as error:
            raise _damaged(self.path, f"constant {name}: {error}") from error

    def number(self, node: Node, attr: str) -> float | None:
        """The float attribute ``attr`` of ``node``, or None if it is not stored (it then has its op's default).

        Raises:
            CheckpointError: the attribute is damaged.
        """
        stored = self._bits(node, attr, _ATTR_FLOAT)
        return decimal(struct.pack("<I", stored)) if stored is not None else None

    def integer(self, node: Node, attr: str) -> int | None:
        """The integer attribute ``attr`` of ``node``, or None if it is not stored (it then has its op's default).

        Raises:
            CheckpointError: the attribute is damaged.
        """
        stored = self._bits(node, attr, _ATTR_INTEGER)
        return signed(stored) if stored is not None else None

    def flag(self, node: Node, attr: str) -> bool:
        """The attribute ``attr`` of ``node`` that is true or false; false if it is not stored.

        Raises:
            CheckpointError: the attribute is damaged.
        """
        return bool(self._bits(node, attr, _ATTR_FLAG))

    def string(self, node: Node, attr: str) -> str | None:
        """The text in the attribute ``attr`` of ``node``, or None if it is not stored.

        Raises:
            CheckpointError: the attribute is damaged.
        """
        stored = [data for key, _, data in self._attribute(node, attr) if key == _ATTR_STRING]
        return stored[-1].decode(errors="replace") if stored else None

    def dtype(self, node: Node, attr: str) -> int | None:
        """The number of the DataType in the attribute ``attr`` of ``node``, or None if it is not stored.

        Raises:
            CheckpointError: the attribute is damaged.
        """
        return self._bits(node, attr, _ATTR_TYPE)

    def _bits(self, node: Node, attr: str, kind: int) -> int | None:
        """The bits of an attribute of one ``kind``."""
        stored = [bits for key, bits, _ in self._attribute(node, attr) if key == kind]
        return stored[-1] if stored else None

    def attribute(self, name: str, attr: str) -> list[tuple[int, int, bytes]]:
        """The fields of the attribute ``attr`` of the node ``name``; none if it is not stored.

        Raises:
            CheckpointError: the attribute is damaged.
        """
        return self._attribute(self[name], attr)

    def _attribute(self, node: Node, attr: str) -> list[tuple[int, int, bytes]]:
        wanted = attr.encode()
        try:
            entries = [map_entry(entry) for entry in node.stored if wanted in entry]
            values = [value for name, value in entries if name == attr]
            return [field for value in values for field in fields(value)]
        except (WireError, UnicodeDecodeError) as error:
            raise _damaged(self.path, f"attribute {attr} of {node.name}: {error}") from error


def read_graph(path: Path) -> Graph:
    """Index the nodes of a SavedModel, MetaGraphDef or GraphDef file.

    If a SavedModel has several graphs, the one for inference is read.

    Raises:
        CheckpointError: the file cannot be read or is not a graph.
    """
    try:
        graph = without_weights(path)
        meta_graph = MetaGraph(graph) if graph is not None else find_graph(_content(path), path.name)
        return Graph(path, index_nodes(meta_graph.graph), meta_graph)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}", path=path) from error
    except (WireError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from error


def _content(path: Path) -> bytes:
    file = open_content(path)
    return file.read(0, file.size)


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is not a whole TensorFlow graph: {what}",
        path=path,
        hint="copy it again; or move it away, and what it says is taken from the config and the options instead",
    )


def _with_parents(scope: str) -> Iterator[str]:
    """A scope and the scopes that it lies in, the outermost first. Nothing for no scope."""
    at = scope.find("/")
    while at >= 0:
        yield scope[:at]
        at = scope.find("/", at + 1)
    if scope:
        yield scope


def _size(number: int) -> bytes:
    """A length as it is stored: seven bits in each byte, the lowest first."""
    stored = bytearray()
    while number > 0x7F:
        stored.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*stored, number])

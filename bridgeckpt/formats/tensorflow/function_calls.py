"""Calls of TensorFlow 2's functions in a graph: which tensor an argument is outside, and a result inside.

Inside a function an argument is named ``FUNCTION/ARGUMENT``, and is no node. Outside, a result is an output of the node
that calls. With both, a tensor is followed through functions as if their nodes stood in place of the call.

Source: https://github.com/tensorflow/tensorflow, tensorflow/core/framework/{function,op_def,attr_value}.proto
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bridgeckpt.formats.tensorflow.wire import BYTES, fields, map_entry, tag, text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

CALLS = frozenset(("PartitionedCall", "StatefulPartitionedCall"))
SIGNATURE, RESULT = tag(1, BYTES), tag(4, BYTES)  # of FunctionDef
_NAME, _ARGUMENT, _OUTPUT = (tag(number, BYTES) for number in (1, 2, 3))  # of OpDef
_CALLED, _CALLED_NAME = "f", tag(1, BYTES)  # the attribute with the function's name
_FUNCTION = tag(10, BYTES)  # of AttrValue

Head = tuple[tuple[int, bytes], ...]  # the fields of a FunctionDef that describe it


class _Node(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def data(self) -> tuple[str, ...]: ...


class _Graph(Protocol):
    """What is asked of a graph."""

    def __contains__(self, name: object) -> bool: ...

    def __getitem__(self, name: str) -> _Node: ...

    def with_ops(self, ops: Collection[str]) -> Iterator[_Node]: ...

    def attribute(self, name: str, attr: str) -> list[tuple[int, int, bytes]]: ...


class _Described(NamedTuple):
    """The names of a function's arguments, and the tensors that are its results, in order."""

    arguments: tuple[str, ...]
    results: tuple[str, ...]


class Calls:
    """The calls in a graph; ``heads`` are the fields that describe each function. All is read when it is needed."""

    def __init__(self, graph: _Graph, heads: Mapping[str, Head]) -> None:
        self._graph = graph
        self._heads = heads
        self._described: dict[str, _Described] = {}

    def argument(self, tensor: str) -> tuple[str, ...]:
        """The tensors that an argument of a function is where the function is called; () for anything else.

        Raises:
            WireError: a function is damaged.
            UnicodeDecodeError: a name is not UTF-8.
        """
        function = self._function_of(tensor)
        if function is None or tensor in self._graph:
            return ()
        name = tensor.removeprefix(f"{function}/")
        arguments = self._describe(function).arguments
        if name not in arguments:
            return ()
        place = arguments.index(name)
        inputs = [self._graph[node].data for node in self.callers.get(function, ())]
        return tuple(dict.fromkeys(own[place] for own in inputs if place < len(own)))

    def result(self, node: str, index: int) -> str | None:
        """The tensor in the function that a node calls which is its output ``index``; None if it calls none.

        Raises:
            WireError: a function is damaged.
            UnicodeDecodeError: a name is not UTF-8.
        """
        function = self.called(node)
        results = self._describe(function).results if function is not None else ()
        return f"{function}/{results[index]}" if index < len(results) else None

    def _function_of(self, tensor: str) -> str | None:
        """The function that a tensor is in; names of functions may hold slashes."""
        ends = (at for at, character in enumerate(tensor) if character == "/")
        return next((tensor[:at] for at in ends if tensor[:at] in self._heads), None)

    @cached_property
    def callers(self) -> dict[str, list[str]]:
        """The nodes that call each function."""
        callers: dict[str, list[str]] = {}
        for node in self._graph.with_ops(CALLS):
            if (function := self.called(node.name)) is not None:
                callers.setdefault(function, []).append(node.name)
        return callers

    def called(self, node: str) -> str | None:
        """The function that a node calls, if the graph holds it."""
        values = [value for key, _, value in self._graph.attribute(node, _CALLED) if key == _FUNCTION]
        name = text(values[-1], _CALLED_NAME) if values else ""
        return name if name in self._heads else None

    def _describe(self, function: str) -> _Described:
        known = self._described.get(function)
        if known is None:
            known = self._described[function] = _described(self._heads[function])
        return known


def _described(head: Head) -> _Described:
    signature = [field for key, payload in head if key == SIGNATURE for field in fields(payload)]
    results = dict(map(map_entry, [payload for key, payload in head if key == RESULT]))
    tensors = {name: tensor.decode() for name, tensor in results.items()}
    return _Described(_names(signature, _ARGUMENT), tuple(tensors.get(name, "") for name in _names(signature, _OUTPUT)))


def _names(signature: list[tuple[int, int, bytes]], kind: int) -> tuple[str, ...]:
    return tuple(text(payload, _NAME) for key, _, payload in signature if key == kind)

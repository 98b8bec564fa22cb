"""The object graph of a TF2 checkpoint: which variable each key is, by its own name, and which are optimizer slots.

``tf.train.Checkpoint`` names a tensor by the way from the root object to its variable
(``model/layer_with_weights-4/_query_dense/kernel/.ATTRIBUTES/VARIABLE_VALUE``), which varies with how the model was
passed and may be a bare number. Beside the tensors, under one key, it keeps a TrackableObjectGraph with each variable's
full name (``transformer/layer_0/self_attention/query/kernel``).

Source: https://github.com/tensorflow/tensorflow, tensorflow/core/protobuf/trackable_object_graph.proto
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bridgeckpt.formats.wire import BYTES, VARINT, fields, tag

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"

_NODE = tag(1, BYTES)  # of TrackableObjectGraph
_ATTRIBUTE, _SLOT = tag(2, BYTES), tag(3, BYTES)  # of TrackableObject
_FULL_NAME, _KEY = tag(2, BYTES), tag(3, BYTES)  # of SerializedTensor
_WEIGHT, _SLOT_NAME, _SLOT_VARIABLE = tag(1, VARINT), tag(2, BYTES), tag(3, VARINT)  # of SlotVariableReference


class Slot(NamedTuple):
    """Optimizer state: the key of the weight that it belongs to, and its name there (``m``, ``momentum``)."""

    weight: str
    name: str


class ObjectGraph(NamedTuple):
    """What an object graph says of the tensors: ``variable_names`` and ``slots``, both by key."""

    variable_names: Mapping[str, str]
    slots: Mapping[str, Slot]


def parse_object_graph(proto: bytes) -> ObjectGraph:
    """Decode a serialized TrackableObjectGraph.

    Raises:
        WireError: the bytes are no such message.
        UnicodeDecodeError: a name in it is no text.
    """
    names: dict[str, str] = {}
    key_of: list[str | None] = []  # the key of the variable that each node is, by the node's number
    references: list[tuple[int, str, int]] = []
    for at, _, node in fields(proto):
        if at != _NODE:
            continue
        key: str | None = None
        for kind, _, payload in fields(node):
            if kind == _ATTRIBUTE:
                key, full_name = _attribute(payload)
                if full_name:
                    names[key] = full_name
            elif kind == _SLOT:
                references.append(_slot(payload))
        key_of.append(key)
    slots: dict[str, Slot] = {}
    for weight, name, variable in references:
        if max(weight, variable) < len(key_of):
            weight_key, slot_key = key_of[weight], key_of[variable]
            if weight_key is not None and slot_key is not None:
                slots[slot_key] = Slot(weight_key, name)
    return ObjectGraph(names, slots)


def _attribute(proto: bytes) -> tuple[str, str]:
    """The key and the full name (or "") of a SerializedTensor."""
    key = full_name = ""
    for at, _, payload in fields(proto):
        if at == _KEY:
            key = payload.decode()
        elif at == _FULL_NAME:
            full_name = payload.decode()
    return key, full_name


def _slot(proto: bytes) -> tuple[int, str, int]:
    """The numbers of the weight's and the slot's node, and the slot's name between them."""
    weight, name, variable = 0, "", 0
    for at, number, payload in fields(proto):
        if at == _WEIGHT:
            weight = number
        elif at == _SLOT_NAME:
            name = payload.decode()
        elif at == _SLOT_VARIABLE:
            variable = number
    return weight, name, variable

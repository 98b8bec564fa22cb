"""The object graph of a TF2 checkpoint: the full name of each key's variable, and which keys are optimizer slots.

``tf.train.Checkpoint`` names a tensor by the path from the root object to its variable
(``model/layer_with_weights-4/_query_dense/kernel/.ATTRIBUTES/VARIABLE_VALUE``). The path depends on how the model was
passed, and may contain bare numbers. Under a key of its own the checkpoint also stores a TrackableObjectGraph with the
full name of each variable (``transformer/layer_0/self_attention/query/kernel``).

Source: https://github.com/tensorflow/tensorflow, tensorflow/core/protobuf/trackable_object_graph.proto
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from bridgeckpt.formats.slots import Slot
from bridgeckpt.formats.tensorflow.wire import BYTES, VARINT, fields, tag

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"

_NODE = tag(1, BYTES)  # of TrackableObjectGraph
_CHILD, _ATTRIBUTE, _SLOT = tag(1, BYTES), tag(2, BYTES), tag(3, BYTES)  # of TrackableObject
_CHILD_NODE, _CHILD_NAME = tag(1, VARINT), tag(2, BYTES)  # of ObjectReference
_FULL_NAME, _KEY = tag(2, BYTES), tag(3, BYTES)  # of SerializedTensor
_WEIGHT, _SLOT_NAME, _SLOT_VARIABLE = tag(1, VARINT), tag(2, BYTES), tag(3, VARINT)  # of SlotVariableReference

_OPTIMIZER_STATE = re.compile(r"(?:.*/)?_variables/[0-9]+/\.ATTRIBUTES/VARIABLE_VALUE")
_PLACED, _WEIGHTED = "layer-", "layer_with_weights-"
_DEEPEST = 16  # steps from the root: a BERT in a pretrainer in a training task has 9
_FEW = 8  # an object with at most this many children, such as a layer, is listed under each of its paths


class ObjectGraph(NamedTuple):
    """What an object graph says about the tensors: ``variable_names`` and ``slots``, both by key.

    ``objects`` are paths from the root to objects (``model/span_labeling``): for each object its shortest path, and the
    other paths that continue a shortest path by one step, or by two steps through a small object. ``with_weights`` are
    the places of the layers with weights among all layers of the first functional model of Keras 2.
    """

    variable_names: Mapping[str, str]
    slots: Mapping[str, Slot]
    objects: frozenset[str] = frozenset()
    with_weights: frozenset[int] = frozenset()


def parse_object_graph(proto: bytes) -> ObjectGraph:
    """Decode a serialized TrackableObjectGraph.

    Raises:
        WireError: the bytes are not such a message.
        UnicodeDecodeError: a name in it is not UTF-8.
    """
    names: dict[str, str] = {}
    key_of: list[str | None] = []  # by node number: the key, if the node is a variable
    references: list[tuple[int, str, int]] = []
    children: list[list[tuple[str, int]]] = []
    for field, _, node in fields(proto):
        if field != _NODE:
            continue
        key: str | None = None
        children.append([])
        for node_field, _, payload in fields(node):
            if node_field == _CHILD:
                children[-1].append(_child(payload))
            elif node_field == _ATTRIBUTE:
                key, full_name = _attribute(payload)
                if full_name:
                    names[key] = full_name
            elif node_field == _SLOT:
                references.append(_slot(payload))
        key_of.append(key)
    slots = _keras_slots(names)
    for weight, name, variable in references:
        if max(weight, variable) < len(key_of):
            weight_key, slot_key = key_of[weight], key_of[variable]
            if weight_key is not None and slot_key is not None:
                slots[slot_key] = Slot(weight_key, name)
    return ObjectGraph(names, slots, _paths(children), _with_weights(children))


def _keras_slots(names: Mapping[str, str]) -> dict[str, Slot]:
    """The state of Keras' optimizers since TensorFlow 2.11. The graph does not mark it as slots.

    It is a list of variables. Each is named after its weight: ``Adam/m/dense/kernel``, or in Keras 3
    ``adam/dense_kernel_momentum``.
    """
    state = [key for key in names if _OPTIMIZER_STATE.fullmatch(key)]
    weights = {name: key for key, name in names.items() if not _OPTIMIZER_STATE.fullmatch(key)} if state else {}
    joined = {name.replace("/", "_"): key for name, key in weights.items()}
    slots = {}
    for key in state:
        slot, _, rest = names[key].partition("/")
        while rest and rest not in weights:
            slot, _, rest = rest.partition("/")
        if rest:
            slots[key] = Slot(weights[rest], slot)
            continue
        weight, _, slot = names[key].partition("/")[2].rpartition("_")
        while weight and weight not in joined:  # the name of a slot may contain "_" too
            weight, _, before = weight.rpartition("_")
            slot = f"{before}_{slot}"
        if weight:
            slots[key] = Slot(joined[weight], slot)
    return slots


def _with_weights(children: list[list[tuple[str, int]]]) -> frozenset[int]:
    """:attr:`ObjectGraph.with_weights`: each such layer is both a ``layer-3`` and a ``layer_with_weights-1``."""
    for members in children:
        weighted = {number for name, number in members if name.startswith(_WEIGHTED)}
        if weighted:
            places = [name.removeprefix(_PLACED) for name, number in members if number in weighted]
            return frozenset(int(place) for place in places if place.isdecimal())
    return frozenset()


def _paths(children: list[list[tuple[str, int]]]) -> frozenset[str]:
    """The paths of :attr:`ObjectGraph.objects`. ``children`` has (name, number) by node number; 0 is the root."""
    paths: set[str] = set()
    reached = {0: ""}
    level = [0] if children else []
    for _ in range(_DEEPEST):
        deeper = []
        for node in level:
            for name, child in children[node]:
                path = f"{reached[node]}/{name}" if reached[node] else name
                paths.add(path)
                if child >= len(children):
                    continue
                if child not in reached:
                    reached[child] = path
                    deeper.append(child)
                elif len(children[child]) <= _FEW:
                    paths.update([f"{path}/{grandchild}" for grandchild, _ in children[child]])
        level = deeper
    return frozenset(paths)


def _child(proto: bytes) -> tuple[str, int]:
    """The name and the node number of an ObjectReference."""
    name, number = "", 0
    for field, value, payload in fields(proto):
        if field == _CHILD_NODE:
            number = value
        elif field == _CHILD_NAME:
            name = payload.decode()
    return name, number


def _attribute(proto: bytes) -> tuple[str, str]:
    """The key and the full name (or "") of a SerializedTensor."""
    key = full_name = ""
    for field, _, payload in fields(proto):
        if field == _KEY:
            key = payload.decode()
        elif field == _FULL_NAME:
            full_name = payload.decode()
    return key, full_name


def _slot(proto: bytes) -> tuple[int, str, int]:
    """The weight's node number, the slot's name and the slot's node number of a SlotVariableReference."""
    weight, name, variable = 0, "", 0
    for field, number, payload in fields(proto):
        if field == _WEIGHT:
            weight = number
        elif field == _SLOT_NAME:
            name = payload.decode()
        elif field == _SLOT_VARIABLE:
            variable = number
    return weight, name, variable

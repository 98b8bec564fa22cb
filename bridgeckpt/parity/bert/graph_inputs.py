"""Where a BERT's inputs are in its graph: the ids, by the tables that they are looked up in; the mask, by what it does.

TensorFlow can feed any tensor, so a graph may make its inputs of anything: placeholders of any dtype, an input
pipeline, constants, ``tf.not_equal(ids, 0)``. If the mask is no input (``tf.ones``), it is fed where it is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.parity.reference.probes import IDS, MASK, TYPES
from bridgeckpt.parity.tensorflow.nodes import GATHERS, PASSING, VARIABLES, UnusableGraph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.parity.tensorflow.nodes import Nodes

_TYPE_OF_INPUT = {"Cast": "SrcT", "OneHot": "TI", "Gather": "Tindices", "GatherV2": "Tindices"}
_TYPE_OF_INPUT["ResourceGather"] = "Tindices"
_FLOATS = frozenset({1, 2, 14, 19})  # float32, float64, bfloat16, float16


class Input(NamedTuple):
    """A tensor to feed.

    Attributes:
        tensor: Its name.
        dtype: A number of TensorFlow's ``DataType``.
        rank: 2 for [batch, seq]; a mask may have axes in between, along which it is the same.
    """

    tensor: str
    dtype: int
    rank: int = 2


def find_inputs(nodes: Nodes, names: Mapping[str, str], stages: Mapping[str, str]) -> dict[str, Input]:
    """The tensor to feed with each input of a probe.

    Args:
        nodes: The graph.
        names: Role to variable, of the embeddings.
        stages: Stage to tensor, of the embeddings and of every layer's attention.

    Raises:
        UnusableGraph: they are not found, or are not three tensors.
    """
    inputs = {
        IDS: _lookup(nodes, names["embeddings.words"]),
        TYPES: _lookup(nodes, names["embeddings.types"]),
    }
    known = [of.tensor for of in inputs.values()]
    inputs[MASK] = _mask(nodes, stages["layer.0.attention"], known, stages["embeddings"])
    if len({of.tensor for of in inputs.values()}) != 3:
        raise UnusableGraph("token ids, mask and token types are not three inputs of it")
    before = [stages["embeddings"]]
    for stage, tensor in stages.items():
        if stage.endswith(".attention"):
            within = nodes.above([tensor], [*known, *before])
            if not any(inputs[MASK].tensor in nodes.inputs(node) for node in within):
                raise UnusableGraph(f"{stage} does not read the mask of layer 0, {inputs[MASK].tensor}")
            before.append(tensor)
    return inputs


def _lookup(nodes: Nodes, table: str) -> Input:
    """The ids by which rows of a table are gathered, or one-hot vectors of which are multiplied with it."""
    for tensor in nodes.reads_of(table):
        for node, slot in nodes.readers(tensor):
            if node.op in GATHERS and slot == 0:
                return _origin(nodes, node, 1)
            if node.op in {"MatMul", "BatchMatMul", "BatchMatMulV2"} and slot == 1:
                above = nodes.producer(nodes.inputs(node)[0])
                while above.op in PASSING:
                    above = nodes.producer(nodes.inputs(above)[0])
                if above.op == "OneHot":
                    return _origin(nodes, above, 0)
    raise UnusableGraph(f"no ids are looked up in {table}")


def _origin(nodes: Nodes, node: Any, slot: int) -> Input:  # noqa: ANN401 - a protocol buffer
    """The tensor [batch, seq] furthest up from which an input comes unchanged."""
    chain = _chain(nodes, node, slot)
    for known in reversed(chain):
        if known.rank == 2:
            return known
    raise UnusableGraph(f"{chain[-1].tensor} is not [batch, seq]")


def _chain(nodes: Nodes, node: Any, slot: int) -> list[Input]:  # noqa: ANN401
    """The tensors from an input of a node upwards, as far as they are the same numbers."""
    chain = []
    while True:
        tensor = nodes.inputs(node)[slot]
        shape = nodes.shape(tensor)
        chain.append(
            Input(tensor, node.attr[_TYPE_OF_INPUT.get(node.op, "T")].type, 2 if shape is None else len(shape))
        )
        node, slot = nodes.producer(tensor), 0
        if node.op not in PASSING and not _adds_axes(nodes, node):
            return chain


def _adds_axes(nodes: Nodes, node: Any) -> bool:  # noqa: ANN401
    """Whether a node is a slice like ``mask[:, None, None, :]``, of everything."""
    if node.op != "StridedSlice" or not node.attr["new_axis_mask"].i:
        return False
    before, after = nodes.shape(nodes.inputs(node)[0]), nodes.shape(node.name)
    return before is not None and after is not None and _wide(before) == _wide(after)


def _wide(shape: tuple[int | None, ...]) -> list[int | None]:
    return [size for size in shape if size != 1]


def _mask(nodes: Nodes, attention: str, known: list[str], states: str) -> Input:
    """The mask, or what makes it of ids: cast to a number on its way to the first softmax, or subtracted from 1."""
    softmax = next((node.name for node in nodes.above([attention], known) if node.op == "Softmax"), None)
    if softmax is None:
        raise UnusableGraph("layer 0 has no softmax")
    found = _cast(nodes, softmax, known)
    if len(found) != 1:
        found = _subtracted(nodes, softmax, [*known, states]) or found
    if len(found) != 1:
        raise UnusableGraph(f"{len(found) or 'no'} inputs could be the attention mask")
    return next(iter(found))


def _cast(nodes: Nodes, softmax: str, known: list[str]) -> set[Input]:
    """What is cast to a number and reaches the softmax, other than ids."""
    like_ids = nodes.shape(known[0])
    found = set()
    for node in nodes.above([softmax], known):
        if node.op == "Cast" and node.attr["SrcT"].type not in _FLOATS:
            origin = next((of for of in reversed(_chain(nodes, node, 0)) if of.rank == 2), None)
            if origin is None or origin.tensor in known:  # a number, such as a size, and no [batch, seq]
                continue
            # An input may have been a constant; a number computed from sizes is not an input.
            if (like_ids and nodes.shape(origin.tensor) == like_ids) or _varies(nodes, origin.tensor):
                found.add(origin)
    return found


def _subtracted(nodes: Nodes, softmax: str, stop: list[str]) -> set[Input]:
    """What 1 is subtracted from, or what from 1, between the states and the softmax: a mask of floats."""
    found = set()
    for node in nodes.above([softmax], stop):
        for slot in (0, 1) if node.op == "Sub" else ():
            if nodes.producer(nodes.inputs(node)[1 - slot]).op == "Const":
                chain = [of for of in _chain(nodes, node, slot) if of.rank >= 2]
                found |= {next((of for of in reversed(chain) if of.rank == 2), chain[-1])} if chain else set()
    return found


def _varies(nodes: Nodes, tensor: str) -> bool:
    """Whether a tensor depends on data, and not on constants, variables and sizes alone."""
    leaves = [node for node in nodes.above([tensor]) if not nodes.inputs(node)]
    return any(node.op != "Const" and node.op not in VARIABLES for node in leaves)

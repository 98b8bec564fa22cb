"""Where a BERT's inputs and stages are in the graph that trained it, found by its variables and by structure.

Names of operations differ between versions and forks; what reads which variable does not. A LayerNorm ends in the
addition of its beta, a dense layer in that of its bias, an embedding is looked up in its table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.parity.probes import IDS, MASK, TYPES
from bridgeckpt.parity.tensorflow.nodes import ADDITIONS, GATHERS, PASSING, VARIABLES, UnusableGraph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.parity.tensorflow.nodes import Nodes
    from bridgeckpt.parity.tensorflow.variables import Bert

_TYPE_OF_INPUT = {"Cast": "SrcT", "OneHot": "TI", "Gather": "Tindices", "GatherV2": "Tindices"}
_TYPE_OF_INPUT["ResourceGather"] = "Tindices"


class Input(NamedTuple):
    """A tensor to feed: its name, and its dtype as a number of TensorFlow's ``DataType``."""

    tensor: str
    dtype: int


class Located(NamedTuple):
    """Where a BERT is in its graph.

    Attributes:
        inputs: The tensor to feed with each input of a probe.
        stages: The tensor of each stage that was found.
        batch: The batch size that the graph is made for; None for any.
        length: The sequence length, likewise.
    """

    inputs: Mapping[str, Input]
    stages: Mapping[str, str]
    batch: int | None
    length: int | None


def locate(nodes: Nodes, bert: Bert, names: Mapping[str, str]) -> Located:
    """Find the inputs and the coarse stages of a BERT; a masked-LM head is made to read every position.

    ``names`` are the roles' variables as the graph calls them.

    Raises:
        UnusableGraph: an input or the encoder is not found, or not computed in a way that is known.
    """
    stages = {}
    for stage in (
        "embeddings",
        *(f"layer.{at}.{part}" for at in range(bert.layers) for part in ("attention", "output")),
    ):
        stages[stage] = _norm(nodes, names[f"{stage}.beta"])
    if bert.has("pooler"):
        stages |= _found("pooler", _activated(nodes, names["pooler.bias"], "Tanh"))
    for stage in ("mlm_logits", "nsp_logits", "span_logits"):
        if bert.has(stage):
            stages |= _found(stage, _biased(nodes, names[f"{stage}.bias"]))
    if bert.has("token_logits") and (logits := _biased(nodes, names["token_logits.bias"])):
        above = {node.name for node in nodes.above([logits])}
        stages["logits" if stages.get("pooler") in above else "token_logits"] = logits
    if "mlm_logits" in stages:
        _ungather(nodes, stages["mlm_logits"], stages[f"layer.{bert.layers - 1}.output"])
    inputs = {
        IDS: _lookup(nodes, names["embeddings.words"]),
        TYPES: _lookup(nodes, names["embeddings.types"]),
    }
    inputs[MASK] = _mask(nodes, stages["layer.0.attention"], [known.tensor for known in inputs.values()])
    if len({known.tensor for known in inputs.values()}) != 3:
        raise UnusableGraph("token ids, mask and token types are not three inputs of it")
    batch, length = nodes.shape(inputs[IDS].tensor) or (None, None)
    return Located(inputs, stages, batch, length)


def _found(stage: str, tensor: str | None) -> dict[str, str]:
    return {} if tensor is None else {stage: tensor}


def _norm(nodes: Nodes, beta: str) -> str:
    """``x * scale + (beta - mean * scale)``, or ``normal * gamma + beta``."""
    for tensor in nodes.reads_of(beta):
        for node, slot in nodes.readers(tensor):
            if node.op in ADDITIONS:
                return str(node.name)
            if node.op == "Sub" and slot == 0:  # of an optimizer when no addition follows
                for after, _ in nodes.readers(node.name):
                    if after.op in ADDITIONS:
                        return str(after.name)
    raise UnusableGraph(f"nothing adds {beta} to a layer normalisation")


def _biased(nodes: Nodes, bias: str) -> str | None:
    uses = [use.node for tensor in nodes.reads_of(bias) for use in nodes.readers(tensor)]
    return next((node.name for node in uses if node.op in ADDITIONS), None)


def _activated(nodes: Nodes, bias: str, op: str) -> str | None:
    biased = _biased(nodes, bias)
    return next((use.node.name for use in nodes.readers(biased or "") if use.node.op == op), None)


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
    """The tensor [batch, seq] furthest up from which an input comes unchanged; TensorFlow lets any tensor be fed."""
    chain = []
    while True:
        tensor = nodes.inputs(node)[slot]
        chain.append(Input(tensor, node.attr[_TYPE_OF_INPUT.get(node.op, "T")].type))
        node, slot = nodes.producer(tensor), 0
        if node.op not in PASSING:
            break
    for known in reversed(chain):
        shape = nodes.shape(known.tensor)
        if shape is None or len(shape) == 2:
            return known
    raise UnusableGraph(f"{chain[-1].tensor} is not [batch, seq]")


def _mask(nodes: Nodes, attention: str, known: list[str]) -> Input:
    """What is cast to a number and reaches the first softmax, other than ids: the mask, or what compares to it."""
    like_ids = nodes.shape(known[0])
    softmax = next((node.name for node in nodes.above([attention], known) if node.op == "Softmax"), None)
    if softmax is None:
        raise UnusableGraph("layer 0 has no softmax")
    found = {}
    for node in nodes.above([softmax], known):
        if node.op == "Cast" and node.attr["SrcT"].type not in {1, 2, 14, 19}:  # float32, float64, bfloat16, float16
            origin = _origin_or_none(nodes, node)
            if origin is None or origin.tensor in known:
                continue
            # Inputs may have been constants; a number that is computed from sizes is none.
            if (like_ids and nodes.shape(origin.tensor) == like_ids) or _varies(nodes, origin.tensor):
                found[origin.tensor] = origin
    if len(found) != 1:
        raise UnusableGraph(f"{len(found) or 'no'} inputs could be the attention mask")
    return next(iter(found.values()))


def _origin_or_none(nodes: Nodes, cast: Any) -> Input | None:  # noqa: ANN401
    try:
        return _origin(nodes, cast, 0)
    except UnusableGraph:  # a number, such as a size, and no [batch, seq]
        return None


def _varies(nodes: Nodes, tensor: str) -> bool:
    """Whether a tensor depends on data, and not on constants, variables and sizes alone."""
    leaves = [node for node in nodes.above([tensor]) if not nodes.inputs(node)]
    return any(node.op != "Const" and node.op not in VARIABLES for node in leaves)


def _ungather(nodes: Nodes, logits: str, states: str) -> None:
    """Let the masked-LM head read every position: where it gathers some of the last layer's rows, it gets them all."""
    within = {states}
    for node in nodes.above([logits], within):
        if node.op in GATHERS and any(above.name == states for above in nodes.above([nodes.inputs(node)[0]])):
            nodes.make_identity(node, nodes.inputs(node)[0])

"""Where a BERT's stages are in the graph that trained it, found by its variables and by structure.

Names of operations differ between versions and forks, but not which operation reads which variable. A LayerNorm ends in
the addition of its beta, a dense layer in that of its bias, and an embedding is looked up in its table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.parity.bert.graph_inputs import find_inputs
from bridgeckpt.parity.reference.probes import IDS
from bridgeckpt.parity.tensorflow.nodes import ADDITIONS, GATHERS, UnusableGraph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.parity.bert.graph_inputs import Input
    from bridgeckpt.parity.bert.variables import Bert
    from bridgeckpt.parity.tensorflow.nodes import Nodes


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


def locate_stages(nodes: Nodes, bert: Bert, names: Mapping[str, str]) -> Located:
    """Find the inputs and the coarse stages of a BERT; a masked-LM head is made to read every position.

    ``names`` are the roles' variables as the graph calls them.

    Raises:
        UnusableGraph: an input or the encoder is not found, or is computed in an unknown way.
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
    inputs = find_inputs(nodes, names, stages)
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
            if node.op == "Sub" and slot == 0:  # an optimizer's, if no addition follows
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


def _ungather(nodes: Nodes, logits: str, states: str) -> None:
    """Let the masked-LM head read every position: if it gathers some of the last layer's rows, it gets all of them."""
    within = {states}
    for node in nodes.above([logits], within):
        if node.op in GATHERS and any(above.name == states for above in nodes.above([nodes.inputs(node)[0]])):
            nodes.make_identity(node, nodes.inputs(node)[0])

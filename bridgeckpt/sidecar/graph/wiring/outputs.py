"""What a graph makes of the output of a part: the function of each number that anything else is computed from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.sidecar.graph.candidates import nearest
from bridgeckpt.sidecar.graph.computations import GRADIENT
from bridgeckpt.sidecar.graph.functions import Function
from bridgeckpt.sidecar.graph.wiring.terms import Combination, GraphTerm, Values, as_function, kinds, single

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.formats.tensorflow.node_index import Node
    from bridgeckpt.sidecar.graph.wiring.tracing import Tracer

_LINEAR, _PROBABILITIES = "linear", "sigmoid"  # of logits, which stay logits
_WRITES = ("Assign", "Apply", "ResourceApply", "Save", "Restore")
_LOSSES = frozenset(("Mean", "Sum", "L2Loss"))  # what only these read is a part of a loss
_SUMS = frozenset(("Add", "AddV2", "BiasAdd", "Sub"))
_LONGEST = 16  # operations after a part
_DEEPEST = 8  # functions in each other


class Output(NamedTuple):
    """What the node ``node`` makes of ``of``, a part's output or its product: a function with these ``values``.

    ``is_last``: something else is computed from it, or it is an output of the graph.
    """

    node: str
    of: Combination
    values: Values
    is_last: bool


def outputs_of(graph: Graph, tracer: Tracer, products: Mapping[str, Sequence[str]]) -> dict[str, list[Output]]:
    """What is made of each part, by part; ``products`` are the nodes that apply it. Nothing if it is not understood.

    Raises:
        CheckpointError: a node is damaged.
    """
    found: dict[str, list[Output]] = {part: [] for part in products}
    current = {node: part for part, nodes in products.items() for node in nodes}
    seen, unclear = {*current}, set[str]()
    for _ in range(_LONGEST):
        if not current:
            break
        following: dict[str, str] = {}
        readers = graph.readers_of(current)
        for name, part in current.items():
            computing = [node for node in readers[name] if _computes(node)]
            inner, others = _within(tracer, computing, part)
            following |= {node.name: part for node in inner if node.name not in seen}
            is_read = any(node.op not in _LOSSES for node in others)
            found[part] += _output(tracer.combination(name), part, name, is_last=is_read or not computing)
            if not computing and not _is_final(graph, name):
                unclear.add(part)
            if any(node.op in _SUMS for node in others) and kinds(tracer.combination(name)) == {"product"}:
                unclear.add(part)  # what is added to it may be its bias
        seen |= {*following}
        current = following
    return {part: outputs for part, outputs in found.items() if part not in unclear}


def _is_final(graph: Graph, node: str, depth: int = _DEEPEST) -> bool:
    """Whether a node without readers is an output of the graph, and not of a function whose result is read."""
    if not depth:
        return False
    for caller in graph.callers(node) or ():
        readers = graph.readers_of([caller])[caller]
        if any(reader.op != "Identity" or graph.readers_of([reader.name])[reader.name] for reader in readers):
            return False
        if not all(_is_final(graph, reader.name, depth - 1) for reader in readers):
            return False
    return True


def unlike_output(outputs: Sequence[Output], expected: str) -> Output | None:
    """The first output that anything else is computed from, if none is the function that is expected.

    Logits are what is passed on. A sigmoid makes probabilities of them.
    """
    whole = [output for output in outputs if kinds(output.of) == {"part"}]
    last = [output for output in whole or outputs if output.is_last]
    if not whole:
        return last[0] if last else None
    accepted = {expected, _PROBABILITIES} if expected == _LINEAR else {expected}
    for output in last if expected == _LINEAR else whole:
        likeness = nearest(Function("", output.values, is_rounded=True))
        if likeness.is_equal and likeness.name in accepted:
            return None
    return last[0] if last else None


def _computes(node: Node) -> bool:
    return not node.op.startswith(_WRITES) and not GRADIENT.search(node.name)


def _within(tracer: Tracer, readers: list[Node], part: str) -> tuple[list[Node], list[Node]]:
    """Those of the readers that compute a function of the part alone, and the others."""
    inner = [node for node in readers if _of_part(as_function(tracer.combination(node.name))[0], part)]
    return inner, [node for node in readers if node not in inner]


def _of_part(combination: Combination, part: str) -> bool:
    return combination in (single(GraphTerm("part", part)), single(GraphTerm("product", part)))


def _output(combination: Combination, part: str, node: str, *, is_last: bool) -> Iterator[Output]:
    base, values = as_function(combination)
    if _of_part(base, part):
        yield Output(node, base, values, is_last)

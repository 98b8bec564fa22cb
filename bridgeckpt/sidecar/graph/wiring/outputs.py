"""What a graph makes of the output of a part: the function of each number that anything else is computed from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.sidecar.graph.candidates import nearest
from bridgeckpt.sidecar.graph.computations import GRADIENT
from bridgeckpt.sidecar.graph.functions import Function
from bridgeckpt.sidecar.graph.wiring.terms import Combination, Term, Values, as_function, single

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.sidecar.graph.wiring.tracing import Tracer

_LINEAR, _PROBABILITIES = "linear", "sigmoid"  # of logits, which stay logits
_WRITES = ("Assign", "Apply", "ResourceApply", "Save", "Restore")
_LONGEST = 16  # operations after a part


class Output(NamedTuple):
    """What the node ``node`` makes of a part's output: a function with these ``values``.

    ``is_last``: something else is computed from it, or it is an output of the graph.
    """

    node: str
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
            computing = [node.name for node in readers[name] if _computes(node.op, node.name)]
            inner, is_read = _within(tracer, computing, part)
            following |= {node: part for node in inner if node not in seen}
            found[part] += _output(tracer.combination(name), part, name, is_last=is_read or not inner)
            if not computing and not _is_final(graph, name):
                unclear.add(part)
        seen |= {*following}
        current = following
    return {part: outputs for part, outputs in found.items() if part not in unclear}


def _is_final(graph: Graph, node: str) -> bool:
    """Whether a node without readers is an output of the graph, and not of a function whose result is read."""
    for caller in graph.callers(node) or ():
        readers = graph.readers_of([caller])[caller]
        if any(reader.op != "Identity" or graph.readers_of([reader.name])[reader.name] for reader in readers):
            return False
        if not all(_is_final(graph, reader.name) for reader in readers):
            return False
    return True


def unlike_output(outputs: Sequence[Output], expected: str) -> Output | None:
    """The first output that anything else is computed from, if none is the function that is expected.

    Logits are what is passed on. A sigmoid makes probabilities of them.
    """
    last = [output for output in outputs if output.is_last]
    accepted = {expected, _PROBABILITIES} if expected == _LINEAR else {expected}
    for output in last if expected == _LINEAR else outputs:
        likeness = nearest(Function("", output.values, is_rounded=True))
        if likeness.is_equal and likeness.name in accepted:
            return None
    return last[0] if last else None


def _computes(op: str, name: str) -> bool:
    return not op.startswith(_WRITES) and not GRADIENT.search(name)


def _within(tracer: Tracer, readers: list[str], part: str) -> tuple[list[str], bool]:
    """Those of the readers that compute a function of the part alone, and whether there are others."""
    inner = [name for name in readers if _of_part(as_function(tracer.combination(name))[0], part)]
    return inner, len(inner) < len(readers)


def _of_part(combination: Combination, part: str) -> bool:
    return combination in (single(Term("part", part)), single(Term("product", part)))


def _output(combination: Combination, part: str, node: str, *, is_last: bool) -> Iterator[Output]:
    base, values = as_function(combination)
    if base == single(Term("part", part)):
        yield Output(node, values, is_last)

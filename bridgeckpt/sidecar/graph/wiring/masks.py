"""What is added to attention's scores: masks of padding, and masks that hide other tokens than padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.sidecar.graph.elementwise import PASSED
from bridgeckpt.sidecar.graph.functions import POINTS, function_of, split_output
from bridgeckpt.sidecar.graph.wiring.positions import hides_by_position
from bridgeckpt.sidecar.graph.wiring.terms import ONE, Combination, GraphTerm, kinds

if TYPE_CHECKING:
    from bridgeckpt.formats.tensorflow.graphdef import Graph

NONE, INVERTED = "none", "inverted"
_SHAPED = frozenset((*PASSED, "Cast", "StridedSlice", "Slice"))
_LONGEST = 8  # operations between an input and what is computed of it
_PADDING, _TOKEN, _OTHER = (POINTS.index(point) for point in (0.0, 1.0, 2.0))  # in a mask, and as ids


def mask_in(reads: Combination) -> str | None:
    """The kind of mask in an attention, NONE without one; None if it is no attention."""
    softmaxes = [inner for term, _ in reads for of in term.of for inner, _ in of if inner.kind == "softmax"]
    if not softmaxes:
        return None
    scores = kinds(softmaxes[0].of[0])
    return INVERTED if INVERTED in scores else NONE if scores == {"matmul"} else "free"


def told_apart(graph: Graph, scores: Combination) -> Combination:
    """The scores, with kinds of masks told apart, and without numbers, which change no softmax.

    Raises:
        CheckpointError: a node is damaged.
    """
    return frozenset([(_told(graph, term, factor), factor) for term, factor in scores if term != ONE])


def _told(graph: Graph, term: GraphTerm, factor: float) -> GraphTerm:
    if term.kind != "free":
        return term
    if hides_by_position(graph, term.name.partition(":")[0]):
        return term._replace(kind="by position")
    return term._replace(kind="inverted") if _hides_tokens(graph, term.name, factor) else term


def _hides_tokens(graph: Graph, mask: str, factor: float) -> bool:
    """Whether what is added is certainly lower where the inputs are 1, and there is a token, than where they are 0."""
    function = function_of(graph, mask)
    if function is None or not _is_input(graph, function.source):
        return False
    padding, token, other = (factor * function.values[place] for place in (_PADDING, _TOKEN, _OTHER))
    return token < padding and other <= token


def _is_input(graph: Graph, tensor: str) -> bool:
    """Whether a tensor is an input of the graph, or of a function, in another shape perhaps."""
    for _ in range(_LONGEST):
        name, _ = split_output(tensor)
        if name not in graph or not (node := graph[name]).operands:
            return True
        if node.op not in _SHAPED:
            return False
        tensor = node.inputs[0]
    return False

"""Whether what a part reads in a graph is what the class computes it from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bridgeckpt.sidecar.graph.candidates import nearest
from bridgeckpt.sidecar.graph.functions import Function
from bridgeckpt.sidecar.graph.wiring.selections import BY_INPUTS
from bridgeckpt.sidecar.graph.wiring.terms import (
    ONE,
    TURNED,
    Combination,
    GraphTerm,
    added,
    all_terms,
    as_function,
    rounded,
    single,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.mapping.tables.wiring import Reading

_NEAR = 2e-3  # relative: a scale may have been rounded to 16 bits
CAUSAL = "causal"  # among the sizes: 1 if attention hides later tokens
_NEVER_COMPARED = frozenset(("unknown", "weight"))


def agrees(reads: Combination, expected: Reading, sizes: Mapping[str, int]) -> bool | None:
    """Whether a combination is what is expected. None if it is not understood."""
    if _is(reads, expected, sizes):
        return True
    found = [*all_terms(reads)]
    if any(term.kind in _NEVER_COMPARED or (term.kind, term.name) == ("token", BY_INPUTS) for term in found):
        return None
    in_attention = {
        inner
        for term in found
        if term.kind in ("softmax", "matmul")
        for combination in term.of
        for inner in all_terms(combination)
        if inner.kind == "free"
    }
    if any(term.kind == "free" and term not in in_attention for term in found):
        return None
    return False


def expected_text(expected: Reading, labels: Mapping[str, str]) -> str:
    """What is expected, in words."""
    inner = [expected_text(operand, labels) for operand in expected.operands]
    match expected.function:
        case "":
            return labels.get(expected.name, expected.name)
        case "+":
            return " + ".join(inner)
        case "act":
            return f"the activation of {inner[0]}"
        case "first":
            return f"the first token of {inner[0]}"
        case "tokens":
            return inner[0]
        case "attention":
            query, key, value, size = inner
            return f"softmax({query} x {key} / sqrt({size}) + mask) x {value}"
        case function:
            return f"{function} of {inner[0]}"


def _is(reads: Combination, expected: Reading, sizes: Mapping[str, int]) -> bool:
    inner = expected.operands
    match expected.function:
        case "":
            return reads == _output(expected.name)
        case "+":
            return reads == added([_output(operand.name) for operand in inner])
        case "act":
            base, _ = as_function(reads)
            return _is(base, inner[0], sizes)
        case "first":
            return _is_made(reads, "token", "0", inner[0], sizes)
        case "tokens":
            return _is(reads, inner[0], sizes) or _is_made(reads, "token", BY_INPUTS, inner[0], sizes)
        case "attention":
            return _is_attention(reads, inner, sizes)
        case function:
            base, values = as_function(reads)
            likeness = nearest(Function("", values, is_rounded=True))
            return _is(base, inner[0], sizes) and likeness.is_equal and likeness.name == function


def _output(part: str) -> Combination:
    return single(GraphTerm("part", part))


def _only(combination: Combination) -> GraphTerm | None:
    """The only term, if its factor is 1."""
    ((term, factor), *others) = combination or ((ONE, 0.0),)
    return term if factor == 1 and not others else None


def _is_made(reads: Combination, kind: str, name: str, source: Reading, sizes: Mapping[str, int]) -> bool:
    term = _only(reads)
    return term is not None and (term.kind, term.name) == (kind, name) and _is(term.of[0], source, sizes)


def _is_attention(reads: Combination, operands: tuple[Reading, ...], sizes: Mapping[str, int]) -> bool:
    query, key, value, size = operands
    product = _only(reads)
    if product is None or product.kind != "matmul":
        return False
    left, right = product.of
    for weights, values, name in ((left, right, ""), (right, left, TURNED)):
        softmax = _only(weights)
        if softmax is not None and (softmax.kind, softmax.name) == ("softmax", name) and _is(values, value, sizes):
            return _are_scores(softmax.of[0], (query, key, size), sizes)
    return False


def _are_scores(found: Combination, operands: tuple[Reading, ...], sizes: Mapping[str, int]) -> bool:
    query, key, size = operands
    masks = ("free", "inverted", "by position") if sizes.get(CAUSAL) else ("free", "inverted")
    scores = [(term, factor) for term, factor in found if term.kind not in masks]
    if len(scores) != 1:
        return False
    ((term, factor),) = scores
    is_product = term.kind == "matmul" and _is(term.of[0], query, sizes) and _is(term.of[1], key, sizes)
    return is_product and _is_scale(factor, sizes.get(size.name))


def _is_scale(factor: float, size: int | None) -> bool:
    return size is None or math.isclose(factor, rounded(1 / math.sqrt(size)), rel_tol=_NEAR)

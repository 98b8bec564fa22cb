"""What a part reads in a graph, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.sidecar.graph.candidates import nearest
from bridgeckpt.sidecar.graph.functions import Function

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.sidecar.graph.wiring.terms import Combination, GraphTerm

_SHOWN = 4  # terms of a sum


def described(combination: Combination, labels: Mapping[str, str]) -> str:
    """A combination in words; ``labels`` are the names of parts."""
    items = sorted(combination, key=lambda item: (item[0].kind in ("free", "one"), _term(item[0], labels)))
    texts = [_times(factor, term, labels) for term, factor in items]
    if len(texts) > _SHOWN:
        texts[_SHOWN:] = [f"{len(texts) - _SHOWN} more"]
    return " + ".join(texts) or "0"


def _times(factor: float, term: GraphTerm, labels: Mapping[str, str]) -> str:
    if factor == 1:
        return _term(term, labels)
    if term.kind in ("one", "by position", "inverted", "free"):  # what a mask is scaled with says nothing
        return f"{factor:g}" if term.kind == "one" else _term(term, labels)
    return f"{factor:g} * {_term(term, labels, in_product=True)}"


def _term(term: GraphTerm, labels: Mapping[str, str], *, in_product: bool = False) -> str:
    inner = [described(combination, labels) for combination in term.of]
    match term.kind:
        case "part":
            return labels.get(term.name, term.name)
        case "product":
            return f"{labels.get(term.name, term.name)} without its bias"
        case "one":
            return "1"
        case "free":
            return "mask"
        case "by position":
            return "a mask by position"
        case "inverted":
            return "a mask that hides tokens, not padding"
        case "function":
            likeness = nearest(Function("", term.values, is_rounded=True))
            return f"{likeness.name if likeness.is_equal else 'a function'} of {_grouped(inner[0])}"
        case "rows":
            return f"the rows of {inner[0]} from {term.name} on"
        case "token":
            return f"the first token of {inner[0]}" if term.name == "0" else f"token {term.name} of {inner[0]}"
        case "reduced":
            return f"the {term.name} of {_grouped(inner[0])}"
        case "joined":
            return f"[{', '.join(inner)}]"
        case "softmax":
            return f"softmax({inner[0]})" + (" over queries" if term.name else "")
        case "matmul":
            text = f"{_grouped(inner[0])} x {_grouped(inner[1])}"
            return f"({text})" if in_product else text
        case kind:
            return kind


def _grouped(text: str) -> str:
    return f"({text})" if " + " in text and not text.startswith("softmax(") else text

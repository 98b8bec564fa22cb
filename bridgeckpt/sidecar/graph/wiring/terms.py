"""What a tensor of a graph is computed from, as a linear combination of terms.

Two tensors that are computed alike have equal combinations, whatever operations the graph uses: ``(a + b) * 0.5`` and
``0.5 * a + b / 2`` are one. A term that is a function of one tensor holds its values at a few points.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from bridgeckpt.sidecar.graph.functions import POINTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Values = tuple[float, ...]
Kind = Literal[
    "part",  # the output of a part of the model
    "product",  # a part's kernel was applied, and its bias was not added
    "weight",  # a variable of a part, as a bias
    "one",  # the number 1
    "free",  # what the inputs or constants give, without the model's variables
    "by position",  # a mask that hides tokens because of where they are
    "inverted",  # a mask that hides tokens where an input is 1, and not where it is 0
    "function",  # ``values`` at POINTS of a function of each number
    "rows",  # of a table, from the one with this number on
    "token",  # one token, by its number; "" if the inputs choose it
    "reduced",  # a mean, a maximum or the like
    "joined",  # several, concatenated or stacked
    "softmax",
    "matmul",  # the product of two tensors that both come from the model
    "unknown",  # not understood
]
_DIGITS = 5  # by which numbers are compared: constants may have only 16 bits, and 1 / 3 has no end


class GraphTerm(NamedTuple):
    """One term: its kind, the name of what it is, what it is computed from, and the values of a function."""

    kind: Kind
    name: str = ""
    of: tuple[Combination, ...] = ()
    values: Values = ()


Combination = frozenset[tuple[GraphTerm, float]]

ONE = GraphTerm("one")
TURNED = "turned"  # a softmax over the last axis but one
NOTHING: Combination = frozenset()


def single(term: GraphTerm, factor: float = 1.0) -> Combination:
    """A combination of one term."""
    return frozenset(((term, rounded(factor)),)) if factor else NOTHING


def number(value: float) -> Combination:
    """A constant."""
    return single(ONE, value)


def unknown(name: str) -> Combination:
    """What is not understood, made by the node ``name``."""
    return single(GraphTerm("unknown", name))


def rounded(value: float) -> float:
    """A number with the digits by which numbers are compared."""
    return float(f"{value:.{_DIGITS}g}")


def added(combinations: Iterable[Combination]) -> Combination:
    """The sum."""
    factors: dict[GraphTerm, float] = {}
    for combination in combinations:
        for term, factor in combination:
            factors[term] = factors.get(term, 0.0) + factor
    return frozenset([(term, rounded(factor)) for term, factor in factors.items() if abs(factor) > 1e-12])


def scaled(combination: Combination, factor: float) -> Combination:
    """The combination times a number."""
    if factor == 1:
        return combination
    return frozenset([(term, rounded(own * factor)) for term, own in combination]) if factor else NOTHING


def as_number(combination: Combination) -> float | None:
    """The constant that a combination is; None if it is anything else."""
    if not combination:
        return 0.0
    ((term, factor), *others) = combination
    return factor if not others and term == ONE else None


def kinds(combination: Combination) -> set[Kind]:
    """The kinds of its terms."""
    return {term.kind for term, _ in combination}


def all_terms(combination: Combination) -> Iterator[GraphTerm]:
    """Its terms, and those that they are computed from."""
    for term, _ in combination:
        yield term
        for inner in term.of:
            yield from all_terms(inner)


def as_function(combination: Combination) -> tuple[Combination, Values]:
    """The combination as a function of each number of one tensor: that tensor, nothing for a constant; its values."""
    constant = next((factor for term, factor in combination if term == ONE), 0.0)
    functions = [(term, factor) for term, factor in combination if term.kind == "function"]
    rest = frozenset([item for item in combination if item[0] != ONE and item[0].kind != "function"])
    if not functions and not rest:
        return NOTHING, (constant,) * len(POINTS)
    base = functions[0][0].of[0] if functions else _without_common_factor(rest)
    share = _ratio(rest, base)
    if share is None or any(term.of[0] != base for term, _ in functions):
        return combination, POINTS
    values = [share * point + constant for point in POINTS]
    for term, factor in functions:
        values = [value + factor * own for value, own in zip(values, term.values, strict=True)]
    return base, tuple(values)


def of_function(base: Combination, values: Values) -> Combination:
    """The combination that a function of each number of ``base`` is."""
    start, slope = values[POINTS.index(0.0)], values[POINTS.index(1.0)] - values[POINTS.index(0.0)]
    if not base:
        return number(values[0]) if math.isfinite(values[0]) else unknown("")
    if all(
        abs(value - start - slope * point) <= 1e-5 * max(1.0, abs(value))
        for value, point in zip(values, POINTS, strict=True)
    ):
        return added((scaled(base, slope), number(start)))
    return single(GraphTerm("function", "", (base,), tuple([rounded(value) for value in values])))


def applied(operation: Callable[..., float], operands: list[Combination]) -> Combination | None:
    """An operation on single numbers; None if its operands come from more than one tensor."""
    functions = [as_function(operand) for operand in operands]
    bases = {base for base, _ in functions if base}
    if len(bases) > 1:
        return None
    values = tuple([operation(*at) for at in zip(*(values for _, values in functions), strict=True)])
    return of_function(next(iter(bases), NOTHING), values)


def transposed(combination: Combination, order: tuple[int, ...] | None) -> Combination:
    """The combination with its axes in another ``order``: only products and softmaxes show which axis is the last."""
    if not {"matmul", "softmax"} & kinds(combination) or (order and order[-1] == len(order) - 1):
        return combination
    return turned(combination) if order and order[-2] == len(order) - 1 else unknown("")


def turned(combination: Combination) -> Combination:
    """The combination with its last two axes exchanged."""
    return frozenset([(_turned(term), factor) for term, factor in combination])


def _turned(term: GraphTerm) -> GraphTerm:
    if term.kind == "matmul":
        return term._replace(of=tuple(turned(operand) for operand in term.of[::-1]))
    return term._replace(name="" if term.name else TURNED) if term.kind == "softmax" else term


def _without_common_factor(combination: Combination) -> Combination:
    factors = {factor for _, factor in combination}
    return scaled(combination, 1 / next(iter(factors))) if len(factors) == 1 else combination


def _ratio(combination: Combination, base: Combination) -> float | None:
    """The number that ``base`` is multiplied with to make ``combination``; None if there is none."""
    if not combination:
        return 0.0
    own, others = dict(combination), dict(base)
    if own.keys() != others.keys():
        return None
    ratios = {rounded(factor / others[term]) for term, factor in own.items()}
    return ratios.pop() if len(ratios) == 1 else None

"""The functions that a config can name, by their values: which of them a graph computes.

The candidates are the functions without parameters of transformers' ACT2FN. A few others have a name too, so that a
message can say what a graph computes.

Source: https://github.com/huggingface/transformers, src/transformers/activations.py
"""

from __future__ import annotations

import math
from functools import cache
from itertools import compress
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.sidecar.graph.elementwise import elu, guarded, relu6, selu, sigmoid, softplus, softsign
from bridgeckpt.sidecar.graph.functions import POINTS

if TYPE_CHECKING:
    from bridgeckpt.sidecar.graph.elementwise import Operation
    from bridgeckpt.sidecar.graph.functions import Function, Values

# Differences that count as none, relative above 1. The two GELUs differ by 4.4e-4; with constants of bfloat16, one
# differs by 3.3e-4 from itself.
_EQUAL, _EQUAL_ROUNDED = 2e-5, 6e-4
_SMALL = 4.0  # where a difference between functions matters
_LAPLACE_MEAN, _LAPLACE_DEVIATION = 0.707107, 0.282095
_LEAKY_SLOPE = 0.01  # torch.nn.LeakyReLU
_QUICK_GELU = 1.702


def _gelu(x: float) -> float:
    return 0.5 * x * math.erfc(-x / math.sqrt(2.0))


def _gelu_tanh(x: float) -> float:
    return 0.5 * x * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def _laplace(x: float) -> float:
    return 0.5 * math.erfc((_LAPLACE_MEAN - x) / (_LAPLACE_DEVIATION * math.sqrt(2.0)))


CANDIDATES: dict[str, Operation] = {
    "linear": lambda x: x,
    "gelu": _gelu,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": lambda x: max(x, 0.0),
    "silu": lambda x: x * sigmoid(x),
    "tanh": math.tanh,
    "quick_gelu": lambda x: x * sigmoid(_QUICK_GELU * x),
    "mish": lambda x: x * math.tanh(softplus(x)),
    "relu2": lambda x: max(x, 0.0) ** 2,
    "relu6": relu6,
    "leaky_relu": lambda x: max(x, _LEAKY_SLOPE * x),
    "sigmoid": sigmoid,
    "hardswish": lambda x: x * relu6(x + 3.0) / 6.0,
    "laplace": _laplace,
    "gelu_10": lambda x: min(max(_gelu(x), -10.0), 10.0),
}
# Functions that ACT2FN does not have.
OTHERS: dict[str, Operation] = {"elu": elu, "selu": selu, "softplus": softplus, "softsign": softsign, "exp": math.exp}


class Likeness(NamedTuple):
    """Which candidate a function is like.

    Attributes:
        name: The function that it equals, else the nearest of the candidates.
        is_equal: Whether the function equals it: its values differ by no more than its constants are rounded.
        difference: The largest difference between -4 and 4.
    """

    name: str
    is_equal: bool
    difference: float


def nearest(function: Function) -> Likeness:
    """The candidate that a function is most like."""
    differences = {name: _difference(function.values, values) for name, values in _values().items()}
    name = min(differences, key=differences.__getitem__)
    if differences[name] <= (_EQUAL_ROUNDED if function.is_rounded else _EQUAL):
        return Likeness(name, is_equal=True, difference=differences[name])
    small = [abs(point) <= _SMALL for point in POINTS]
    values = tuple(compress(function.values, small))
    differences = {
        name: max(abs(one - other) for one, other in zip(values, compress(others, small), strict=True))
        for name, others in _values().items()
        if name in CANDIDATES
    }
    name = min(differences, key=differences.__getitem__)
    return Likeness(name, is_equal=False, difference=differences[name])


def scale_of(function: Function) -> float | None:
    """The factor by which a function multiplies each number, 1.0 for the identity; None if it does anything else."""
    factor = function.values[POINTS.index(1.0)]
    limit = _EQUAL_ROUNDED if function.is_rounded else _EQUAL
    scaled = tuple([factor * point for point in POINTS])
    return factor if factor and _difference(function.values, scaled) <= limit * abs(factor) else None


def _difference(values: Values, others: Values) -> float:
    """The largest difference where both are numbers; infinite if that is at fewer than half of the points."""
    pairs = [(one, other) for one, other in zip(values, others, strict=True) if math.isfinite(one + other)]
    if 2 * len(pairs) < len(POINTS):
        return math.inf
    return max(abs(one - other) / max(1.0, abs(other)) for one, other in pairs)


@cache
def _values() -> dict[str, Values]:
    """The values of each function at POINTS."""
    return {name: tuple([guarded(operation, x) for x in POINTS]) for name, operation in (CANDIDATES | OTHERS).items()}

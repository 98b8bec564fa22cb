"""What TensorFlow's elementwise operations compute, on single numbers.

Source: https://github.com/tensorflow/tensorflow, tensorflow/core/ops/{math,nn}_ops.cc
"""

from __future__ import annotations

import math
from collections.abc import Callable

Operation = Callable[..., float]

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

# Operations that change neither a number nor, but for its shape, a tensor; they pass on their first operand.
PASSED = frozenset(
    (
        *(
            "Identity",
            "Reshape",
            "Squeeze",
            "ExpandDims",
            "Transpose",
            "BroadcastTo",
            "Tile",
            "StopGradient",
            "Snapshot",
        ),
        *("PreventGradient", "CheckNumerics", "EnsureShape", "Switch", "RefSwitch", "RefIdentity"),
        "PlaceholderWithDefault",
    )
)
FILLED = {"ZerosLike": 0.0, "OnesLike": 1.0}  # constants of the shape of their operand


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1.0 + math.tanh(0.5 * x))


def softplus(x: float) -> float:
    """log(1 + exp(x)), without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def elu(x: float, alpha: float = 1.0) -> float:
    """Alpha * (exp(x) - 1) below zero."""
    return x if x > 0 else alpha * math.expm1(x)


def selu(x: float) -> float:
    """The scaled ELU, whose outputs keep mean 0 and variance 1."""
    return SELU_SCALE * elu(x, SELU_ALPHA)


def relu6(x: float) -> float:
    """Between 0 and 6."""
    return min(max(x, 0.0), 6.0)


def softsign(x: float) -> float:
    """Between -1 and 1, and straight near 0."""
    return x / (1.0 + abs(x))


def _clip(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


def _select(condition: float, first: float, second: float) -> float:
    return first if condition else second


def _sign(x: float) -> float:
    return float((x > 0) - (x < 0))


_UNARY: dict[str, Operation] = {
    "Neg": lambda x: -x,
    "Abs": abs,
    "Sign": _sign,
    "Square": lambda x: x * x,
    "Sqrt": math.sqrt,
    "Rsqrt": lambda x: 1.0 / math.sqrt(x),
    "Reciprocal": lambda x: 1.0 / x,
    "Inv": lambda x: 1.0 / x,
    "Exp": math.exp,
    "Expm1": math.expm1,
    "Log": math.log,
    "Log1p": math.log1p,
    "Sin": math.sin,
    "Cos": math.cos,
    "Atan": math.atan,
    "Tanh": math.tanh,
    "Sinh": math.sinh,
    "Cosh": math.cosh,
    "Sigmoid": sigmoid,
    "Erf": math.erf,
    "Erfc": math.erfc,
    "Softplus": softplus,
    "Softsign": softsign,
    "Relu": lambda x: max(x, 0.0),
    "Relu6": relu6,
    "Elu": elu,
    "Selu": selu,
    "Floor": math.floor,
    "Ceil": math.ceil,
    "Round": round,
    "Rint": round,
    "LogicalNot": lambda x: not x,
}
_BINARY: dict[str, Operation] = {
    "Add": lambda x, y: x + y,
    "AddV2": lambda x, y: x + y,
    "AddN": lambda *terms: sum(terms),
    "Sub": lambda x, y: x - y,
    "Mul": lambda x, y: x * y,
    "MulNoNan": lambda x, y: x * y if y else 0.0,
    "RealDiv": lambda x, y: x / y,
    "Div": lambda x, y: x / y,
    "DivNoNan": lambda x, y: x / y if y else 0.0,
    "Xdivy": lambda x, y: x / y if x else 0.0,
    "Pow": math.pow,
    "SquaredDifference": lambda x, y: (x - y) ** 2,
    "Maximum": max,
    "Minimum": min,
    "Greater": lambda x, y: x > y,
    "GreaterEqual": lambda x, y: x >= y,
    "Less": lambda x, y: x < y,
    "LessEqual": lambda x, y: x <= y,
    "Equal": lambda x, y: x == y,
    "NotEqual": lambda x, y: x != y,
    "LogicalAnd": lambda x, y: x and y,
    "LogicalOr": lambda x, y: x or y,
}
OPERATIONS = {**_UNARY, **_BINARY, "ClipByValue": _clip, "Select": _select, "SelectV2": _select}


def guarded(operation: Operation, *operands: float) -> float:
    """The result: infinite where it is too large, and not a number where there is none."""
    try:
        return float(operation(*operands))
    except OverflowError:
        return math.inf
    except (ArithmeticError, ValueError):
        return math.nan

"""How a wrong tensor differs from what it should be, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Tensor = Any

# Differences that count as none, as a share of the largest one: how exactly values can be solved for.
TOLERANCES = {"float64": 1e-4, "float32": 0.05}
_FEW = 4


def describe(have: Tensor, want: Tensor, tolerance: float, *, free: bool = False) -> str:
    """What is wrong with a vector: a verb phrase.

    ``free``: a constant added to all elements makes no difference, so ``want`` is known except for a constant.
    """
    if not bool(have.any()):
        return "is all zeros"
    if free:
        want = want - (want - have).median()
    difference = want - have
    size = float(difference.abs().max())
    wrong = (difference.abs() > tolerance * size).nonzero()[:, 0].tolist()
    if len(wrong) <= min(_FEW, len(have) // 2):
        each = "; ".join(f"[{at}] is {float(have[at]):.6g} and should be {float(want[at]):.6g}" for at in wrong)
        return f"is wrong in {'one element' if len(wrong) == 1 else f'{len(wrong)} elements'}: {each}"
    a, b = (have - have.mean(), want - want.mean()) if free else (have, want)
    scale = float(a @ b / b.square().sum()) if bool(b.any()) else 0.0
    if scale and float((a - scale * b).abs().max()) <= tolerance * size:
        return f"is {scale:.6g} times what it should be"
    if not free and float((difference - difference.mean()).abs().max()) <= tolerance * size:
        return f"is off by {-float(difference.mean()):.6g} throughout"
    if float(have.max()) == float(have.min()):
        return f"is {float(have[0]):g} throughout, and should not be"
    return f"is wrong: it differs by up to {size:.3g} from what it should be"


def rows_text(numbers: Sequence[int]) -> str:
    """The rows of a matrix by number: "row 3", "rows 3, 4 and 9", "rows 0, 1, 2 and 97 more"."""
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    if len(numbers) > 2 * _FEW:
        return f"rows {', '.join(map(str, numbers[:_FEW]))} and {len(numbers) - _FEW} more"
    return f"rows {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"

"""Telling rounding from error: how far from the truth a run may be before rounding does not explain it.

**What is compared.** The converted weights have a truth: the PyTorch model in float64, T. PyTorch in float32 is off by
P - T: that is what rounding does to this model on these inputs, measured. TensorFlow's float32 run R rounds as often,
in another order, so R - T has to be about as large; an error of the conversion adds to R - T and not to P - T. A
reference in float64 rounds 2^29 times finer. It is held to P - T times 2^-23: libraries of mathematical functions give
away up to six bits in double precision, and no error of a conversion is that small.

**By itself, or as a whole.** In float32 the error of a whole model grows from layer to layer, now more, now less; deep
in it, it may lie along one direction, and of two runs' errors along one direction no ratio is unlikely. So where the
reference holds the values that a stage was fed, T and P are the stage by itself, fed the same: if every stage by itself
is right, so is the model. A reference in float64 judges the whole. Only if there is neither, as in a reference of a
user's own function, does the whole model in float32 decide.

**The statistic.** For a group g of n numbers (a whole stage; each of its rows, a position; each of its columns, a
feature), x_g is the mean of (R - T)^2 over the group divided by the mean of (P - T)^2 + f^2. f is the rounding of the
result itself, |T| u / sqrt(3) for a unit roundoff u: where P happens to be exact, R may still be off by that.

**The limit.** Were the rounding errors of both runs normal and independent with the same variance in the group, x_g
would follow the F distribution with (n, n) degrees of freedom. They are not quite: neighbours share the error of a
common input, so n is divided by SHARED; a few of them may carry nearly all of the variance, as where an activation
leaves most of a feature at zero, so n is no more than the numbers that matter, 3 (sum v)^2 / sum v^2 of the variances
v, which is n for normal numbers of one variance and 3 for a single one; logits made of few hidden numbers share their
errors, so a row counts no more numbers than the errors have directions (below); and the two frameworks sum in
different orders, with different polynomials for the same function, so that one may round MARGIN times as coarsely as
the other. A group fails when

    sqrt(x_g) > MARGIN sqrt(F),  F the 1 - ALPHA / m quantile of F(n / SHARED, n / SHARED), m the number of groups.

The quantile is bounded in closed form. With a = n / (2 SHARED) >= 1, y = 1 / (1 + F) and the incomplete beta function
I,

    P(x > F) = I_y(a, a) = (1 / B(a, a)) int_0^y t^(a-1) (1-t)^(a-1) dt <= y^a / (a B(a, a)),

since (1-t)^(a-1) <= 1; setting the right side to ALPHA / m and solving for F gives a limit that is never too low.

**Directions.** Let E be the r rows and c columns of P - T, each row and column scaled to the same size, and s its
singular values. For independent errors along d directions (sum s^2)^2 / sum s^4 is about 1 / (1/d + 1/r), from which d
follows; likewise, with c for r, how many independent rows there are, as where deep layers make all positions alike. A
row counts at most d, a column at most the independent rows, and the whole stage no more than r or c times as many.

**False alarms.** Under the assumptions the chance that a correct model fails any of its m groups is at most ALPHA
(Bonferroni), one in a million. The assumptions are the weak part, so they were measured: the largest ratios that
correct models reach, over sizes, depths, seeds and initialisers, are in ``benchmarks/results/faults.md``, and what they
leave of the limit is the evidence for MARGIN.

Source of the distribution: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.6.2 and 26.5.1.
"""

from __future__ import annotations

from functools import cache
from math import exp, lgamma, log, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

ALPHA = 1e-6  # chance of a false alarm in one verification, if rounding errors were normal
MARGIN = 4.0  # how many times as coarsely one implementation may round as the other
SHARED = 2.0  # numbers that share one independent error
# Unit roundoff: half the distance from 1 to the next number.
UNITS = {"float64": 2.0**-53, "float32": 2.0**-24, "tf32": 2.0**-11, "float16": 2.0**-11, "bfloat16": 2.0**-8}
# The unit that a reference is judged by.
REFERENCE_UNITS = {"float64": 2.0**-47, "float32": 2.0**-24}


class Measure(NamedTuple):
    """An error in units of rounding: root mean square, its limit, largest value; and what exceeds its limit the most.

    ``excess`` is the largest ratio to a limit, over the stage, its rows and its columns; more than 1 is more than
    rounding explains. It is that of row ``row`` or of column ``column``, or of all values when both are None.
    """

    rms: float
    limit: float
    peak: float
    excess: float
    row: int | None = None
    column: int | None = None


def measure(error: Array, noise: Array, truth: Array, unit: float, groups: int) -> Measure:
    """Measure ``error`` = R - T.

    Args:
        error: [rows, columns], float64.
        noise: likewise: the distance P - T by rounding, already scaled to the precision of R.
        truth: likewise: T.
        unit: unit roundoff of R.
        groups: how many groups the whole verification compares.
    """
    variance = noise**2 + (truth * unit) ** 2 / 3 + np.finfo(np.float64).tiny
    squares = error**2
    scale = sqrt(float(variance.mean()))
    rows, columns = _directions(noise)
    most = int(min(columns * error.shape[0], rows * error.shape[1]))
    rms, limit = sqrt(float(squares.mean())) / scale, float(_limits(variance.reshape(-1), 0, groups, most))
    largest = Measure(rms=rms, limit=limit, peak=float(np.abs(error).max()) / scale, excess=rms / limit)
    for axis, place, most in ((1, "row", int(columns)), (0, "column", int(rows))):
        if error.shape[axis] in (1, error.size):  # a group of one number, or of all
            continue
        ratios = np.sqrt(squares.mean(axis) / variance.mean(axis)) / _limits(variance, axis, groups, most)
        if ratios.max() > largest.excess:
            index = int(ratios.argmax())
            largest = largest._replace(
                excess=float(ratios.max()),
                row=index if place == "row" else None,
                column=index if place == "column" else None,
            )
    return largest


def _directions(noise: Array) -> tuple[float, float]:
    """How many rows of the errors are independent, and how many columns; at most as many as there are."""
    count, width = noise.shape
    scaled = noise / np.maximum(np.sqrt((noise**2).mean(1, keepdims=True)), np.finfo(np.float64).tiny)
    scaled = scaled / np.maximum(np.sqrt((scaled**2).mean(0, keepdims=True)), np.finfo(np.float64).tiny)
    products = scaled @ scaled.T if count < width else scaled.T @ scaled
    squares = float((products**2).sum())
    if not 0 < squares < np.inf:  # exact, or not finite
        return count, width
    rank = float(np.trace(products)) ** 2 / squares
    columns = rank * count / (count - rank) if rank < count else np.inf
    rows = rank * width / (width - rank) if rank < width else np.inf
    return max(1.0, min(rows, count)), max(1.0, min(columns, width))


def _limits(variance: Array, axis: int, groups: int, most: int) -> Array:
    """The limit of each group along ``axis``, by how many numbers matter in it, which are not more than ``most``."""
    shares = variance / variance.max(axis, keepdims=True)  # of the largest, so that no square underflows
    counts = 3 * shares.sum(axis) ** 2 / (shares**2).sum(axis)
    whole = np.minimum(np.nan_to_num(counts, nan=1.0), min(most, variance.shape[axis])).astype(
        int
    )  # NaN fails at any limit
    distinct, places = np.unique(whole, return_inverse=True)
    limits: Array = np.array([quantile(int(count), groups) for count in distinct])[places].reshape(whole.shape)
    return limits


@cache
def quantile(count: int, groups: int) -> float:
    """The limit of the ratio of root mean squares for a group of ``count`` numbers, one of ``groups`` groups."""
    half = max(1.0, count / SHARED / 2)
    log_beta = 2 * lgamma(half) - lgamma(2 * half)
    y = exp((log(ALPHA / groups) + log(half) + log_beta) / half)
    return MARGIN * sqrt(max(1.0, 1 / y - 1))

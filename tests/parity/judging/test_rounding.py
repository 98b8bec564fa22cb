"""What tells rounding from error: the limit against the distribution, the measure against drawn errors."""

from __future__ import annotations

from math import lgamma, sqrt

import numpy as np
import pytest

from bridgeckpt.parity.judging.rounding import ALPHA, MARGIN, SHARED, UNITS, measure, quantile

UNIT = UNITS["float32"]


def tail(ratio, count):
    """P(F > ratio) for the F distribution with (count / SHARED) degrees of freedom twice, by numerical integration.

    With a = degrees / 2 it is the integral of the beta(a, a) density from 0 to y = 1 / (1 + ratio); t = exp(s).
    """
    a = count / SHARED / 2
    y = 1 / (1 + ratio)
    s = np.linspace(np.log(y) - 60 / a, np.log(y), 200_001)
    density = np.exp(a * s + (a - 1) * np.log1p(-np.exp(s)) - (2 * lgamma(a) - lgamma(2 * a)))
    return float(np.trapezoid(density, s))


@pytest.mark.parametrize("count", [4, 8, 12, 36, 100, 1_000, 20_000])
@pytest.mark.parametrize("groups", [1, 1_000, 100_000])
def test_the_limit_is_never_below_the_quantile(count, groups):
    ratio = (quantile(count, groups) / MARGIN) ** 2
    assert tail(ratio, count) <= ALPHA / groups * (1 + 1e-6)
    if count <= 36:  # and for small groups not far above it
        assert tail(ratio / 1.5, count) > ALPHA / groups / 50


def test_the_tail_above_is_that_of_drawn_ratios():
    rng = np.random.default_rng(0)
    count = 24
    n = int(count / SHARED)
    drawn = rng.chisquare(n, 200_000) / rng.chisquare(n, 200_000)
    assert np.mean(drawn > 3.0) == pytest.approx(tail(3.0, count), rel=0.1)


def test_the_limit_grows_with_the_groups_and_falls_with_their_size():
    assert quantile(36, 10) < quantile(36, 10_000)
    assert quantile(100, 10) < quantile(36, 10)
    assert quantile(10**6, 10**6) == pytest.approx(MARGIN * sqrt(3), rel=0.01)  # the bound's own limit


def drawn(seed, shape=(60, 48), scale=1e-7):
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal(shape)
    return scale * rng.standard_normal(shape), scale * rng.standard_normal(shape), truth


@pytest.mark.parametrize("shape", [(60, 48), (6, 2), (1, 7), (7, 1), (1, 1), (4_000, 8)])
def test_equal_rounding_passes(shape):
    for seed in range(50):
        error, noise, truth = drawn(seed, shape)
        found = measure(error, noise, truth, UNIT, groups=1000)
        assert found.excess < 0.9


def test_figures_are_in_units_of_the_noise():
    error, noise, truth = drawn(0, (500, 400))
    found = measure(2 * error, noise, 0 * truth, UNIT, groups=1)
    assert found.rms == pytest.approx(2, rel=0.02)
    assert found.peak == pytest.approx(2 * np.abs(error).max() / 1e-7, rel=0.02)
    assert found.excess >= found.rms / found.limit


def test_a_feature_that_is_nearly_always_zero_raises_no_false_alarm():
    """As behind a ReLU: one number carries the rounding, and one number's ratio to another is often large."""
    alarms = 0
    for seed in range(300):
        error, noise, truth = drawn(seed)
        kept = np.zeros(truth.shape)
        kept[seed % 60] = 1
        alarms += measure(error * kept, noise * kept, truth * kept, UNIT, groups=1000).excess > 1
    assert alarms == 0


def test_logits_of_few_hidden_numbers_raise_no_false_alarm():
    """A row of a thousand logits made of eight numbers has eight independent errors, and is often off by more."""
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        kernel = rng.standard_normal((8, 1050))
        error, noise = (rng.standard_normal((16, 8)) @ kernel for _ in range(2))
        # One row's errors happen to be small in P and large in R, which eight numbers now and then are.
        noise[3] *= 0.13
        alarms += measure(1e-7 * error, 1e-7 * noise, error * 0, UNIT, groups=5000).excess > 1
    assert alarms == 0


def test_independent_errors_are_seen_as_such():
    """The limit of a wide stage stays what its size makes it, few rows or many."""
    for shape in ((6, 768), (72, 768), (500, 8), (1, 50)):
        found = [measure(*drawn(seed, shape), UNIT, groups=1000).limit for seed in range(20)]
        assert max(found) < 1.35 * quantile(shape[0] * shape[1], 1000), shape


def test_one_wrong_row_and_one_wrong_column_are_named():
    error, noise, truth = drawn(1)
    wrong = error.copy()
    wrong[17] += 3e-6
    found = measure(wrong, noise, truth, UNIT, groups=1000)
    assert found.excess > 1
    assert (found.row, found.column) == (17, None)
    wrong = error.copy()
    wrong[:, 5] += 3e-6
    found = measure(wrong, noise, truth, UNIT, groups=1000)
    assert found.excess > 1
    assert (found.row, found.column) == (None, 5)


def test_a_run_that_happens_to_be_exact_does_not_make_rounding_an_error():
    truth = np.full((20, 10), 0.1)
    error = np.full_like(truth, 0.1 * UNIT)
    assert measure(error, np.zeros_like(truth), truth, UNIT, groups=10).excess < 1
    assert measure(100 * error, np.zeros_like(truth), truth, UNIT, groups=10).excess > 1


def test_nothing_equals_what_is_not_finite():
    error, noise, truth = drawn(2)
    error[3, 4] = np.nan
    assert not measure(error, noise, truth, UNIT, groups=10).excess <= 1

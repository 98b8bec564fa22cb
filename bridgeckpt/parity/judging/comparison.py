"""The reference's runs compared with the truth of the converted weights, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bridgeckpt.parity.judging.pytorch import disagreement
from bridgeckpt.parity.judging.rounding import REFERENCE_UNITS, UNITS, Measure, measure
from bridgeckpt.parity.judging.verdict import StageResult

if TYPE_CHECKING:
    from bridgeckpt.parity.family import Family
    from bridgeckpt.parity.reference.probes import Probe
    from bridgeckpt.parity.reference.reference import Reference

    Array = np.ndarray[Any, np.dtype[Any]]
    Values = Mapping[str, Mapping[str, Array]]  # by probe and stage


class Pass(NamedTuple):
    """What PyTorch computed, by probe and stage.

    ``truth`` and ``rounded`` are the model in float64 and float32. If the folder stores its weights in a narrower dtype
    than the source, ``narrowed`` is the float64 model with each weight moved by as much as that may move it; else it is
    empty.
    """

    truth: Values
    rounded: Values
    narrowed: Values


class Runs(NamedTuple):
    """Everything that PyTorch computed.

    ``free`` is the model as it is. ``local`` is, for each float32 run of the reference, the model with every stage fed
    the values of that run, so that errors do not cascade. ``tested`` is the model in float32 on the chosen device.
    """

    free: Pass
    local: Mapping[str, Pass]
    tested: Values


class Comparison(NamedTuple):
    """One set of values of one stage: the error R - T as [rows, columns], with what belongs to it.

    ``decides``: whether the verdict depends on it. Rounding grows from layer to layer by varying factors, so the
    accumulated error in float32 decides only if there is no sharper test: the stage by itself, or in float64.
    """

    probe: str
    stage: str
    decides: bool
    local: bool
    error: Array
    noise: Array
    truth: Array
    unit: float

    @property
    def groups(self) -> int:
        """How many groups it has: all, each row, each column."""
        return 1 + sum(self.error.shape)


def compare(reference: Reference, runs: Runs, order: Mapping[str, str], family: Family) -> list[StageResult]:
    """Judge every stage that both sides have.

    ``order`` maps each stage to the PyTorch module that computes it, in the order of computation.

    Raises:
        ParityError: the two sides disagree in shape.
    """
    comparisons = list(_comparisons(reference, runs))
    groups = sum(comparison.groups for comparison in comparisons if comparison.decides)
    measures: dict[str, list[tuple[Comparison, Measure]]] = {}
    for comparison in comparisons:
        judged = measure(comparison.error, comparison.noise, comparison.truth, comparison.unit, groups)
        measures.setdefault(comparison.stage, []).append((comparison, judged))
    return [
        _result(stage, module, measures[stage], reference, runs, family)
        for stage, module in order.items()
        if stage in measures
    ]


def _comparisons(reference: Reference, runs: Runs) -> Iterator[Comparison]:
    # Weights stored in a narrower dtype move the truth itself: then float64 is no sharper than float32.
    finest = {} if runs.free.narrowed else reference.runs.get("float64", {})
    for run, probes in reference.runs.items():
        for probe, stages in probes.items():
            for stage, values in stages.items():
                if stage not in runs.free.truth.get(probe, {}):
                    continue
                local = runs.local.get(run)
                by_itself = local is not None and stage in local.truth.get(probe, {})
                sharp = run == "float64" if stage in finest.get(probe, {}) else not by_itself
                yield _comparison(reference, runs.free, run, probe, stage, values)._replace(decides=sharp)
                if local is not None and by_itself:
                    yield _comparison(reference, local, run, probe, stage, values)._replace(local=True)


def _comparison(reference: Reference, made: Pass, run: str, name: str, stage: str, values: Array) -> Comparison:
    unit = REFERENCE_UNITS["float64" if run == "float64" else "float32"]
    probe = reference.probes[name]
    truth = rows(probe, made.truth[name][stage], values, stage)
    noise = (probe.rows(made.rounded[name][stage]) - truth) * (unit / UNITS["float32"])
    if made.narrowed:
        noise = np.hypot(noise, probe.rows(made.narrowed[name][stage]) - truth)
    return Comparison(
        probe=name,
        stage=stage,
        decides=True,
        local=False,
        error=probe.rows(values.astype(np.float64)) - truth,
        noise=noise,
        truth=truth,
        unit=unit,
    )


def rows(probe: Probe, actual: Array, expected: Array, stage: str) -> Array:
    """The rows of PyTorch's values, which must have the reference's shape.

    Raises:
        ParityError: they have another shape.
    """
    if actual.shape != expected.shape:
        raise disagreement(stage, actual.shape, expected.shape)
    return probe.rows(actual)


def _result(
    stage: str,
    module: str,
    measures: list[tuple[Comparison, Measure]],
    reference: Reference,
    runs: Runs,
    family: Family,
) -> StageResult:
    comparison, worst = max((pair for pair in measures if pair[0].decides), key=lambda pair: rank(pair[1].excess))
    single = [pair for pair in measures if pair[0].unit == UNITS["float32"]]
    double = [judged.rms for comparison, judged in measures if comparison.unit != UNITS["float32"]]
    accumulated = [judged.rms for comparison, judged in single if not comparison.local]
    # Shown are the figures of float32: of the stage by itself if known, and of several the nearest to its limit.
    shown = max(single or measures, key=lambda pair: (pair[0].decides, pair[0].local, rank(pair[1].excess)))[1]
    argmax, kl = agreement(reference, runs.tested, stage, family)
    return StageResult(
        name=stage,
        module=module,
        elements=sum(comparison.error.size for comparison, _ in measures if not comparison.local),
        difference=_difference(reference, runs.tested, stage),
        rms=shown.rms,
        peak=shown.peak,
        limit=shown.limit,
        accumulated=max(accumulated, default=None),
        double=max(double, default=None),
        excess=worst.excess,
        where=_where(comparison, worst, reference),
        argmax=argmax,
        kl=kl,
        passed=worst.excess <= 1,
        coarse=family.is_coarse(stage),
    )


def compare_within(
    reference: Reference, tested: Values, order: Mapping[str, str], family: Family, atol: float, rtol: float
) -> list[StageResult]:
    """Judge every stage by |PyTorch - TensorFlow| <= atol + rtol |TensorFlow|; figures are shares of the right side.

    Raises:
        ParityError: the two sides disagree in shape.
    """
    results = []
    for stage, module in order.items():
        shares, difference = [], 0.0
        for probe, expected, actual in _both(reference, tested, stage):
            a, b = probe.rows(expected), rows(probe, actual, expected, stage)
            apart, allowed = np.abs(a - b), atol + rtol * np.abs(a)
            shares.append(np.divide(apart, allowed, out=np.where(apart > 0, np.inf, 0.0), where=allowed > 0))
            difference = max(difference, float(apart.max()))
        if shares:
            each = np.concatenate([share.reshape(-1) for share in shares])
            rms, peak = float(np.sqrt((each**2).mean())), float(each.max())
            argmax, kl = agreement(reference, tested, stage, family)
            results.append(
                StageResult(
                    name=stage,
                    module=module,
                    elements=each.size,
                    difference=difference,
                    rms=rms,
                    peak=peak,
                    limit=1.0,
                    accumulated=None,
                    double=None,
                    excess=peak,
                    where="the largest difference",
                    argmax=argmax,
                    kl=kl,
                    passed=bool(peak <= 1),
                    coarse=family.is_coarse(stage),
                )
            )
    return results


def rank(excess: float) -> float:
    """A key that finds the worst: NaN is worse than every number."""
    return excess if np.isfinite(excess) else np.inf


def _where(comparison: Comparison, worst: Measure, reference: Reference) -> str:
    """What exceeded its limit the most, in words."""
    if worst.row is not None:
        return f"{reference.probes[comparison.probe].place(worst.row, len(comparison.error))} of {comparison.probe}"
    return "all values" if worst.column is None else f"feature {worst.column} of {comparison.probe}"


def _both(reference: Reference, tested: Values, stage: str) -> Iterator[tuple[Probe, Array, Array]]:
    """TensorFlow's values and PyTorch's, from the best run that holds the stage: graph, float32, float64."""
    for name, probe in reference.probes.items():
        for run in ("graph", "float32", "float64"):
            expected = reference.runs.get(run, {}).get(name, {}).get(stage)
            if expected is not None and stage in tested.get(name, {}):
                yield probe, expected.astype(np.float64), tested[name][stage]
                break


def _difference(reference: Reference, tested: Values, stage: str) -> float:
    return max(float(np.abs(probe.rows(a) - probe.rows(b)).max()) for probe, a, b in _both(reference, tested, stage))


def agreement(reference: Reference, tested: Values, stage: str, family: Family) -> tuple[float | None, float | None]:
    """Of logits: the share of rows with the same largest entry, and the largest divergence KL(TensorFlow, PyTorch)."""
    distribution = family.logits.get(stage)
    if distribution is None:
        return None, None
    same, divergences = [], []
    for probe, expected, actual in _both(reference, tested, stage):
        if distribution == "positions":  # one over the positions of a sequence for each feature
            masks = probe.mask if probe.mask is not None else np.ones(expected.shape[:2], bool)
            pairs = [(a[m].T, b[m].T) for a, b, m in zip(expected, actual, masks, strict=True)]
        else:
            pairs = [(probe.rows(expected), probe.rows(actual))]
        for a, b in pairs:
            same.append(a.argmax(-1) == b.argmax(-1))
            p, q = _log_softmax(a), _log_softmax(b)
            divergences.append(float((np.exp(p) * (p - q)).sum(-1).max()))
    return (float(np.concatenate(same).mean()), max(0.0, *divergences)) if same else (None, None)


def _log_softmax(values: Array) -> Array:
    shifted = values - values.max(-1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result

"""False alarms: verifies correct models in every way, and measures how much of the limit their rounding takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fault_cases import LOGITS, STATES, Case, read, reduced

from bridgeckpt.parity.families import diagnose
from bridgeckpt.parity.judging.judge import judge
from bridgeckpt.parity.judging.passes import combined, in_float32, in_float64, what_to_run
from bridgeckpt.parity.judging.rounding import ALPHA, MARGIN, REFERENCE_UNITS, UNITS, measure
from bridgeckpt.parity.verifying import Clock

_CHANCES = (0.1, 0.01, 0.001)

Matrices = tuple[Any, Any, Any, float]  # error, noise and truth, as in `measure`, and the unit roundoff


class Reading(NamedTuple):
    """One test of one model: the share of the limit that it takes, and whether it passes; ``facts`` if it fails."""

    test: str
    share: float
    passed: bool
    facts: Mapping[str, Any] | None


class Ratios(NamedTuple):
    """The stages of one model in one kind of test.

    ``needed`` is, for each stage, the MARGIN with which it would just pass: the largest sqrt(x / F) of its groups.
    ``beyond`` is, for each chance in _CHANCES, the number of stages beyond the limit with MARGIN = 1, if each stage was
    verified alone with that chance of a false alarm.
    """

    test: str
    needed: tuple[float, ...]
    beyond: tuple[int, ...]


def verify_correct(folder: Path, device: str, dtypes: Sequence[str]) -> tuple[list[Reading], list[Ratios]]:
    """Verify the correct case in ``folder`` against its whole reference and against smaller ones."""
    case = read(folder)
    verdict = judge(case.reference, case.subject, device, dtypes, None, Clock(), diagnose)
    results = [("all that `record` writes, float32 and float64", verdict.stages)]
    results += [
        (f"{kind}, float32", judge(smaller, case.subject, "cpu", (), None, Clock(), diagnose).stages)
        for run in ("float32", "graph")
        for probe in ("mixed", "long")
        for kind in (STATES, LOGITS)
        if (smaller := reduced(case.reference, kind, run, probe)) is not None
    ]
    readings = [(test, max(s.excess for s in stages), all(s.passed for s in stages)) for test, stages in results]
    readings += [
        (f"the model in {check.dtype} on {check.device}", check.rms / check.limit, check.passed)
        for check in verdict.devices
    ]
    return [Reading(*reading, None if reading[-1] else case.facts) for reading in readings], list(_ratios(case))


def _ratios(case: Case) -> Iterator[Ratios]:
    for test, matrices in _tests(case).items():
        groups = [1 + sum(error.shape) for error, *_ in matrices]
        needed = (MARGIN * measure(*stage, sum(groups)).excess for stage in matrices)
        beyond = (
            # The limit gives each group the chance ALPHA / m; an m below 1 makes it the chance that is wanted.
            sum(
                MARGIN * measure(*stage, count * ALPHA / chance).excess > 1
                for stage, count in zip(matrices, groups, strict=True)
            )
            for chance in _CHANCES
        )
        yield Ratios(test, tuple(needed), tuple(beyond))


def _tests(case: Case) -> dict[str, list[Matrices]]:
    """The errors of every stage by itself in float32, and of the whole model in float32 and in float64."""
    reference, subject = case.reference, case.subject
    wanted, _ = what_to_run(reference, subject)
    rounded = in_float32(reference, subject, wanted)
    truth, _ = in_float64(reference, subject, wanted, False)
    runs = combined(truth, rounded, None, rounded.free)
    tests: dict[str, list[Matrices]] = {}
    for run, probes in reference.runs.items():
        precision = "float64" if run == "float64" else "float32"
        unit = REFERENCE_UNITS[precision]
        passes = {f"the whole model, {precision}": runs.free}
        if run in runs.local:
            passes[f"a stage by itself, {precision}"] = runs.local[run]
        for test, made in passes.items():
            for name, stages in probes.items():
                rows = reference.probes[name].rows
                for stage in stages.keys() & made.truth.get(name, {}).keys():
                    right = rows(made.truth[name][stage])
                    noise = (rows(made.rounded[name][stage]) - right) * (unit / UNITS["float32"])
                    error = rows(stages[stage].astype(np.float64)) - right
                    tests.setdefault(test, []).append((error, noise, right, unit))
    return tests


def alarm_table(readings: Sequence[Reading]) -> Iterator[str]:
    """The share of the limit that correct models take, as a Markdown table, and every false alarm."""
    yield "| test | verdicts | false alarms | median share of the limit | 99 % | largest |"
    yield "|---|---|---|---|---|---|"
    for test in dict.fromkeys(reading.test for reading in readings):
        of_test = [reading for reading in readings if reading.test == test]
        shares = [reading.share for reading in of_test]
        figures = (np.median(shares), np.quantile(shares, 0.99), max(shares))
        failed = sum(not reading.passed for reading in of_test)
        yield f"| {test} | {len(of_test)} | {failed} | {' | '.join(f'{figure:.2f}' for figure in figures)} |"
    yield ""
    if alarms := [reading for reading in readings if not reading.passed]:
        yield from (f"- false alarm: {alarm.test}, {alarm.share:.3g} of its limit: {alarm.facts}" for alarm in alarms)
        yield ""


def ratio_table(ratios: Sequence[Ratios]) -> Iterator[str]:
    """The distribution of the ratios, with the shares beyond limits for normal errors, as a Markdown table."""
    chances = " | ".join(f"beyond 1 in {1 / chance:,.0f}" for chance in _CHANCES)
    yield f"| test | stages | median | 99 % | 99.9 % | largest | {chances} |"
    yield "|---|---|---|---|---|---|" + "---|" * len(_CHANCES)
    for test in dict.fromkeys(model.test for model in ratios):
        of_test = [model for model in ratios if model.test == test]
        needed = np.concatenate([model.needed for model in of_test])
        figures = [f"{np.quantile(needed, share):.2f}" for share in (0.5, 0.99, 0.999, 1)]
        totals = [sum(counts) for counts in zip(*(model.beyond for model in of_test), strict=True)]
        beyond = [f"{total / len(needed):.2%}" for total in totals]
        yield f"| {test} | {len(needed)} | {' | '.join(figures + beyond)} |"

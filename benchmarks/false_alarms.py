"""False alarms: correct models verified in every way there is, and how much of the limit their rounding takes."""

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
    """One test of one model: the share of its limit that it takes, and whether it passes; ``facts`` if it does not."""

    test: str
    share: float
    passed: bool
    facts: Mapping[str, Any] | None


class Ratios(NamedTuple):
    """The stages of one model in one kind of test.

    ``needed`` is for each stage what MARGIN would have to be for it to pass: sqrt(x / F), the largest of its groups.
    ``beyond`` is, for each of a few chances, how many stages exceed the limit that MARGIN = 1 would give a verification
    of this stage alone with that chance of a false alarm.
    """

    test: str
    needed: tuple[float, ...]
    beyond: tuple[int, ...]


def verify_correct(folder: Path, device: str, dtypes: Sequence[str]) -> tuple[list[Reading], list[Ratios]]:
    """Verify the case in ``folder``, which is correct, by all it recorded and by less."""
    case = read(folder)
    verdict = judge(case.reference, case.subject, device, dtypes, None, Clock(), diagnose)
    found = [("all that `record` writes, float32 and float64", verdict.stages)]
    found += [
        (f"{kind}, float32", judge(less, case.subject, "cpu", (), None, Clock(), diagnose).stages)
        for run in ("float32", "graph")
        for probe in ("mixed", "long")
        for kind in (STATES, LOGITS)
        if (less := reduced(case.reference, kind, run, probe)) is not None
    ]
    readings = [(test, max(s.excess for s in stages), all(s.passed for s in stages)) for test, stages in found]
    readings += [
        (f"the model in {one.dtype} on {one.device}", one.rms / one.limit, one.passed) for one in verdict.devices
    ]
    return [Reading(*one, None if one[-1] else case.facts) for one in readings], list(_ratios(case))


def _ratios(case: Case) -> Iterator[Ratios]:
    for test, matrices in _tests(case).items():
        groups = [1 + sum(error.shape) for error, *_ in matrices]
        needed = (MARGIN * measure(*one, sum(groups)).excess for one in matrices)
        beyond = (
            # The limit's chance for each group is ALPHA / m; an m below 1 gives it the chance that is asked for.
            sum(
                MARGIN * measure(*one, own * ALPHA / chance).excess > 1
                for one, own in zip(matrices, groups, strict=True)
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
    found: dict[str, list[Matrices]] = {}
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
                    found.setdefault(test, []).append((error, noise, right, unit))
    return found


def alarm_table(readings: Sequence[Reading]) -> Iterator[str]:
    """The share of the limit that correct models take, as a Markdown table, and every false alarm."""
    yield "| test | verdicts | false alarms | median share of the limit | 99 % | largest |"
    yield "|---|---|---|---|---|---|"
    for test in dict.fromkeys(one.test for one in readings):
        these = [one for one in readings if one.test == test]
        shares = [one.share for one in these]
        figures = (np.median(shares), np.quantile(shares, 0.99), max(shares))
        failed = sum(not one.passed for one in these)
        yield f"| {test} | {len(these)} | {failed} | {' | '.join(f'{figure:.2f}' for figure in figures)} |"
    yield ""
    if alarms := [one for one in readings if not one.passed]:
        yield from (*(f"- false alarm: {one.test}, {one.share:.3g} of its limit: {one.facts}" for one in alarms), "")


def ratio_table(ratios: Sequence[Ratios]) -> Iterator[str]:
    """How the ratios are distributed, beside what normal errors would do, as a Markdown table."""
    chances = " | ".join(f"beyond 1 in {1 / chance:,.0f}" for chance in _CHANCES)
    yield f"| test | stages | median | 99 % | 99.9 % | largest | {chances} |"
    yield "|---|---|---|---|---|---|" + "---|" * len(_CHANCES)
    for test in dict.fromkeys(one.test for one in ratios):
        these = [one for one in ratios if one.test == test]
        needed = np.concatenate([one.needed for one in these])
        figures = [f"{np.quantile(needed, at):.2f}" for at in (0.5, 0.99, 0.999, 1)]
        beyond = [f"{sum(one.beyond[at] for one in these) / len(needed):.2%}" for at in range(len(_CHANCES))]
        yield f"| {test} | {len(needed)} | {' | '.join(figures + beyond)} |"

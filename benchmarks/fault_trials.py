"""Injects each fault: what it changes, and whether it is caught, located and named; with tables of the results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from fault_cases import LOGITS, STATES, Case, read, reduced
from fault_kinds import Fault, all_faults

from bridgeckpt.parity.bert.stages import HEADS
from bridgeckpt.parity.families import diagnose
from bridgeckpt.parity.family import layer_of
from bridgeckpt.parity.judging.comparison import compare
from bridgeckpt.parity.judging.judge import judge
from bridgeckpt.parity.judging.passes import combined, in_float32, in_float64, what_to_run
from bridgeckpt.parity.judging.rounding import UNITS
from bridgeckpt.parity.verifying import Clock

if TYPE_CHECKING:
    from bridgeckpt.parity.judging.verdict import Verdict
    from bridgeckpt.parity.reference.reference import Reference

FULL = "all that `record` writes"
# What a fault changes in the model's values, in float64.
SAME, BELOW, INNER, HIDDEN, SHOWN = "nothing", "less than rounding", "inner values", "hidden states", "logits"
_NOISE = 1e-6  # times the rounding of float32: the size of float64's own rounding
_BANDS = (1.0, 4.0, 16.0, 64.0, np.inf)  # sizes of a change, as multiples of the rounding of float32
_READS_POOLER = ("nsp_logits", "logits")


class Outcome(NamedTuple):
    """The result for one fault and one kind of reference.

    Attributes:
        moved: The change of the values in the reference, as a multiple of the rounding of float32.
        caught: Whether the verdict fails.
        located: Whether the verdict names the wrong stage, or the first stage after it that the reference holds; None
            without a diagnosis.
        named: Whether the diagnosis blames the parameter or the config key.
        proven: Whether undoing the blamed change was tried and helped.
        described: The stage and the cause in the diagnosis.
    """

    moved: float
    caught: bool
    located: bool | None = None
    named: bool = False
    proven: bool = False
    described: str = "passes"


class Trial(NamedTuple):
    """The results for one fault, by the kind of reference."""

    initialiser: str
    kind: str
    subject: str
    effect: str
    outcomes: Mapping[str, Outcome]


def inject(folder: Path, device: str, part: int, parts: int) -> list[Trial]:
    """Inject every fault whose number is ``part`` modulo ``parts`` into the case in ``folder``."""
    case = read(folder)
    references = {
        FULL: case.reference,
        STATES: reduced(case.reference, STATES),
        LOGITS: reduced(case.reference, LOGITS),
    }
    wanted, _ = what_to_run(case.reference, case.subject)
    rounded = in_float32(case.reference, case.subject, wanted).free
    truth = in_float64(case.reference, case.subject, wanted, False)[0].free
    trials = []
    for fault in all_faults(case.subject)[part::parts]:
        with fault.faulty() as subject:
            wrong = in_float64(case.reference, subject, wanted, False)[0].free
            moved = _moved(truth, rounded, wrong, case)
            outcomes = {
                kind: _outcome(kind, fault, case._replace(subject=subject, reference=reference), device, moved)
                for kind, reference in references.items()
                if reference is not None
            }
        trials.append(Trial(case.facts["initialiser"], fault.kind, fault.subject, _effect(moved), outcomes))
    return trials


def _moved(truth: Any, rounded: Any, wrong: Any, case: Case) -> dict[tuple[str, str], float]:
    """By probe and stage: the largest change of a row, root mean square, in units of the stage's float32 rounding."""
    moved = {}
    for name, stages in truth.items():
        rows = case.reference.probes[name].rows
        for stage, values in stages.items():
            right = rows(values)
            noise = np.mean((rows(rounded[name][stage]) - right) ** 2 + (right * UNITS["float32"]) ** 2 / 3)
            change = np.max(np.mean((rows(wrong[name][stage]) - right) ** 2, axis=1))
            moved[name, stage] = float(np.sqrt(change / noise))
    return moved


def _effect(moved: Mapping[tuple[str, str], float]) -> str:
    def largest(*endings: str) -> float:
        return max((by for (_, stage), by in moved.items() if stage.endswith(endings)), default=0.0)

    if largest("logits") >= 1:
        return SHOWN
    if largest("embeddings", ".output", "pooler") >= 1:
        return HIDDEN
    return INNER if max(moved.values()) >= 1 else BELOW if max(moved.values()) > _NOISE else SAME


def _outcome(kind: str, fault: Fault, case: Case, device: str, moved: Mapping[tuple[str, str], float]) -> Outcome:
    reference, subject = case.reference, case.subject
    held = {stage for probes in reference.runs.values() for stages in probes.values() for stage in stages}
    strength = max(by for (probe, stage), by in moved.items() if probe in reference.probes and stage in held)
    if kind == LOGITS:  # no diagnosis: with logits alone, many causes are possible
        return Outcome(strength, not _agrees(reference, case))
    verdict = judge(reference, subject, device, (), None, Clock(), diagnose)
    diagnosis = verdict.diagnosis
    if verdict.passed or diagnosis is None:
        return Outcome(strength, not verdict.passed, None if verdict.passed else False, described=_describe(verdict))
    stages = {shown for stage in fault.stages for shown in _first_shown(stage, held)}
    return Outcome(
        strength,
        True,
        bool(stages & {verdict.first, diagnosis.stage}),
        diagnosis.parameter in fault.named or any(word in diagnosis.cause for word in fault.words),
        diagnosis.proven,
        _describe(verdict),
    )


def _first_shown(stage: str, held: set[str]) -> set[str]:
    """The first stages of those ``held`` in a reference that a wrong stage makes wrong."""
    if stage in held:
        return {stage}
    if (layer := layer_of(stage)) is not None:
        return {f"layer.{layer}.output"}
    return {"mlm_logits"} if stage == "transform" else set(_READS_POOLER)


def _agrees(reference: Reference, case: Case) -> bool:
    """Whether the case passes; without a diagnosis."""
    wanted, _ = what_to_run(reference, case.subject)
    rounded = in_float32(reference, case.subject, wanted)
    truth, _ = in_float64(reference, case.subject, wanted, False)
    results = compare(
        reference, combined(truth, rounded, None, rounded.free), {stage: stage for stage in HEADS}, case.subject.family
    )
    return all(result.passed for result in results)


def _describe(verdict: Verdict) -> str:
    diagnosis = verdict.diagnosis
    return f"{verdict.first}: {diagnosis.cause}" if diagnosis else "; ".join(verdict.failures)


def matrix(trials: Sequence[Trial]) -> Iterator[str]:
    """The fault matrix of one initialiser as a Markdown table."""
    yield f"| fault | injected | {SAME} | {BELOW} | {INNER} | {HIDDEN} | {SHOWN} | caught | located | named | proven |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for kind in [*dict.fromkeys(trial.kind for trial in trials), None]:
        of_kind = [trial for trial in trials if kind in (None, trial.kind)]
        effects = Counter(trial.effect for trial in of_kind)
        caught = [trial.outcomes[FULL] for trial in of_kind if trial.outcomes[FULL].caught]
        cells = [len(of_kind), *(effects[effect] for effect in (SAME, BELOW, INNER, HIDDEN, SHOWN)), len(caught)]
        cells += [sum(getattr(outcome, result) for outcome in caught) for result in ("located", "named", "proven")]
        yield f"| {kind or 'all'} | {' | '.join(map(str, cells))} |"


def by_reference(trials: Sequence[Trial]) -> Iterator[str]:
    """The results of each kind of reference, by the size of the change in its values, as a Markdown table."""
    names = [f"{low:g} to {high:g}" for low, high in pairwise(_BANDS[:-1])] + [f"above {_BANDS[-2]:g}"]
    yield f"| reference | {' | '.join(names)} | located | named | proven |"
    yield "|---|" + "---|" * (len(names) + 3)
    for kind in (FULL, STATES, LOGITS):
        outcomes = [trial.outcomes[kind] for trial in trials if kind in trial.outcomes]
        caught = [outcome for outcome in outcomes if outcome.caught]
        bands = [[outcome for outcome in outcomes if low <= outcome.moved < high] for low, high in pairwise(_BANDS)]
        cells = [f"{sum(outcome.caught for outcome in band)} of {len(band)}" for band in bands]
        counts = [sum(bool(getattr(outcome, key)) for outcome in caught) for key in ("located", "named", "proven")]
        cells += ["", "", ""] if kind == LOGITS else [f"{count} of {len(caught)}" for count in counts]
        yield f"| {kind} | {' | '.join(cells)} |"


def misses(trials: Sequence[Trial]) -> Iterator[str]:
    """Faults that a whole reference should show, but that were missed, located elsewhere or named wrongly."""
    for trial in trials:
        outcome = trial.outcomes[FULL]
        miss = _miss(trial, outcome) or ("under another name" if outcome.caught and not outcome.named else None)
        if miss:
            fault = f"{trial.initialiser}, {trial.kind}, {trial.subject}; moves {trial.effect}"
            yield f"- {miss}: {fault}{f': {outcome.described}' if outcome.caught else ''}"


def coarse_misses(trials: Sequence[Trial], kind: str) -> Iterator[str]:
    """Faults that a smaller reference of this kind missed or located elsewhere; one line for each kind of fault."""
    missed: dict[str, list[Trial]] = {}
    for trial in trials:
        if kind in trial.outcomes and (miss := _miss(trial, trial.outcomes[kind])):
            missed.setdefault(f"- {miss}: {trial.initialiser}, {trial.kind}", []).append(trial)
    for heading, alike in missed.items():
        moved = [trial.outcomes[kind].moved for trial in alike]
        subjects = Counter(trial.subject for trial in alike)
        named = ", ".join(f"{name} ({count} models)" if count > 1 else name for name, count in subjects.items())
        yield f"{heading}: {len(alike)}, moved by {min(moved):.2g} to {max(moved):.2g} times the rounding: {named}"


def _miss(trial: Trial, outcome: Outcome) -> str | None:
    """What is wrong with an outcome, or None."""
    if trial.effect == SAME:
        return "caught although it changes nothing" if outcome.caught else None
    if not outcome.caught:
        return "not caught" if outcome.moved >= 1 else None
    return None if outcome.located is not False else "at another stage"

"""What becomes of each fault: what it changes, and whether it is caught, located and named; with the tables of that."""

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
# What a fault does, in float64, to what the model computes.
SAME, BELOW, INNER, HIDDEN, SHOWN = "nothing", "less than rounding", "inner values", "hidden states", "logits"
_NOISE = 1e-6  # of float32's rounding: so much is float64's own
_BANDS = (1.0, 4.0, 16.0, 64.0, np.inf)  # times the rounding of float32 that a fault moves something
_READS_POOLER = ("nsp_logits", "logits")


class Outcome(NamedTuple):
    """What a reference of one kind showed of a fault.

    Attributes:
        moved: By how many times the rounding of float32 the fault moves what the reference holds.
        caught: Whether the verdict fails.
        located: Whether it names the stage that is wrong, or the first after it that the reference holds; None if a
            cause was not looked for.
        named: Whether it blames the parameter or the config key.
        proven: Whether undoing what it blames was tried and helped.
        found: The stage and the cause that it told.
    """

    moved: float
    caught: bool
    located: bool | None = None
    named: bool = False
    proven: bool = False
    found: str = "passes"


class Trial(NamedTuple):
    """What became of one fault, by the kind of reference."""

    initialiser: str
    kind: str
    subject: str
    effect: str
    outcomes: Mapping[str, Outcome]


def inject(folder: Path, device: str, part: int, parts: int) -> list[Trial]:
    """Every fault whose number is ``part`` modulo ``parts``, injected into the case in ``folder``."""
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
    found = {}
    for name, stages in truth.items():
        rows = case.reference.probes[name].rows
        for stage, values in stages.items():
            right = rows(values)
            noise = np.mean((rows(rounded[name][stage]) - right) ** 2 + (right * UNITS["float32"]) ** 2 / 3)
            change = np.max(np.mean((rows(wrong[name][stage]) - right) ** 2, axis=1))
            found[name, stage] = float(np.sqrt(change / noise))
    return found


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
    if kind == LOGITS:  # a cause is not looked for: of logits alone, any of many can be it
        return Outcome(strength, not _agrees(reference, case))
    verdict = judge(reference, subject, device, (), None, Clock(), diagnose)
    found = verdict.diagnosis
    if verdict.passed or found is None:
        return Outcome(strength, not verdict.passed, None if verdict.passed else False, found=_told(verdict))
    stages = {seen for stage in fault.stages for seen in _seen(stage, held)}
    return Outcome(
        strength,
        True,
        bool(stages & {verdict.first, found.stage}),
        found.parameter in fault.named or any(word in found.cause for word in fault.words),
        found.proven,
        _told(verdict),
    )


def _seen(stage: str, held: set[str]) -> set[str]:
    """Where a stage that is wrong shows first in a reference that holds these."""
    if stage in held:
        return {stage}
    if (layer := layer_of(stage)) is not None:
        return {f"layer.{layer}.output"}
    return {"mlm_logits"} if stage == "transform" else set(_READS_POOLER)


def _agrees(reference: Reference, case: Case) -> bool:
    """The verdict without a search for the cause."""
    wanted, _ = what_to_run(reference, case.subject)
    rounded = in_float32(reference, case.subject, wanted)
    truth, _ = in_float64(reference, case.subject, wanted, False)
    results = compare(
        reference, combined(truth, rounded, None, rounded.free), {stage: stage for stage in HEADS}, case.subject.family
    )
    return all(result.passed for result in results)


def _told(verdict: Verdict) -> str:
    found = verdict.diagnosis
    return f"{verdict.first}: {found.cause}" if found else "; ".join(verdict.failures)


def matrix(trials: Sequence[Trial]) -> Iterator[str]:
    """The fault matrix of one initialiser as a Markdown table."""
    yield f"| fault | injected | {SAME} | {BELOW} | {INNER} | {HIDDEN} | {SHOWN} | caught | located | named | proven |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for kind in [*dict.fromkeys(trial.kind for trial in trials), None]:
        these = [trial for trial in trials if kind in (None, trial.kind)]
        effects = Counter(trial.effect for trial in these)
        caught = [trial.outcomes[FULL] for trial in these if trial.outcomes[FULL].caught]
        cells = [len(these), *(effects[effect] for effect in (SAME, BELOW, INNER, HIDDEN, SHOWN)), len(caught)]
        cells += [sum(getattr(one, right) for one in caught) for right in ("located", "named", "proven")]
        yield f"| {kind or 'all'} | {' | '.join(map(str, cells))} |"


def by_reference(trials: Sequence[Trial]) -> Iterator[str]:
    """What each kind of reference shows, by how far the fault moves what the reference holds, as a Markdown table."""
    names = [f"{low:g} to {high:g}" for low, high in pairwise(_BANDS[:-1])] + [f"above {_BANDS[-2]:g}"]
    yield f"| reference | {' | '.join(names)} | located | named | proven |"
    yield "|---|" + "---|" * (len(names) + 3)
    for kind in (FULL, STATES, LOGITS):
        outcomes = [trial.outcomes[kind] for trial in trials if kind in trial.outcomes]
        caught = [one for one in outcomes if one.caught]
        within = [[one for one in outcomes if low <= one.moved < high] for low, high in pairwise(_BANDS)]
        cells = [f"{sum(one.caught for one in these)} of {len(these)}" for these in within]
        told = [sum(bool(getattr(one, right)) for one in caught) for right in ("located", "named", "proven")]
        cells += ["", "", ""] if kind == LOGITS else [f"{count} of {len(caught)}" for count in told]
        yield f"| {kind} | {' | '.join(cells)} |"


def misses(trials: Sequence[Trial]) -> Iterator[str]:
    """What a whole reference should have shown, and was missed, located elsewhere or called something else."""
    for trial in trials:
        one = trial.outcomes[FULL]
        wrong = _wrong(trial, one) or ("under another name" if one.caught and not one.named else None)
        if wrong:
            told = f"{trial.initialiser}, {trial.kind}, {trial.subject}; moves {trial.effect}"
            yield f"- {wrong}: {told}{f': {one.found}' if one.caught else ''}"


def coarse_misses(trials: Sequence[Trial], kind: str) -> Iterator[str]:
    """What a smaller reference of this kind missed or located elsewhere, a line for each kind of fault."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        if kind in trial.outcomes and (wrong := _wrong(trial, trial.outcomes[kind])):
            found.setdefault(f"- {wrong}: {trial.initialiser}, {trial.kind}", []).append(trial)
    for told, these in found.items():
        moved = [trial.outcomes[kind].moved for trial in these]
        subjects = Counter(trial.subject for trial in these)
        named = ", ".join(f"{name} ({count} models)" if count > 1 else name for name, count in subjects.items())
        yield f"{told}: {len(these)}, moved by {min(moved):.2g} to {max(moved):.2g} times the rounding: {named}"


def _wrong(trial: Trial, one: Outcome) -> str | None:
    if trial.effect == SAME:
        return "caught although it changes nothing" if one.caught else None
    if not one.caught:
        return "not caught" if one.moved >= 1 else None
    return None if one.located is not False else "at another stage"

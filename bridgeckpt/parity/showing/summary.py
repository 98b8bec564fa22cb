"""What is shown of a verdict, and in which words: the rows of its tables and its findings, for text and page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from math import inf, isnan
from typing import TYPE_CHECKING, Literal, NamedTuple

from bridgeckpt.parity.family import layer_name, layer_of, part_of
from bridgeckpt.parity.showing.figures import counted, number, share

if TYPE_CHECKING:
    from bridgeckpt.parity.judging.verdict import Diagnosis, StageResult, Verdict

Outcome = Literal["ok", "DIVERGES", "follows"]
Fact = tuple[str, str]  # a key and its text

_ROUNDINGS = "max, rms, limit and drift count roundings of float32, as measured here"
_DOUBLE = "float64 is that of everything up to the stage in float64, in roundings of its own; the limit is the same"
_TOLERANCES = "max, rms and limit are shares of the tolerance"
_DRIFT = "drift is that of everything up to the stage, where rms is of the stage by itself"
_FOLLOWS = "what follows is wrong because of what came before it, not by itself"

_GRAVEST: tuple[Outcome, ...] = ("DIVERGES", "follows", "ok")
_FOLDED = 4  # this many similar layers, or more, become one row
_HASH = 12  # hexadecimal digits
_WORTH_SHOWING = 0.1  # seconds


class StageRow(NamedTuple):
    """One row of the table: a stage, or several layers with the figures of their worst stage."""

    name: str
    stage: StageResult
    outcome: Outcome


def outcome(stage: StageResult, verdict: Verdict) -> Outcome:
    """Whether a stage agrees, is wrong by itself, or is wrong only because its input is."""
    if stage.passed:
        return "ok"
    if verdict.diagnosis is None:  # nothing says which stages are wrong by themselves
        return "DIVERGES"
    by_themselves = (verdict.first, verdict.diagnosis.stage, *verdict.diagnosis.others)
    return "DIVERGES" if stage.name in by_themselves else "follows"


def rows(verdict: Verdict, *, every: bool = False) -> list[StageRow]:
    """The table: a row for each coarse stage and each that diverges; similar layers are folded into one row.

    The layer of the first failure and its neighbours have their own rows. With ``every`` each stage has a row.
    """
    rows = [StageRow(stage.name, stage, outcome(stage, verdict)) for stage in verdict.stages]
    if every:
        return rows
    shown = [row for row in rows if row.stage.coarse or row.outcome == "DIVERGES"]
    layers = [(layer, list(group)) for layer, group in groupby(shown, key=lambda row: layer_of(row.name))]
    apart = {near for at in _starts(verdict) for near in (at - 1, at, at + 1)}
    folded: list[StageRow] = []
    for _, run in groupby(layers, key=lambda pair: _alike(pair[0], pair[1], apart)):
        folded += _fold(list(run), verdict)
    return folded


def _starts(verdict: Verdict) -> Iterator[int]:
    for stage in (verdict.first, verdict.diagnosis and verdict.diagnosis.stage):
        layer = layer_of(stage) if stage else None
        if layer is not None:
            yield layer


def _alike(layer: int | None, group: list[StageRow], apart: set[int]) -> object:
    """A key that is equal for neighbouring layers that may share a row."""
    if layer is None or layer in apart:
        return group[0].name
    return [(part_of(row.name), row.outcome) for row in group]


def _fold(run: list[tuple[int | None, list[StageRow]]], verdict: Verdict) -> list[StageRow]:
    members = [row for _, group in run for row in group]
    if len(run) < _FOLDED:
        return members
    layers = [layer for layer, _ in run if layer is not None]
    outcomes = {row.outcome for row in members}
    return [
        StageRow(
            f"{layer_name(layers[0])} to {layer_name(layers[-1])}",
            worst([stage for stage in verdict.stages if layer_of(stage.name) in layers]),
            next(candidate for candidate in _GRAVEST if candidate in outcomes),
        )
    ]


def worst(stages: Sequence[StageResult]) -> StageResult:
    """The stage furthest beyond its limit, or nearest to it; one that is not a number is the furthest."""
    return max(stages, key=lambda stage: inf if isnan(stage.excess) else stage.excess)


def units(verdict: Verdict, *, double: bool = True) -> list[str]:
    """The units of the figures in the table; ``double``: and of those in float64, if there are any."""
    notes = [_TOLERANCES if "tolerance" in verdict.provenance else _ROUNDINGS]
    if any(stage.accumulated is not None for stage in verdict.stages):
        notes.append(_DRIFT)
    if double and any(stage.double is not None for stage in verdict.stages):
        notes.append(_DOUBLE)
    if any(outcome(stage, verdict) == "follows" for stage in verdict.stages):
        notes.append(_FOLLOWS)
    return notes


def facts(verdict: Verdict) -> list[Fact]:
    """What was compared with what."""
    facts: list[Fact] = []
    model = {key: value for key, value in verdict.provenance.items() if not isinstance(value, Mapping)}
    for key, value in {**verdict.provenance, "model": model}.items():
        if isinstance(value, Mapping):
            facts += provenance(key, value)
    numbers = sum(stage.elements for stage in verdict.stages)
    facts.append(("compared", f"{counted(len(verdict.stages), 'stage')}, {counted(numbers, 'number')}"))
    return facts


def provenance(key: str, values: Mapping[str, object]) -> Iterator[Fact]:
    """Where something is from, on one line; nested mappings have lines of their own."""
    plain = {name: value for name, value in values.items() if not isinstance(value, Mapping)}
    parts = [_described(name, value) for name, value in plain.items() if value not in (None, "", False)]
    if parts:
        yield key, ", ".join(parts)
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from provenance(name, value)


def _described(name: str, value: object) -> str:
    """``torch 2.9``; a long hash is cut, as git does; a large number has separators."""
    if name == "fingerprint":
        return f"{name} {str(value)[:_HASH]}"
    if value is True:
        return name
    return f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"


def findings(verdict: Verdict) -> list[Fact]:
    """The verdict in words: why it passed or failed, the first failure, what is to blame, the notes."""
    findings: list[Fact] = []
    if verdict.passed:
        findings.append(("PASS", _why_passed(verdict)))
    findings += [("FAIL", reason) for reason in verdict.failures]
    if not verdict.passed and not verdict.failures:
        findings.append(("FAIL", "something that was compared does not agree"))
    failed = "\n".join(verdict.failures)
    findings += [("unproven", why) for why in verdict.assumed.values() if why not in failed]
    for stage in verdict.stages:
        if stage.name == verdict.first:
            findings.append(("first", _first(stage)))
    if verdict.diagnosis:
        findings += _blame(verdict.diagnosis, verdict.first)
    findings += [("note", note) for note in verdict.notes]
    if verdict.seconds:
        steps = [f"{step} {taken:.1f} s" for step, taken in verdict.seconds.items() if taken >= _WORTH_SHOWING]
        findings.append(("took", ", ".join([f"{sum(verdict.seconds.values()):.1f} s", *steps])))
    return findings


def _why_passed(verdict: Verdict) -> str:
    text = f"all {counted(len(verdict.stages), 'stage')} agree within their limits"
    if not verdict.stages:
        return f"{text}{_but(verdict)}"
    nearest = worst(verdict.stages)
    return f"{text}; {nearest.name} comes nearest, at {share(nearest.excess)} of its limit{_but(verdict)}"


def _but(verdict: Verdict) -> str:
    if not verdict.unproven:
        return ""
    are, they = ("is", "it") if len(verdict.unproven) == 1 else ("are", "them")
    return f"; but {' and '.join(verdict.unproven)} {are} not proven, for both sides only assume {they}"


def _first(stage: StageResult) -> str:
    return f"{stage.name} ({stage.module}): {stage.where}, {number(stage.excess)} times the limit"


def _blame(diagnosis: Diagnosis, first: str | None) -> Iterator[Fact]:
    at = "" if diagnosis.stage == first else f"{diagnosis.stage}: "
    proof = "proven: undoing it removes the difference" if diagnosis.proven else "not proven"
    yield "cause", f"{at}{diagnosis.cause} ({proof})"
    if diagnosis.parameter:
        yield "parameter", diagnosis.parameter
    if diagnosis.variable:
        yield "variable", f"{diagnosis.variable} (TensorFlow)"
    yield "remedy", diagnosis.remedy
    if diagnosis.others:
        yield "also", f"wrong by themselves: {', '.join(diagnosis.others)}"

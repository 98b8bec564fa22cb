"""The report of a warm start: for each variable what it starts from, or why it keeps its initial value."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import BridgeckptError, Problem
from bridgeckpt.warmstart.renaming import advice
from bridgeckpt.wording import fold, shape_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Shape = tuple[int, ...] | None

_SHOWN = 8  # lines of a kind: a checkpoint of another model may share nothing with the program
_LIKE = 300  # names among which the nearest one is looked for


class Match(NamedTuple):
    """A variable that starts from the checkpoint: its name, its shape, and the stored tensors that it is made of."""

    variable: str
    shape: Shape
    sources: tuple[str, ...]


class Mismatch(NamedTuple):
    """A variable whose tensor has another shape.

    ``source`` is the tensor, of ``found``; it would have to be of ``needed``, which is ``shape``, the variable's own,
    unless axes are in another order there.
    """

    variable: str
    shape: Shape
    source: str
    found: tuple[int, ...]
    needed: tuple[int, ...]


class Unmatched(NamedTuple):
    """A variable that the checkpoint has nothing for: the name that was looked for, and the reason if there is more."""

    variable: str
    shape: Shape
    wanted: str
    reason: str | None


class WarmStartReport(NamedTuple):
    """What a warm start sets, and what it does not.

    ``how`` says how the checkpoint's names were understood. ``new`` are variables that were declared to have no value
    there. ``unused`` are tensors of the checkpoint that no variable starts from, without the optimizer state beside
    those that one does, of which there are ``slots``. ``available`` are all names that could have been asked for.
    """

    checkpoint: Path
    how: str
    matched: tuple[Match, ...]
    mismatched: tuple[Mismatch, ...]
    unmatched: tuple[Unmatched, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]
    slots: int
    available: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every variable starts from the checkpoint, but those that were declared new."""
        return bool(self.matched) and not self.mismatched and not self.unmatched

    @property
    def with_a_tensor(self) -> tuple[str, ...]:
        """The variables that the checkpoint has a tensor for, of the right shape or not."""
        return (*(one.variable for one in self.matched), *(one.variable for one in self.mismatched))

    @property
    def advice(self) -> str | None:
        """The ``scope`` or ``renames``, instead of those given, by which more variables would be found; or None."""
        asked = [one.variable for one in self.unmatched if one.reason is None]
        return advice(asked, self.available, more_than=len(self.matched))

    def nearest(self, name: str, n: int = 2) -> list[str]:
        """The names of the checkpoint most like ``name``, best first."""
        from difflib import SequenceMatcher, get_close_matches  # only for messages

        last = name.rpartition("/")[2]
        available = [other for other in self.available if other != name]
        alike = [other for other in available if other.endswith(("/" + name, "/" + last)) or other == last]
        alike.sort(key=lambda other: -SequenceMatcher(None, name, other).quick_ratio())
        ends = [other for other in alike if other.endswith("/" + name) or name.endswith("/" + other)]
        return (ends or get_close_matches(name, alike[:_LIKE] or available[:_LIKE], n))[:n]

    @property
    def summary(self) -> str:
        """One line: how many variables start from which checkpoint."""
        asked = len(self.matched) + len(self.mismatched) + len(self.unmatched) + len(self.new)
        return f"warm start: {len(self.matched)} of {asked} variables from {self.checkpoint}, {self.how}"

    @property
    def warning(self) -> str:
        """The summary, and the variables that keep their initial values."""
        lines = [f"{self.summary}; these keep their initial values:", *_shown(self.problems)]
        if (advice := self.advice) is not None:
            lines.append(f"  {'hint':<10} {advice}")
        return "\n".join(lines)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The variables that do not start from the checkpoint and were not declared new, folded over layers."""
        return (*self._mismatches(), *self._unmatches())

    def __str__(self) -> str:
        """The whole report, as text for people."""
        lines = [self.summary]
        lines += _listed("set", [one.variable for one in self.matched])
        lines += _shown(self.problems)
        lines += _listed("new", list(self.new))
        lines += _listed("unused", list(self.unused))
        if self.slots:
            lines.append(f"  {'unused':<10} {self.slots} tensors of optimizer state")
        lines += [f"  {'note':<10} {note}" for note in self.notes]
        return "\n".join(lines)

    def _mismatches(self) -> Iterator[Problem]:
        by_name = {one.variable: one for one in self.mismatched}
        for folded, names in fold(by_name):
            one = by_name[names[0]]
            same = one.needed == one.shape
            there = f"{one.source} is {shape_text(one.found)}"
            detail = there if same else f"{there}, and would have to be {shape_text(one.needed)}"
            yield Problem("shape", f"{folded} {_text(one.shape)}", (detail,), None, tuple(names))

    def _unmatches(self) -> Iterator[Problem]:
        by_name = {one.variable: one for one in self.unmatched}
        for at, (folded, names) in enumerate(fold(by_name)):
            one = by_name[names[0]]
            details = (one.reason,) if one.reason else self._not_there(one) if at < _SHOWN else ()
            yield Problem("unmatched", f"{folded} {_text(one.shape)}", details, None, tuple(names))

    def _not_there(self, one: Unmatched) -> tuple[str, ...]:
        near = self.nearest(one.wanted)
        renamed = f"{one.wanted} is " if one.wanted != one.variable else ""
        told = f"{renamed}not there" + (f"; the nearest: {', '.join(near)}" if near else "")
        return (told,) if near or renamed else ()


class WarmStartError(BridgeckptError):
    """A warm start that is refused; ``report`` has the details of each variable, where it came to one."""

    def __init__(self, message: str, report: WarmStartReport | None = None, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.report = report


def check(report: WarmStartReport, *, strict: bool | None, hint: str | None = None) -> None:
    """Refuse a warm start.

    None refuses what cannot be meant: nothing is found, or a tensor has another shape than its variable. True refuses
    a variable without a value as well. False refuses nothing. ``hint`` takes the place of the one that fits most.

    Raises:
        WarmStartError: with every variable that is to blame and the nearest names.
    """
    if strict is False or report.complete:
        return
    if not report.matched and not report.mismatched and not report.unmatched:
        heading = f"nothing would be warm-started: all {len(report.new)} variables are declared new"
        hint = hint or "new= names those alone that are to keep their initial values"
    elif not report.matched and not report.mismatched:
        heading = f"nothing would be warm-started: {report.checkpoint} has none of the variables"
    elif strict or report.mismatched or not report.matched:
        asked = len(report.matched) + len(report.mismatched) + len(report.unmatched)
        unfit = len(report.mismatched) + (len(report.unmatched) if strict or not report.matched else 0)
        heading = f"{report.checkpoint} does not fit {unfit} of {asked} variables"
    else:
        return
    kinds = ("shape", "unmatched") if strict or not report.matched else ("shape",)
    lines = [heading, "", *_shown([problem for problem in report.problems if problem.kind in kinds])]
    lines += [f"  {'note':<10} {note}" for note in report.notes]
    raise WarmStartError("\n".join(lines), report, hint=hint or report.advice or _hint(report))


def _hint(report: WarmStartReport) -> str:
    if report.matched:
        return "is it the checkpoint of this model? new= declares the variables that are to keep their initial values"
    return "is it the checkpoint of this model? scope= and renames= say where its variables have other names"


def _text(shape: Shape) -> str:
    return "of unknown shape" if shape is None else shape_text(shape)


def _shown(problems: Sequence[Problem]) -> list[str]:
    lines = []
    for problem in problems[:_SHOWN]:
        lines.append(f"  {problem.kind:<10} {problem.subject}")
        lines += [" " * 13 + line for line in problem.explanation]
    return [*lines, *_more(len(problems))]


def _listed(kind: str, names: list[str]) -> list[str]:
    folded = [spelled for spelled, _ in fold(names)]
    lines = [f"  {'' if at else kind:<10} {spelled}" for at, spelled in enumerate(folded[:_SHOWN])]
    return [*lines, *_more(len(folded))]


def _more(count: int) -> list[str]:
    return [f"  {'':<10} and {count - _SHOWN} more lines like these"] if count > _SHOWN else []

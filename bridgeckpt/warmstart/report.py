"""The report of a warm start, and the refusal: what each variable starts from, or why it keeps its initial value."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import BridgeckptError, Problem
from bridgeckpt.sentences import joined
from bridgeckpt.warmstart.renaming import advice
from bridgeckpt.wording import fold, shape_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Shape = tuple[int, ...] | None

_SHOWN = 8  # lines of one kind: a checkpoint of another model may share nothing with the program
_COMPARED = 300  # names among which the nearest one is searched


class Match(NamedTuple):
    """A variable that starts from the checkpoint: its name, its shape, and the names of the stored tensors it needs."""

    variable: str
    shape: Shape
    sources: tuple[str, ...]


class Mismatch(NamedTuple):
    """A variable whose tensor has another shape.

    ``source`` is the tensor and ``found`` its shape. ``needed`` is the shape that would fit. It equals ``shape``, the
    variable's own, unless the checkpoint has the axes in another order.
    """

    variable: str
    shape: Shape
    source: str
    found: tuple[int, ...]
    needed: tuple[int, ...]


class Unmatched(NamedTuple):
    """A variable without a value in the checkpoint: the name ``wanted`` there, and a reason other than its absence."""

    variable: str
    shape: Shape
    wanted: str
    reason: str | None


class WarmStartReport(NamedTuple):
    """What a warm start sets, and what it does not.

    Attributes:
        checkpoint: The path of the checkpoint.
        how: How the checkpoint's names were understood, as text.
        matched: The variables that start from the checkpoint.
        mismatched: The variables whose tensor has another shape.
        unmatched: The variables without a value in the checkpoint.
        new: The variables that the caller declared new.
        unused: The tensors of the checkpoint that no variable starts from, without optimizer state.
        slots: The number of unused tensors of optimizer state.
        available: All names of the checkpoint that could have been asked for.
        notes: Remarks, for example on a damaged companion file.
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
        """Whether every variable that was not declared new starts from the checkpoint."""
        return bool(self.matched) and not self.mismatched and not self.unmatched

    @property
    def with_a_tensor(self) -> tuple[str, ...]:
        """The variables that the checkpoint has a tensor for, of the right shape or not."""
        return (*(match.variable for match in self.matched), *(mismatch.variable for mismatch in self.mismatched))

    @property
    def advice(self) -> str | None:
        """A ``scope`` or ``renames`` that would find more variables than the given ones; None if there is none."""
        missing = [unmatched.variable for unmatched in self.unmatched if unmatched.reason is None]
        return advice(missing, self.available, more_than=len(self.matched))

    def nearest(self, name: str, n: int = 2) -> list[str]:
        """At most ``n`` names of the checkpoint: those that are most like ``name``, the best first."""
        from difflib import SequenceMatcher, get_close_matches  # only for messages

        last = name.rpartition("/")[2]
        available = [other for other in self.available if other != name]
        alike = [other for other in available if other.endswith(("/" + name, "/" + last)) or other == last]
        alike.sort(key=lambda other: -SequenceMatcher(None, name, other).quick_ratio())
        ends = [other for other in alike if other.endswith("/" + name) or name.endswith("/" + other)]
        return (ends or get_close_matches(name, alike[:_COMPARED] or available[:_COMPARED], n))[:n]

    @property
    def summary(self) -> str:
        """One line: how many variables start from which checkpoint."""
        count = len(self.matched) + len(self.mismatched) + len(self.unmatched) + len(self.new)
        return f"warm start: {len(self.matched)} of {count} variables from {self.checkpoint}, {self.how}"

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
        lines += _listed("set", [match.variable for match in self.matched])
        lines += _shown(self.problems)
        lines += _listed("new", list(self.new))
        lines += _listed("unused", list(self.unused))
        if self.slots:
            lines.append(f"  {'unused':<10} {self.slots} tensors of optimizer state")
        lines += [f"  {'note':<10} {note}" for note in self.notes]
        return "\n".join(lines)

    def _mismatches(self) -> Iterator[Problem]:
        by_name = {mismatch.variable: mismatch for mismatch in self.mismatched}
        for folded, names in fold(by_name):
            first = by_name[names[0]]
            detail = f"{first.source} is {shape_text(first.found)}"
            if first.needed != first.shape:
                detail += f", and would have to be {shape_text(first.needed)}"
            yield Problem("shape", f"{folded} {_text(first.shape)}", (detail,), None, tuple(names))

    def _unmatches(self) -> Iterator[Problem]:
        by_name = {unmatched.variable: unmatched for unmatched in self.unmatched}
        for row, (folded, names) in enumerate(fold(by_name)):
            first = by_name[names[0]]
            details = (first.reason,) if first.reason else self._absence(first) if row < _SHOWN else ()
            yield Problem("unmatched", f"{folded} {_text(first.shape)}", details, None, tuple(names))

    def _absence(self, unmatched: Unmatched) -> tuple[str, ...]:
        """A line that says which name is not there, if it is not the variable's, and which are near; or no line."""
        near = self.nearest(unmatched.wanted)
        other_name = f"{unmatched.wanted} is " if unmatched.wanted != unmatched.variable else ""
        line = f"{other_name}not there" + (f"; the nearest: {', '.join(near)}" if near else "")
        return (line,) if near or other_name else ()


class WarmStartError(BridgeckptError):
    """A warm start is refused. ``report`` has the details of each variable, None if there was no report yet."""

    def __init__(self, message: str, report: WarmStartReport | None = None, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.report = report


def check(report: WarmStartReport, *, strict: bool | None, hint: str | None = None) -> None:
    """Refuse a warm start that ``strict`` does not allow.

    Args:
        report: What would be set.
        strict: None refuses obvious mistakes: no variable has a value, or a tensor has another shape than its variable.
            True also refuses a variable without a value. False refuses nothing.
        hint: The hint of the error, in place of the usual one.

    Raises:
        WarmStartError: the warm start is refused. The message names every such variable and the nearest names.
    """
    if strict is False or report.complete:
        return
    if not report.matched and not report.mismatched and not report.unmatched:
        heading = f"nothing would be warm-started: all {len(report.new)} variables are declared new"
        hint = hint or "new= is for the variables that keep their initial values, not for all"
    elif not report.matched and not report.mismatched:
        heading = f"nothing would be warm-started: {report.checkpoint} has none of the variables"
    elif strict or report.mismatched or not report.matched:
        count = len(report.matched) + len(report.mismatched) + len(report.unmatched)
        unfit = len(report.mismatched) + (len(report.unmatched) if strict or not report.matched else 0)
        heading = f"{report.checkpoint} does not fit {unfit} of {count} variables"
    else:
        return
    kinds = ("shape", "unmatched") if strict or not report.matched else ("shape",)
    lines = [heading, "", *_shown([problem for problem in report.problems if problem.kind in kinds])]
    lines += [f"  {'note':<10} {note}" for note in report.notes]
    raise WarmStartError(joined("\n", lines), report, hint=hint or report.advice or _hint(report))


def _hint(report: WarmStartReport) -> str:
    if report.matched:
        return "is it the checkpoint of this model? new= declares the variables that keep their initial values"
    return "is it the checkpoint of this model? scope= and renames= are for variables that have other names there"


def _text(shape: Shape) -> str:
    return "of unknown shape" if shape is None else shape_text(shape)


def _shown(problems: Sequence[Problem]) -> list[str]:
    lines: list[str] = []
    for problem in problems[:_SHOWN]:
        lines.append(joined("", (f"  {problem.kind:<10} ", problem.subject)))
        lines += [joined("", (" " * 13, line)) for line in problem.explanation]
    return [*lines, *_more(len(problems))]


def _listed(kind: str, names: list[str]) -> list[str]:
    folded = [text for text, _ in fold(names)]
    lines = [f"  {'' if row else kind:<10} {text}" for row, text in enumerate(folded[:_SHOWN])]
    return [*lines, *_more(len(folded))]


def _more(count: int) -> list[str]:
    return [f"  {'':<10} and {count - _SHOWN} more lines like these"] if count > _SHOWN else []

"""The report of a warm start, and the refusal: what each variable starts from, or why it keeps its initial value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import BridgeckptError, Problem
from bridgeckpt.sentences import joined
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
        warnings: What may be wrong about the variables that start from the checkpoint.
        body: The unmatched and mismatched variables that belong to the model's body, not to its heads.
        choices: Options that choose one of several models, if the program or the checkpoint holds several.
        inside: The unused tensors inside layers that variables start from: the checkpoint's layers compute more.
        advice: Other options of a warm start that were tried and find more variables; None if there are none.
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
    body: tuple[str, ...] = ()
    choices: tuple[Mapping[str, Any], ...] = ()
    inside: tuple[str, ...] = ()
    advice: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every variable that was not declared new starts from the checkpoint."""
        return bool(self.matched) and not self.mismatched and not self.unmatched

    @property
    def with_a_value(self) -> tuple[str, ...]:
        """The variables that start from the checkpoint."""
        return tuple(match.variable for match in self.matched)

    @property
    def with_a_tensor(self) -> tuple[str, ...]:
        """The variables that the checkpoint has a tensor for, of the right shape or not."""
        return (*self.with_a_value, *(mismatch.variable for mismatch in self.mismatched))

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
        """The summary, the variables that keep their initial values, what the layers lack, and what may be wrong."""
        lines = [self.summary + ("; these keep their initial values:" if self.problems else "")]
        lines += shown(self.problems)
        lines += self._lines_inside()
        lines += [f"  {'warning':<10} {text}" for text in self.warnings]
        if self.advice is not None:
            lines.append(f"  {'hint':<10} {self.advice}")
        return "\n".join(lines)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The variables that do not start from the checkpoint and were not declared new, folded over layers."""
        return (*self._mismatches(), *self._unmatches())

    def __str__(self) -> str:
        """The whole report, as text for people."""
        lines = [self.summary]
        lines += _listed("set", [match.variable for match in self.matched])
        lines += shown(self.problems)
        lines += _listed("new", list(self.new))
        lines += self._lines_inside()
        lines += _listed("unused", [name for name in self.unused if name not in self.inside])
        if self.slots:
            lines.append(f"  {'unused':<10} {self.slots} tensors of optimizer state")
        lines += [f"  {'note':<10} {note}" for note in self.notes]
        lines += [f"  {'warning':<10} {text}" for text in self.warnings]
        return "\n".join(lines)

    def _lines_inside(self) -> list[str]:
        if not self.inside:
            return []
        what = "the layers of the checkpoint have these too, and those of the program compute without them:"
        return [f"  {'unused':<10} {what}", *_listed("", list(self.inside))]

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


def _text(shape: Shape) -> str:
    return "of unknown shape" if shape is None else shape_text(shape)


def shown(problems: Sequence[Problem]) -> list[str]:
    """The lines of problems, the first of them only."""
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

"""The error report of a refused conversion, which shows all problems of its plan; and what a look at evidence found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.sentences import Sentence, joined

_SHOWN = 4  # subjects of one cause that a problem lists

if TYPE_CHECKING:
    from bridgeckpt.errors import Problem


class Judged(NamedTuple):
    """What a look at the evidence found: reasons to refuse, and what is told."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def lines_of(problems: Sequence[Problem]) -> list[Sentence]:
    """Each problem on a line, without its details. A hint that consecutive problems share is shown once, below them."""
    lines: list[Sentence] = []
    for problem, following in zip_longest(problems, problems[1:]):
        lines.append(joined("", (f"{problem.kind:<10} ", problem.subject)))
        if problem.hint and (following is None or following.hint != problem.hint):
            lines.append(joined("", (" " * 11, "hint: ", problem.hint)))
    return lines


def merged(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """The problems with those of one cause made one: they are of one kind, and one hint settles all.

    The details are those of the first; ``tensors`` are those of all.
    """
    causes: dict[object, list[Problem]] = {}
    for number, problem in enumerate(problems):
        causes.setdefault((problem.kind, problem.hint) if problem.hint else number, []).append(problem)
    return tuple(_one(alike) for alike in causes.values())


def _one(alike: Sequence[Problem]) -> Problem:
    if len(alike) == 1:
        return alike[0]
    subjects: list[str] = list(dict.fromkeys(problem.subject for problem in alike))
    separator = ", " if all(" " not in subject for subject in subjects) else "; "
    subject = joined(separator, subjects[:_SHOWN])
    if len(subjects) > _SHOWN:
        subject = joined("", (subject, f" and {len(subjects) - _SHOWN} more"))
    details = next((problem.details for problem in alike if problem.details), ())
    tensors = dict.fromkeys(name for problem in alike for name in problem.tensors)
    return alike[0]._replace(subject=subject, details=details, tensors=tuple(tensors))


def render(heading: str, problems: Sequence[Problem]) -> Sentence:
    """A heading, then every problem. An explanation that consecutive problems share is shown once, below the last."""
    count = f"{len(problems)} problem{'s' * (len(problems) != 1)}"
    lines: list[str] = [f"{heading} ({count})", ""]
    for problem, following in zip_longest(problems, problems[1:]):
        lines.append(joined("", (f"  {problem.kind:<10} ", problem.subject)))
        if following is None or (following.kind, following.explanation) != (problem.kind, problem.explanation):
            lines += [joined("", (" " * 13, line)) for line in problem.explanation]
    return joined("\n", lines)

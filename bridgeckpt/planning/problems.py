"""The error report of a refused conversion, which shows all problems of its plan."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from bridgeckpt.sentences import Sentence, joined

if TYPE_CHECKING:
    from bridgeckpt.errors import Problem


def lines_of(problems: Sequence[Problem]) -> list[Sentence]:
    """Each problem on a line, without its details. A hint that consecutive problems share is shown once, below them."""
    lines: list[Sentence] = []
    for problem, following in zip_longest(problems, problems[1:]):
        lines.append(joined("", (f"{problem.kind:<10} ", problem.subject)))
        if problem.hint and (following is None or following.hint != problem.hint):
            lines.append(joined("", (" " * 11, "hint: ", problem.hint)))
    return lines


def render(heading: str, problems: Sequence[Problem]) -> Sentence:
    """A heading, then every problem. An explanation that consecutive problems share is shown once, below the last."""
    count = f"{len(problems)} problem{'s' * (len(problems) != 1)}"
    lines: list[str] = [f"{heading} ({count})", ""]
    for problem, following in zip_longest(problems, problems[1:]):
        lines.append(joined("", (f"  {problem.kind:<10} ", problem.subject)))
        if following is None or (following.kind, following.explanation) != (problem.kind, problem.explanation):
            lines += [joined("", (" " * 13, line)) for line in problem.explanation]
    return joined("\n", lines)

"""Why a conversion is refused: the problems of a plan, folded over layers, and the report that shows them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bridgeckpt.sentences import Sentence, joined

if TYPE_CHECKING:
    from bridgeckpt.errors import Problem


def render(heading: str, problems: Sequence[Problem]) -> Sentence:
    """The error report: a heading, then every problem; an explanation that several share stands below the last."""
    count = f"{len(problems)} problem{'s' * (len(problems) != 1)}"
    lines: list[str] = [f"{heading} ({count})", ""]
    for problem, following in zip(problems, [*problems[1:], None], strict=True):
        lines.append(joined("", (f"  {problem.kind:<10} ", problem.subject)))
        if following is None or (following.kind, following.explanation) != (problem.kind, problem.explanation):
            lines += [joined("", (" " * 13, line)) for line in problem.explanation]
    return joined("\n", lines)

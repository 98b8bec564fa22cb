"""Why a conversion is refused: the problems of a plan, folded over layers, and the report that shows them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridgeckpt.errors import Problem


def render(heading: str, problems: Sequence[Problem]) -> str:
    """The error report: a heading, then every problem; an explanation that several share stands below the last."""
    count = f"{len(problems)} problem{'s' * (len(problems) != 1)}"
    lines = [f"{heading} ({count})", ""]
    for problem, following in zip(problems, [*problems[1:], None], strict=True):
        lines.append(f"  {problem.kind:<10} {problem.subject}")
        if following is None or (following.kind, following.explanation) != (problem.kind, problem.explanation):
            lines += [" " * 13 + line for line in problem.explanation]
    return "\n".join(lines)

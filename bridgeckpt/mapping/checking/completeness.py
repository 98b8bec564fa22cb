"""Is a converted model complete: does every parameter that a checkpoint may lack have a value when the class is loaded?

transformers draws a parameter at random if a file lacks it. So a row may be optional only for a buffer that the model
rebuilds, and a group only if the class can be loaded without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.mapping.notation.errors import LintProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridgeckpt.mapping.tables.records import Table


def check_optional(table: Table) -> Iterator[LintProblem]:
    """A problem for each optional row, and each optional group of a class, without which the class is not complete."""
    model = table.model
    for row in table.rows:
        if row.optional and not model.derives(row.pt):
            yield LintProblem(
                "optional",
                f"{row.pt[0].text} would be drawn at random if {row.tf[0].text} is absent",
                str(row.where),
                "make the row required; or list a buffer that the model rebuilds as [[derived]] in the model table",
            )
    for architecture in model.architectures.values():
        for group in architecture.optional:
            if group not in architecture.load_without:
                yield LintProblem(
                    "optional",
                    f"{architecture.name} would draw the group {group} at random if it is absent",
                    str(model.path),
                    "say in load_without with which arguments the class is loaded without it, or move it to groups",
                )

"""The lint of ``[[ignored]]``: a tensor of the model itself is never ignored, because hidden states depend on it.

This looks at patterns. What a checkpoint has is looked at when its conversion is planned.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridgeckpt.mapping.notation.errors import LintProblem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bridgeckpt.mapping.tables.records import Table

_ANYWHERE = re.compile(r"\*\*/|\{[^}]*\}")  # in front of a pattern
_NUMBER = re.compile(r"\d+")


def ignored_parts(table: Table) -> Iterator[LintProblem]:
    """A problem for each pattern that covers, or is inside, a folder of the model without a head."""
    bare = table.model.bare
    heads = _names(table, (name for name in table.groups if name not in (*bare.groups, *bare.optional)))
    parts = _names(table, bare.groups)
    optional = [name for name in _names(table, bare.optional) if "/" in name]
    folders = [
        name[: place + 1]
        for name in parts
        for place, character in enumerate(name)
        if character == "/" and not any(head.startswith(name[: place + 1]) for head in heads)
    ]
    for entry in table.ignored:
        front = _ANYWHERE.match(entry.pattern)
        body = _NUMBER.sub("0", entry.pattern[front.end() if front else 0 :].removesuffix("**"))
        rest = entry.pattern.endswith("**")
        if front is None:
            covers = rest and any(name.startswith(body) for name in parts)
            may_lack = any(name.startswith(body) or body.startswith(_folder(name)) for name in optional)
            is_part = covers or (not may_lack and any(body.startswith(folder) for folder in folders))
        else:
            first = body[: body.find("/") + 1]
            is_part = bool(first) and any(
                f"/{folder}".endswith(f"/{first}") or (rest and f"/{body}" in f"/{folder}") for folder in folders
            )
        if is_part:
            yield LintProblem(
                "ignored-part",
                f'"{entry.pattern}" ignores tensors in the folders of {table.name}\'s rows for the model itself',
                str(table.path),
                "without one of its parts a model computes something else; ignore what is outside, by its whole path",
            )


def _names(table: Table, groups: Iterable[str]) -> list[str]:
    """The names in the rows of groups; every number in them is 0."""
    values: dict[str, int | str] = {**table.wildcards, **dict.fromkeys(table.model.indices, 0)}
    rows = [row for name in groups if name in table.groups for row in table.groups[name].rows]
    return [_NUMBER.sub("0", template.render(values)) for row in rows for template in row.tf]


def _folder(name: str) -> str:
    return name[: name.rfind("/") + 1]

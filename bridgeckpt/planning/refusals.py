"""What a table recognises and says that no class of transformers computes: variants of a model, and heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import PlanError, Problem
from bridgeckpt.planning.problems import render
from bridgeckpt.sentences import Sentence, Setting
from bridgeckpt.wording import fold

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.mapping.tables.records import Table


def refuse_variants(table: Table, checkpoint: Checkpoint) -> None:
    """See that the checkpoint holds none of the tensors that ``[[refused]]`` of the table names.

    Raises:
        PlanError: it does; ``problems`` holds each reason with its tensors.
    """
    found: dict[str, list[str]] = {}
    for name in checkpoint.tensors if table.refused else ():
        if entry := next((entry for entry in table.refused if entry.matches(name)), None):
            found.setdefault(entry.reason, []).append(name)
    if found:
        problems = [Problem("refused", _folded(names), (why,), None, tuple(names)) for why, names in found.items()]
        raise PlanError(render(f"{table.name} cannot convert {checkpoint.path}", problems), problems)


def refused_heads(table: Table, architecture: Architecture, present: Collection[str]) -> list[Problem]:
    """The groups there that ``architecture`` takes and of which the table says that it computes something else."""
    groups = [table.groups[name] for name in architecture.groups if name in present]
    bare = min(table.model.architectures.values(), key=lambda a: len(a.groups))
    return [
        Problem(
            "refused",
            f"group {group.name} of {architecture.name}",
            (group.refused,),
            Sentence(
                "{bare} converts the rest, and reports this group as excluded", bare=Setting("architecture", bare.name)
            ),
        )
        for group in groups
        if group.refused is not None
    ]


def _folded(names: Iterable[str]) -> str:
    return ", ".join(text for text, _ in fold(names))

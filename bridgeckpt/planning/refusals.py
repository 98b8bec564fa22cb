"""Variants and heads of a model that a table recognises, but that no class of transformers computes."""

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
    """Refuse a checkpoint with tensors that the table lists under ``[[refused]]``.

    Raises:
        PlanError: There are such tensors; ``problems`` holds each reason with its tensors.
    """
    by_reason: dict[str, list[str]] = {}
    for name in checkpoint.tensors if table.refused else ():
        if entry := next((entry for entry in table.refused if entry.matches(name)), None):
            by_reason.setdefault(entry.reason, []).append(name)
    if by_reason:
        problems = [Problem("refused", _folded(names), (why,), None, tuple(names)) for why, names in by_reason.items()]
        raise PlanError(render(f"{table.name} cannot convert {checkpoint.path}", problems), problems)


def refused_heads(table: Table, architecture: Architecture, present: Collection[str]) -> list[Problem]:
    """A problem for each present group of ``architecture`` that the class computes differently, by the table."""
    groups = [table.groups[name] for name in architecture.groups if name in present]
    return [
        Problem(
            "refused",
            f"group {group.name} of {architecture.name}",
            (group.refused,),
            Sentence(
                "{bare} converts the rest, and reports this group as excluded",
                bare=Setting("architecture", table.model.bare.name),
            ),
        )
        for group in groups
        if group.refused is not None
    ]


def _folded(names: Iterable[str]) -> str:
    return ", ".join(text for text, _ in fold(names))

"""Tensors that no row of the table reads: what training left, copies, ignored tensors, and unknown ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from bridgeckpt.errors import Problem
from bridgeckpt.wording import fold, listed, shape_text

if TYPE_CHECKING:
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.formats.training.state import TrainingState
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.planning.account.ledger import Ledger, SourceState
    from bridgeckpt.store.tensors import TensorInfo

_PART = re.compile(r"/part_\d+\Z")


def classify_remaining(
    table: Table,
    checkpoint: Checkpoint,
    training: TrainingState,
    sources: dict[str, SourceState],
    reasons: dict[str, str],
) -> list[Problem]:
    """Give every tensor without a state one, in ``sources`` and ``reasons``; returns the problems.

    ``sources`` maps names to states. ``reasons`` says why a tensor is ignored, or what it is a copy of.
    ``training`` is what training left. A table may add ``[slots]`` of other forms.
    """
    tensors, copies = checkpoint.tensors, checkpoint.copies
    slots = [
        (before, after)
        for templates in table.slots.values()
        for template in templates
        for before, _, after in [template.text.partition("{tf}")]
    ]
    wrong: dict[str, str] = {}
    for name, info in tensors.items():
        if name in sources:
            continue
        if name in copies:
            sources[name] = "copy"
            reasons[name] = f"the same variable as {copies[name]}"
        elif name in training.slots or name in training.averages:
            sources[name] = "slot" if name in training.slots else "average"
        elif weight := _weight_of(name, slots, sources):
            sources[name] = "slot"
            if weight in tensors and info.shape != tensors[weight].shape:
                wrong[name] = weight
        elif entry := next((entry for entry in table.ignored if entry.matches(name)), None):
            sources[name] = "ignored"
            reasons[name] = entry.reason
        elif name in training.bookkeeping:
            sources[name], reasons[name] = "bookkeeping", training.bookkeeping[name]
        else:
            sources[name] = "unmapped"  # until :mod:`unknown` has looked at it
    return _wrong_slots(wrong, tensors)


def told_by_form(training: TrainingState, ledger: Ledger) -> Iterator[str]:
    """What to tell about optimizer state whose name is not known: it was taken by its form."""
    for form, names in training.by_form.items():
        left = [name for name in names if ledger.sources[name] == "slot"]
        if left:
            yield (
                f"{len(left)} tensors {form} are left out as optimizer state, because of their names and shapes alone: "
                f"{listed((text for text, _ in fold(left)), 2)}"
            )


def _weight_of(name: str, slots: list[tuple[str, str]], sources: Mapping[str, SourceState]) -> str | None:
    """The weight that ``name`` is a slot of: a variable of the checkpoint, or a part of one (``/part_0``).

    Some optimizers name their state after each part of a partitioned variable, for instance google-research/bert's.
    """
    for before, after in slots:
        if name.startswith(before) and name.endswith(after):
            weight = name[len(before) : len(name) - len(after)]
            if weight in sources or _PART.sub("", weight) in sources:
                return weight
    return None


def _wrong_slots(wrong: Mapping[str, str], tensors: Mapping[str, TensorInfo]) -> list[Problem]:
    problems = []
    for folded, names in fold(wrong):
        weight = wrong[names[0]]
        subject = f"{folded} is {shape_text(tensors[names[0]].shape)}"
        detail = f"it is optimizer state of {weight}, which is {shape_text(tensors[weight].shape)}"
        problems.append(Problem("shape", subject, (detail,), None, tuple(names)))
    return problems

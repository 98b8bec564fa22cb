"""Inspecting a checkpoint without reading a tensor: format, dialect, class, sizes, slots, and tensors by family."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

from bridgeckpt.converting.report import decided, sized
from bridgeckpt.errors import BridgeckptError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.options import PlanOptions, checked
from bridgeckpt.planning.dialect import refuse_models_without_table
from bridgeckpt.planning.plan import draft
from bridgeckpt.wording import fold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.planning.record import Plan
    from bridgeckpt.store.tensors import TensorInfo


class FoldedTensors(NamedTuple):
    """Tensors that differ only in a number in their names: folded name, count, dtype, shape, and state in the plan."""

    name: str
    tensors: int
    dtype: str
    shape: tuple[int, ...]
    state: str


class Inspection(NamedTuple):
    """The result of :func:`inspect`.

    If no plan can be made, ``plan`` is None and ``refusal`` says why. ``incomplete`` is the error about data files that
    are missing, cut short or pointers of Git LFS: then no tensor can be read.
    """

    checkpoint: Checkpoint
    plan: Plan | None
    refusal: BridgeckptError | None
    families: tuple[FoldedTensors, ...]
    incomplete: BridgeckptError | None = None

    @property
    def slots(self) -> dict[str, int]:
        """The number of tensors of each kind of optimizer state, by the last part of their names."""
        return self._counted("slot")

    @property
    def averages(self) -> dict[str, int]:
        """The number of moving averages that would not be converted, likewise."""
        return self._counted("average")

    def _counted(self, state: str) -> dict[str, int]:
        names = [name for name, own in _states(self.plan, self.checkpoint).items() if own == state]
        if not names:
            return {}
        training = self.checkpoint.training_state()
        known = {**training.slots, **training.averages}
        return dict(Counter(known[name].name if name in known else name.rpartition("/")[2] for name in names))

    @property
    def writer(self) -> str | None:
        """The program that wrote the checkpoint, according to the graph beside it."""
        return self.plan.graph.writer if self.plan and self.plan.graph else None

    def record(self) -> dict[str, Any]:
        """The inspection as JSON-ready values."""
        plan, checkpoint = self.plan, self.checkpoint
        return {
            "checkpoint": str(checkpoint.path),
            "format": checkpoint.format,
            "writer": self.writer,
            "bytes": checkpoint.nbytes,
            "dialect": plan.table.name if plan else None,
            "scope": dict(plan.wildcards) if plan else None,
            "architecture": plan.architecture.name if plan else None,
            "sizes": sized(plan) if plan else None,
            "config": decided(plan) if plan else None,
            "slots": self.slots,
            "averages": self.averages,
            "notes": list(plan.notes if plan else checkpoint.remarks),
            "warnings": list(plan.warnings) if plan else [],
            "unproven": list(plan.unproven) if plan else [],
            "problems": [problem.record() for problem in plan.problems] if plan else None,
            "incomplete": self.incomplete.message if self.incomplete else None,
            "refusal": self.refusal.message if self.refusal else None,
            "tensors": [family._asdict() for family in self.families],
        }


@checked(PlanOptions)
def inspect(source: str | os.PathLike[str] | Checkpoint, **options: Unpack[PlanOptions]) -> Inspection:
    """Look at a checkpoint. Problems with converting it are reported, not raised.

    Args:
        source: path of a checkpoint (its folder, prefix or one of its files), or an open checkpoint.
        options: see :class:`bridgeckpt.PlanOptions`.

    Raises:
        CheckpointError: the checkpoint cannot be found or read.
    """
    checkpoint = source if isinstance(source, Checkpoint) else open_checkpoint(source)
    plan, refusal = None, None
    try:
        if options.get("mapping") is None:
            refuse_models_without_table(checkpoint, unread=False)
        plan = draft(checkpoint, settled=True, **options)
    except BridgeckptError as error:
        refusal = error
    checkpoint = plan.checkpoint if plan else checkpoint  # under the names that the plan uses
    return Inspection(
        checkpoint, plan, refusal, _families(checkpoint.tensors, _states(plan, checkpoint)), _incomplete(checkpoint)
    )


def _incomplete(checkpoint: Checkpoint) -> BridgeckptError | None:
    try:
        checkpoint.check_places()
    except BridgeckptError as error:
        return error
    return None


def _states(plan: Plan | None, checkpoint: Checkpoint) -> Mapping[str, str]:
    """The state of each tensor; without a plan, only what the form of the names tells."""
    if plan is not None:
        return plan.ledger.sources
    try:
        training = checkpoint.training_state()
    except BridgeckptError:  # the refusal says what is wrong with the names
        return {}
    left = {**dict.fromkeys(training.slots, "slot"), **dict.fromkeys(training.averages, "average")}
    return {**dict.fromkeys(checkpoint.copies, "copy"), **left}


def _families(tensors: Mapping[str, TensorInfo], states: Mapping[str, str]) -> tuple[FoldedTensors, ...]:
    alike: dict[tuple[str, tuple[int, ...], str], list[str]] = {}
    for name, info in tensors.items():
        alike.setdefault((info.dtype, info.shape, states.get(name, "")), []).append(name)
    order = {name: place for place, name in enumerate(tensors)}
    families = [
        (order[members[0]], FoldedTensors(folded, len(members), dtype, shape, state))
        for (dtype, shape, state), names in alike.items()
        for folded, members in fold(names)
    ]
    return tuple(family for _, family in sorted(families))

"""What a checkpoint is, without reading a tensor: format, dialect, class, sizes, slots, tensors folded over layers."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

from bridgeckpt.converting.report import decided, sized
from bridgeckpt.errors import BridgeckptError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.options import PlanOptions, checked
from bridgeckpt.planning.plan import draft
from bridgeckpt.wording import fold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.planning.record import Plan
    from bridgeckpt.store.tensors import TensorInfo


class Family(NamedTuple):
    """Tensors alike but for a number in their names: the folded name, how many, dtype, shape and state in the plan."""

    name: str
    tensors: int
    dtype: str
    shape: tuple[int, ...]
    state: str


class Inspection(NamedTuple):
    """What was found. ``plan`` is None, and ``refusal`` says why, when no plan can be made at all."""

    checkpoint: Checkpoint
    plan: Plan | None
    refusal: BridgeckptError | None
    families: tuple[Family, ...]

    @property
    def slots(self) -> dict[str, int]:
        """How many tensors of each kind of optimizer state there are, by the last part of their names."""
        if self.plan is None:
            return {}
        states, known = self.plan.ledger.sources, self.plan.checkpoint.slots
        kinds = (known[name].name if name in known else name.rpartition("/")[2] for name in states)
        return dict(Counter(kind for kind, state in zip(kinds, states.values(), strict=True) if state == "slot"))

    @property
    def writer(self) -> str | None:
        """Who wrote it, as the graph beside it says."""
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
            "notes": list(plan.notes if plan else checkpoint.notes),
            "problems": [problem.record() for problem in plan.problems] if plan else None,
            "refusal": self.refusal.message if self.refusal else None,
            "tensors": [family._asdict() for family in self.families],
        }


@checked(PlanOptions)
def inspect(source: str | os.PathLike[str], **options: Unpack[PlanOptions]) -> Inspection:
    """Look at a checkpoint; problems with converting it are reported, not raised.

    Args:
        source: any path of a checkpoint (folder, prefix, one of its files).
        options: see :class:`bridgeckpt.PlanOptions`.

    Raises:
        CheckpointError: it cannot be found or read at all.
    """
    checkpoint = open_checkpoint(source)
    plan, refusal = None, None
    try:
        plan = draft(checkpoint, **options)
    except BridgeckptError as error:
        refusal = error
    states: Mapping[str, str] = plan.ledger.sources if plan else {}
    checkpoint = plan.checkpoint if plan else checkpoint  # under the names that the plan speaks of
    return Inspection(checkpoint, plan, refusal, _families(checkpoint.tensors, states))


def _families(tensors: Mapping[str, TensorInfo], states: Mapping[str, str]) -> tuple[Family, ...]:
    alike: dict[tuple[str, tuple[int, ...], str], list[str]] = {}
    for name, info in tensors.items():
        alike.setdefault((info.dtype, info.shape, states.get(name, "")), []).append(name)
    order = {name: at for at, name in enumerate(tensors)}
    families = [
        (order[members[0]], Family(folded, len(members), dtype, shape, state))
        for (dtype, shape, state), names in alike.items()
        for folded, members in fold(names)
    ]
    return tuple(family for _, family in sorted(families))

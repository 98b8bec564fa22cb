"""The ledger: every tensor of the source and every parameter of the target has exactly one state.

=========== =============================================== ========== ==================================
source      meaning                                         target     meaning
=========== =============================================== ========== ==================================
mapped      read by a row of a chosen group                 written    written by a row of a chosen group
slot        optimizer state of a weight                     tied       the same parameter as another one
average     a weight's moving average that is not converted
bookkeeping counts, schedules or measures training
copy        another stored copy of a mapped variable
ignored     left out, for a reason that the table has       derived    rebuilt by the model
excluded    a known tensor that the chosen class lacks      optional   its group is absent from the source
unmapped    an error                                        filled     one value everywhere: see ``[[filled]]``
                                                            missing    an error
=========== =============================================== ========== ==================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from bridgeckpt.frozen import FrozenDict

if TYPE_CHECKING:
    from bridgeckpt.errors import Problem
    from bridgeckpt.mapping.tables.model_records import Filled
    from bridgeckpt.mapping.tables.records import Row

SourceState = Literal["mapped", "slot", "average", "bookkeeping", "copy", "ignored", "excluded", "unmapped"]
TargetState = Literal["written", "tied", "derived", "optional", "filled", "missing"]


class Assignment(NamedTuple):
    """One row of the table at one index: the source tensors it reads and the PyTorch parameters it writes."""

    row: Row
    sources: tuple[str, ...]
    targets: tuple[str, ...]


class Ledger(NamedTuple):
    """The states of both sides. A ledger is never changed.

    ``assignments`` are the rows to carry out, ``sources`` and ``targets`` the state of every tensor by name.
    ``reasons`` says why a source tensor is ignored, excluded, bookkeeping or a copy; ``tied`` maps a tied parameter to
    the one that it is the same as; ``filled`` maps a parameter that no tensor gives to its entry in the model's table.
    ``own_head`` names tensors outside the model that no row reads. ``problems`` are the reasons to refuse.
    """

    assignments: tuple[Assignment, ...]
    sources: Mapping[str, SourceState]
    targets: Mapping[str, TargetState]
    reasons: Mapping[str, str]
    tied: Mapping[str, str]
    filled: Mapping[str, Filled]
    own_head: tuple[str, ...]
    problems: tuple[Problem, ...]

    def source_counts(self) -> dict[SourceState, int]:
        """How many source tensors are in each state."""
        return dict(Counter(self.sources.values()))

    def target_counts(self) -> dict[TargetState, int]:
        """How many parameters are in each state."""
        return dict(Counter(self.targets.values()))


class LedgerBuilder:
    """A :class:`Ledger` in the making, with the same attributes."""

    def __init__(self) -> None:
        self.assignments: list[Assignment] = []
        self.sources: dict[str, SourceState] = {}
        self.targets: dict[str, TargetState] = {}
        self.reasons: dict[str, str] = {}
        self.tied: dict[str, str] = {}
        self.filled: dict[str, Filled] = {}
        self.own_head: list[str] = []
        self.problems: list[Problem] = []

    def build(self) -> Ledger:
        """The ledger with all that was added so far."""
        return Ledger(
            assignments=tuple(self.assignments),
            sources=FrozenDict(self.sources),
            targets=FrozenDict(self.targets),
            reasons=FrozenDict(self.reasons),
            tied=FrozenDict(self.tied),
            filled=FrozenDict(self.filled),
            own_head=tuple(self.own_head),
            problems=tuple(self.problems),
        )

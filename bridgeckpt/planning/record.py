"""The plan as a record: what becomes of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.copying.job import Job
from bridgeckpt.store.tensors import DTYPES

if TYPE_CHECKING:
    from bridgeckpt.errors import Problem
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.tables.model_records import Architecture, ModelTable
    from bridgeckpt.mapping.tables.records import TableSummary
    from bridgeckpt.mapping.tables.tokenizer import Tokenizer
    from bridgeckpt.moves import Move
    from bridgeckpt.planning.account.ledger import Ledger
    from bridgeckpt.planning.account.sizes import Sizes
    from bridgeckpt.sidecar.config import Configuration
    from bridgeckpt.sidecar.graph.facts import GraphFacts
    from bridgeckpt.sidecar.tokenizer.casing import Casing
    from bridgeckpt.sidecar.tokenizer.vocabulary import Vocabulary


class Plan(NamedTuple):
    """What becomes of a checkpoint.

    ``table`` says by which mapping table the plan was made, and ``model`` is the PyTorch side. ``ema`` says whether
    moving averages stand in for the weights; ``ledger`` accounts for every tensor on both sides. ``configuration`` is
    the content of config.json with the provenance of what no tensor says, and ``graph`` what the graph says of it.
    ``tokenizer`` is what ``vocabulary`` and ``casing`` are made into; ``companions`` are files beside the checkpoint
    that are handed on as they are. ``notes`` are the decisions that a person should see, ``problems`` the reasons to
    refuse. A plan is never changed after it was made, and pickles.
    """

    checkpoint: Checkpoint
    table: TableSummary
    model: ModelTable
    architecture: Architecture
    wildcards: Mapping[str, str]
    ema: bool
    sizes: Sizes
    ledger: Ledger
    graph: GraphFacts | None
    configuration: Configuration | None
    tokenizer: Tokenizer | None
    vocabulary: Vocabulary | None
    casing: Casing | None
    companions: tuple[Path, ...]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def copies(self) -> dict[str, str]:
        """The tensors that should equal one that is converted, each with the name of that one."""
        states = self.ledger.sources
        known = self.checkpoint.copies.items()
        return {name: first for name, first in known if states[name] == "copy" and states[first] == "mapped"}

    def jobs(self, dtype: str | None = None) -> list[Job]:
        """One copying job for each parameter, in the order of the table.

        ``dtype`` is what floating-point parameters are stored as; None keeps each as it is.
        """
        jobs: list[Job] = []
        moves: dict[int, tuple[tuple[tuple[Move, ...], ...], tuple[int, ...]]] = {}
        tensors = self.checkpoint.tensors
        for row, sources, targets in self.ledger.assignments:
            known = moves.get(id(row))
            if known is None:
                axes = row.axes or self.sizes.axes
                known = moves[id(row)] = row.layout.moves(axes), row.layout.pt.shape(axes)
            infos = tuple([tensors[name] for name in sources])
            stored = infos[0].dtype
            kept = dtype if dtype is not None and DTYPES[stored].floating else stored
            for target, its_moves in zip(targets, known[0], strict=True):
                jobs.append(
                    Job(name=target, sources=infos, moves=its_moves, shape=known[1], dtype=kept, fill=row.fill or 0)
                )
        return jobs

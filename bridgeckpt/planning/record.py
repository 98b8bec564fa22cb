"""The plan as a record, and the copying jobs that it means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.copying.job import Job
from bridgeckpt.store.tensors import DTYPES, stored_as

if TYPE_CHECKING:
    from bridgeckpt.errors import Problem
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.tables.model_records import Architecture, ModelTable
    from bridgeckpt.mapping.tables.records import TableSummary
    from bridgeckpt.mapping.tables.tokenizer import Tokenizer
    from bridgeckpt.moves import Move
    from bridgeckpt.planning.account.ledger import Ledger
    from bridgeckpt.planning.account.size_records import Sizes
    from bridgeckpt.sidecar.config import Configuration
    from bridgeckpt.sidecar.graph.facts import GraphFacts
    from bridgeckpt.sidecar.tokenizer.casing import Casing
    from bridgeckpt.sidecar.tokenizer.vocabulary import Vocabulary


class Plan(NamedTuple):
    """How a checkpoint will be converted. A plan is never changed after it is made, and it can be pickled.

    ``table`` is the mapping table that was used, ``model`` the PyTorch side. ``ema`` says whether moving averages are
    converted in place of the weights. ``ledger`` accounts for every tensor on both sides. ``graph`` holds the facts
    of the graph, and ``configuration`` the content of config.json, with the origin of each value that no tensor
    shows. ``tokenizer`` describes the files that ``vocabulary`` and ``casing`` become; ``companions`` are files beside
    the checkpoint that are copied unchanged. ``notes`` are decisions that a person should see; ``warnings`` are those
    that may be wrong, or that lose something, with what settles each. ``problems`` are the reasons to refuse.
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
    warnings: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def unproven(self) -> tuple[str, ...]:
        """The keys of config.json that neither the caller nor the source decided; a warning is about each."""
        return tuple(self.configuration.assumed) if self.configuration is not None else ()

    @property
    def copies(self) -> dict[str, str]:
        """The stored copies of converted tensors: the name of each copy, and of the tensor that it should equal."""
        states = self.ledger.sources
        known = self.checkpoint.copies.items()
        return {name: first for name, first in known if states[name] == "copy" and states[first] == "mapped"}

    def jobs(self, dtype: str | None = None) -> list[Job]:
        """One copying job for each parameter, in the order of the table, then those that the model's table fills.

        Floating-point parameters are stored as ``dtype``; None keeps the dtype of each.
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
            written = dtype if dtype is not None and DTYPES[stored].floating else stored_as(stored)
            for target, its_moves in zip(targets, known[0], strict=True):
                jobs.append(
                    Job(name=target, sources=infos, moves=its_moves, shape=known[1], dtype=written, fill=row.fill or 0)
                )
        return jobs + [
            Job(
                name=name,
                sources=(),
                moves=(),
                shape=entry.layout.pt.shape(self.sizes.axes) if entry.layout is not None else (),
                dtype=entry.dtype or jobs[0].dtype,
                fill=entry.value,
            )
            for name, entry in self.ledger.filled.items()
        ]

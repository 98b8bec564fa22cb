"""The step of planning that judges the class by the evidence: what the graph and Keras' description say it computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.mapping.tables.model_records import HEADS
from bridgeckpt.planning.described import judge_described
from bridgeckpt.planning.problems import Judged
from bridgeckpt.planning.sites import unlike_sites

if TYPE_CHECKING:
    from bridgeckpt.options import PlanOptions
    from bridgeckpt.planning.accounting import Accounted
    from bridgeckpt.planning.steps import Chosen, Recognised, SidecarFacts


def judge(
    recognised: Recognised,
    evidence: SidecarFacts,
    chosen: Chosen,
    accounted: Accounted,
    options: PlanOptions,
    *,
    settled: bool,
) -> Judged:
    """What the evidence shows against the class and its config.

    ``settled``: a person chose the class. A warm start does not ask the graph: its own program computes.

    Raises:
        CheckpointError: a node of the graph is damaged.
    """
    named = options.get("architecture") is not None
    architecture, ledger = chosen.architecture, accounted.ledger
    judged = [judge_described(recognised.dialect, evidence.described, architecture, ledger, named=named)]
    if settled and evidence.graph is not None:
        from bridgeckpt.planning.wiring import judge_wiring  # most checkpoints have no graph

        judged.append(
            judge_wiring(recognised, evidence, chosen, ledger, named=named, sized=options.get(HEADS) is not None)
        )
        judged.append(unlike_sites(recognised.dialect.table, architecture, evidence.facts, options))
    return Judged(
        problems=tuple(problem for one in judged for problem in one.problems),
        warnings=tuple(warning for one in judged for warning in one.warnings),
        notes=tuple(note for one in judged for note in one.notes),
    )

"""A step of planning: every tensor of both sides gets exactly one state, and what is not converted is told.

:mod:`bridgeckpt.planning.account` has the rows of the ledger; this step adds moving averages, a head of one's own, and
the warnings about what the class loses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.mapping.notation.templates import Template
from bridgeckpt.planning.account.dtypes import told_dtypes
from bridgeckpt.planning.account.leftovers import told_by_form
from bridgeckpt.planning.account.states import AccountInput, assign_states
from bridgeckpt.planning.architecture import missing_groups
from bridgeckpt.planning.averages import averages_of, choose_averages
from bridgeckpt.planning.losses import warn_of_losses
from bridgeckpt.planning.own_head.head import OwnHead, lacking_head
from bridgeckpt.planning.own_head.problem import own_head_problem
from bridgeckpt.planning.refusals import refused_heads
from bridgeckpt.sidecar.described.heads import read_head
from bridgeckpt.sidecar.graph.facts import read_own_head

if TYPE_CHECKING:
    from bridgeckpt.errors import Problem
    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.options import PlanOptions
    from bridgeckpt.planning.account.ledger import Ledger
    from bridgeckpt.planning.account.size_records import Sizes
    from bridgeckpt.planning.steps import Chosen, Recognised, SidecarFacts

_FEW = 8  # kernels of a head that are looked for in the graph, which takes a while


class Accounted(NamedTuple):
    """The state of every tensor; ``ema`` says whether moving averages are converted in place of weights.

    ``optional_notes`` name optional parameters of the class that the checkpoint does not have. ``warnings`` say what
    the class loses or adds.
    """

    ledger: Ledger
    ema: bool
    notes: tuple[str, ...]
    optional_notes: tuple[str, ...]
    warnings: tuple[str, ...]
    problems: tuple[Problem, ...]


def account(
    recognised: Recognised, evidence: SidecarFacts, chosen: Chosen, options: PlanOptions, *, settled: bool
) -> Accounted:
    """Give every tensor of both sides exactly one state.

    ``settled``: the class in ``options`` decides that a head which no row reads is left out.
    """
    dialect, expansion, present = recognised
    table, architecture = dialect.table, chosen.architecture
    complete = {*architecture.groups} <= {*present, *architecture.filled}
    named = settled and options.get("architecture") is not None and complete
    checkpoint, wanted = dialect.checkpoint, bool(options.get("ema"))
    training = checkpoint.training_state()
    averages = averages_of(table, checkpoint.tensors, training)
    ledger = assign_states(
        AccountInput(
            architecture=architecture,
            checkpoint=checkpoint,
            expansion=expansion._replace(axes=chosen.sizes.axes),
            wildcards=dialect.wildcards,
            other_towers=dialect.other_towers,
            sizes=chosen.sizes,
            training=training,
            absent=frozenset(architecture.filled) - present.keys(),
            left_out=f"{architecture.name} has no such part" if named else None,
            graph=evidence.graph,
        )
    )
    ledger, average_problems, average_notes = choose_averages(ledger, averages, wanted, checkpoint.path.name)
    problems = [
        *average_problems,
        *refused_heads(table, architecture, present),
        *ledger.problems,
    ]
    is_own = bool(ledger.own_head) and not named
    if is_own:
        blocked = any(problem.kind in ("unmapped", "refused") for problem in problems)
        own = own_head(recognised, evidence, chosen.sizes, ledger)
        problems.append(own_head_problem(own, architecture, blocked=blocked))
    if not is_own or lacking_head(table, architecture, present) is None:  # else it is the same problem
        problems = [*missing_groups(table, architecture, set(present)), *problems]
    return Accounted(
        ledger=ledger,
        ema=wanted and not average_problems,
        notes=(*average_notes, *told_dtypes(checkpoint.tensors, ledger)),
        optional_notes=tuple(_optional_notes(ledger, architecture, set(present))),
        warnings=(
            *told_by_form(training, ledger),
            *warn_of_losses(table.model.architectures, architecture, present, ledger),
        ),
        problems=tuple(problems),
    )


def own_head(recognised: Recognised, evidence: SidecarFacts, sizes: Sizes, ledger: Ledger) -> OwnHead:
    """The head that no row reads, and what the graph computes with it."""
    dialect = recognised.dialect
    head, tensors, kinds = dialect.table.graph.head, dialect.checkpoint.tensors, set[str]()
    matrices = [name for name in ledger.own_head if len(tensors[name].shape) > 1 and "{" not in name]
    if evidence.graph is not None and head is not None and len(matrices) <= _FEW:
        for name in matrices:
            kernel = head._replace(kernel=Template.parse(name))
            kind = read_own_head(evidence.graph, kernel, dialect.wildcards)
            kinds |= {kind} if kind is not None else set()
    read = [read_head(evidence.described, dialect.table, dialect.wildcards, name) for name in matrices[:_FEW]]
    described = next((head for head in read if head is not None), None) if not kinds else None
    return OwnHead(
        table=dialect.table,
        present=recognised.present,
        axes=sizes.axes,
        names=ledger.own_head,
        kept=[name for name, state in ledger.sources.items() if state in ("mapped", "copy")],
        tensors=tensors,
        shown=kinds.pop() if len(kinds) == 1 else None,
        described=described,
    )


def _optional_notes(ledger: Ledger, architecture: Architecture, present: set[str]) -> list[str]:
    absent = [name for name, state in ledger.targets.items() if state == "optional"]
    absent_groups = [group for group in architecture.optional if group not in present]
    if not absent and not absent_groups:
        return []
    names = ", ".join(absent) or "its parameters"  # a dialect that never has the group does not list them
    arguments = ", ".join(
        architecture.load_without[group] for group in absent_groups if group in architecture.load_without
    )
    loading = f"{architecture.name} is loaded" + (f" without {arguments}" if arguments else "")
    return [f"the checkpoint has no {', '.join(absent_groups or absent)}: {names} will be drawn at random if {loading}"]

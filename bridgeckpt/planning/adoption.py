"""A head of one's own becomes the head of the class that the caller names, if it is exactly what that class lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.planning.accounting import account, own_head
from bridgeckpt.planning.own_head.head import lacking_head
from bridgeckpt.planning.steps import Recognised, choose
from bridgeckpt.sentences import Sentence, Setting

if TYPE_CHECKING:
    from bridgeckpt.mapping.tables.records import Group
    from bridgeckpt.options import PlanOptions
    from bridgeckpt.planning.steps import SidecarFacts


class Adopted(NamedTuple):
    """A recognised checkpoint, perhaps with the group of its own head; notes, and warnings of what nothing shows."""

    recognised: Recognised
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def adopt_head(recognised: Recognised, evidence: SidecarFacts, options: PlanOptions) -> Adopted:
    """Add the group that the class in ``options`` lacks, made of the tensors outside the model that no row reads."""
    table, present = recognised.dialect.table, recognised.present
    architecture = table.model.architectures.get(options.get("architecture") or "")
    group = lacking_head(table, architecture, present) if architecture is not None else None
    if architecture is None or group is None:
        return Adopted(recognised)
    bare: PlanOptions = {**options, "architecture": table.model.bare.name}
    chosen = choose(recognised, evidence, bare)
    own = own_head(recognised, evidence, chosen.sizes, account(recognised, evidence, chosen, bare, settled=True).ledger)
    fitting = own.fitting(architecture, own.names)
    if len(fitting) != 1:
        return Adopted(recognised)
    (rows,) = fitting
    taken = " and ".join(row.tf[0].text for row in rows)
    if own.shown is not None:
        notes: tuple[str, ...] = (f"{taken}: taken as the head of {architecture.name}, as the graph computes it",)
        warnings: tuple[str, ...] = ()
    elif own.described is not None and own.described.kind is not None and not own.described.how:
        notes, warnings = (f"{taken}: taken as the head of {architecture.name}, as Keras' description has it",), ()
    else:
        notes, warnings = (), (_unproven(taken, architecture.name, architecture.head or ""),)
    return Adopted(_with_group(recognised, group._replace(rows=rows, alternative_prefixes=())), notes, warnings)


def _unproven(taken: str, name: str, head: str) -> str:
    return Sentence(
        "{taken} are taken as the head of {name} because {architecture} says so: no graph shows that they read what "
        "its head reads, one result per {head}",
        taken=taken,
        name=name,
        architecture=Setting("architecture", name),
        head=head,
    )


def _with_group(recognised: Recognised, group: Group) -> Recognised:
    """The checkpoint read by a table that has this group too."""
    dialect = recognised.dialect
    table = dialect.table._replace(groups={**dialect.table.groups, group.name: group})
    return Recognised(
        dialect=dialect._replace(table=table),
        expansion=recognised.expansion._replace(table=table),
        present={**recognised.present, group.name: group.rows},
    )

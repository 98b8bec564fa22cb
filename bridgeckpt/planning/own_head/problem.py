"""The problem that a checkpoint has a head of its own: what it is, which options settle it, and a table to paste."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import Problem
from bridgeckpt.planning.account.unknown import described
from bridgeckpt.planning.own_head.head import lacking_head
from bridgeckpt.planning.own_head.table import table_for
from bridgeckpt.sentences import Sentence, Setting, joined
from bridgeckpt.sidecar.graph.classifier import UNLIKE_ANY_CLASS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.planning.own_head.head import OwnHead
    from bridgeckpt.planning.own_head.table import PastedTable

_LONG = 60  # lines of a table that nobody would paste


def own_head_problem(own: OwnHead, chosen: Architecture, *, blocked: bool) -> Problem:
    """The problem; ``chosen`` is the class that was named, or that the rest would become.

    ``blocked``: the encoder has problems too.
    """
    written = table_for(own)
    details = [*described(own.names, own.tensors), _what_it_is(own, chosen, bool(written.unsure))]
    if not blocked:
        details += [*_classes(own, chosen), *(_table(written) if len(written.lines) <= _LONG else ())]
    count = f"{len(own.names)} tensor{'s' * (len(own.names) != 1)}"
    subject = f"{count} outside the encoder that no row reads: a head of your own"
    bare = Setting("architecture", own.table.model.bare.name)
    if blocked:
        hint = Sentence("{bare} leaves it out, but what is inside the encoder remains a problem", bare=bare)
    else:
        hint = Sentence(
            "{bare} converts the encoder and reports this head as excluded; with {keep_rest:True} its tensors are kept",
            bare=bare,
        )
    return Problem("unmapped", subject, tuple(details), hint, tuple(own.names))


def _what_it_is(own: OwnHead, chosen: Architecture, unsure: bool) -> str:
    if own.classes:
        if own.shown is not None and lacking_head(own.table, chosen, own.present) and chosen not in own.classes:
            return f"it is one linear layer, and the graph computes one result per {own.shown} with it"
        kind = own.described.kind if own.described is not None else None
        if kind is not None and lacking_head(own.table, chosen, own.present) and chosen not in own.classes:
            return f"it is one linear layer, and the description has one result per {kind} of it"
        return "it is one linear layer"
    if len(own.names) > 2:
        return "it is more than a kernel and its bias: no class computes all of it"
    if own.shown in UNLIKE_ANY_CLASS:
        return f"the graph {UNLIKE_ANY_CLASS[own.shown]}, and no class does"
    if own.described is not None and own.described.how and own.described.is_certain:
        return f"{own.described.layer} {own.described.how}, and no class does"
    if unsure:
        return "it is one linear layer, but its axes fit in both orders: which one is not guessed"
    return "no class has a head of this shape that could be put on this checkpoint"


def _classes(own: OwnHead, chosen: Architecture) -> Iterator[Sentence]:
    """What other classes make of the checkpoint."""
    bare = own.table.model.bare
    if chosen.name != bare.name and {*chosen.groups} <= {*own.present, *chosen.filled}:
        heads = [name for name in chosen.groups if name not in (*bare.groups, *bare.optional)]
        yield Sentence(
            "{architecture} converts {heads} too, and leaves this head out",
            architecture=Setting("architecture", chosen.name),
            heads=" and ".join(heads),
        )
    for architecture in own.classes:
        yield Sentence(
            "{architecture} takes it as the head of that class: one result per {head}",
            architecture=Setting("architecture", architecture.name),
            head=architecture.head,
        )


def _table(written: PastedTable) -> Iterator[str]:
    yield Sentence("a table for it, to save in a file and to give with {mapping:FILE}:")
    yield from (f"  {line}" for line in written.lines)
    if written.unsure:
        yield f"look up the order of the axes of {' and '.join(written.unsure)}: its shape does not show it"
    if written.classes:
        classes = joined(" or ", (Setting("architecture", name) for name in written.classes))
        yield Sentence("with the table, {classes} chooses the class", classes=classes)

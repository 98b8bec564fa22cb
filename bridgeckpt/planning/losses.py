"""What a conversion loses or adds: the warnings about it, each with the option that settles it otherwise.

A class of transformers may lack a part of the checkpoint that the bare model has, as masked language models lack the
pooler. `AutoModel` loads the bare model from every folder, and draws what is not there at random: so that has to be
told. Or a class needs a part that the checkpoint lacks, and the model's table fills it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.mapping.tables.model_records import bare_class
from bridgeckpt.planning.architecture import keeping
from bridgeckpt.planning.own_head.head import reads_the_same
from bridgeckpt.sentences import Sentence, Setting
from bridgeckpt.sidecar.graph.classifier import UNLIKE_ANY_CLASS
from bridgeckpt.wording import fold, listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.mapping.tables.records import Row, Table
    from bridgeckpt.planning.account.ledger import Ledger
    from bridgeckpt.sidecar.graph.facts import GraphFacts


def warn_of_losses(
    classes: Mapping[str, Architecture], chosen: Architecture, present: Collection[str], ledger: Ledger
) -> list[str]:
    """Warnings about groups that are ``present`` and that ``chosen`` lacks, and about those that are filled.

    Heads that the chosen class lacks are no warning: it was chosen by its heads, or the caller named it.
    """
    bare = bare_class(classes)
    lost = [name for name in (*bare.groups, *bare.optional) if name in present and name not in chosen.all_groups]
    warnings = [_lost(name, chosen, keeping(classes, [name], present, chosen.head)) for name in lost]
    return [*warnings, *_filled(classes, chosen, present, ledger)]


def _lost(group: str, chosen: Architecture, other: Architecture) -> Sentence:
    return Sentence(
        "the {group} is left out: {chosen} has none, so that AutoModel would draw one at random when it loads the "
        "folder; {architecture} keeps it",
        group=group,
        chosen=chosen.name,
        architecture=Setting("architecture", other.name),
    )


def _filled(
    classes: Mapping[str, Architecture], chosen: Architecture, present: Collection[str], ledger: Ledger
) -> Iterator[Sentence]:
    complete = {name: a for name, a in classes.items() if not a.filled}
    other = keeping(complete, (), present)
    lost = {*chosen.groups} & {*present} - other.all_groups
    for group in dict.fromkeys(entry.group for entry in ledger.filled.values()):
        names = [name for name, entry in ledger.filled.items() if entry.group == group]
        entry = ledger.filled[names[0]]
        yield Sentence(
            "{names} are not in the checkpoint: they are written as {value}, so that {meaning}; {architecture} writes "
            "none, and leaves out {lost}",
            names=" and ".join(names),
            value=f"{entry.value:g}",
            meaning=entry.meaning,
            architecture=Setting("architecture", other.name),
            lost=" and ".join(f"the {group}" for group in sorted(lost)) or "nothing",
        )


def warn_of_parts(chosen: str, parts: Sequence[str], bare: str) -> list[str]:
    """A warning if there are tensors, ``parts``, that the class without a head has (``bare``), and ``chosen`` lacks."""
    if not parts:
        return []
    return [
        Sentence(
            "{names} left out: {chosen} has no such parameter, so that AutoModel would draw it at random when it loads "
            "the folder; {architecture} keeps it",
            names=listed((text for text, _ in fold(parts)), 3),
            chosen=chosen,
            architecture=Setting("architecture", bare),
        )
    ]


def warn_of_unlike_head(
    table: Table, chosen: Architecture, facts: GraphFacts | None, rows: Sequence[Row], wildcards: Mapping[str, str]
) -> list[str]:
    """A warning if the graph computes the classifier, which is in ``rows``, in another way than the class."""
    kernel = table.graph.head.kernel if table.graph.head is not None else None
    if facts is None or kernel is None or not any(name.text == kernel.text for row in rows for name in row.tf):
        return []
    if facts.unlike is not None:
        does = f"{UNLIKE_ANY_CLASS[facts.unlike]}, and no class does"
    elif facts.head is not None and chosen.head is not None and not reads_the_same(table, chosen, facts.head):
        does = f"computes one result per {facts.head} with it, not per {chosen.head}"
    else:
        return []
    return [
        Sentence(
            "{chosen} computes other logits with {kernel}: the graph {does}; {architecture} leaves the head out",
            chosen=chosen.name,
            kernel=kernel.render(wildcards),
            does=does,
            architecture=Setting("architecture", table.model.bare.name),
        )
    ]

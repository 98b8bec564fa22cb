"""What Keras' description of the model says against the class: parts that differ are refused, and other heads too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import Problem
from bridgeckpt.planning.own_head.head import reads_the_same
from bridgeckpt.planning.problems import Judged
from bridgeckpt.sentences import Sentence, Setting
from bridgeckpt.sidecar.described.heads import read_head

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.planning.account.ledger import Ledger
    from bridgeckpt.planning.dialect import Dialect
    from bridgeckpt.sidecar.described.heads import DescribedHead
    from bridgeckpt.sidecar.described.layers import Contradiction, DescribedFacts

_NO_CLASS = "a PyTorch module of your own can compute it; a class of transformers would compute something else"


def judge_described(
    dialect: Dialect, described: DescribedFacts | None, architecture: Architecture, ledger: Ledger, *, named: bool
) -> Judged:
    """Problems and warnings of the parts of the class that Keras describes as another computation.

    ``named``: a person named the class. Then a part that it can be loaded without is converted with a warning, if all
    else is right.
    """
    if described is None:
        return Judged()
    table = dialect.table
    bare = table.model.bare
    found = [one for one in described.contradictions if one.group in architecture.all_groups]
    loose = [one for one in found if one.group in architecture.load_without]
    if not named or len(loose) < len(found):
        loose = []
    problems = [
        Problem(
            "refused", one.subject, (_details(described, one),), _hint(one.group, architecture, bare.all_groups, bare)
        )
        for one in found
        if one not in loose
    ]
    warnings: list[str] = [_loose_warning(described, one, architecture) for one in loose]
    for head in _heads(table, dialect.wildcards, described, ledger):
        problem, warning = _judged_head(table, architecture, described, head)
        problems += problem
        warnings += warning
    return Judged(tuple(problems), tuple(warnings))


def _details(described: DescribedFacts, one: Contradiction) -> Sentence:
    return Sentence("{place} says so; {why}", place=described.place, why=one.why)


def _hint(group: str, architecture: Architecture, encoder: Collection[str], bare: Architecture) -> str:
    if group not in encoder:
        return Sentence(
            "{bare} converts the rest, and reports this group as excluded", bare=Setting("architecture", bare.name)
        )
    if group in architecture.load_without:
        return Sentence(
            "{architecture}, if it is named, converts it with a warning: only what comes after this part differs",
            architecture=Setting("architecture", architecture.name),
        )
    if group in bare.load_without:
        return Sentence(
            "{bare} converts it with a warning, without the head: only what comes after this part differs",
            bare=Setting("architecture", bare.name),
        )
    return _NO_CLASS


def _loose_warning(described: DescribedFacts, one: Contradiction, architecture: Architecture) -> Sentence:
    return Sentence(
        "{subject}, as {place} says; {why}. Only what comes after it is another output than the original's, and the "
        "class can be loaded without it ({arguments})",
        subject=one.subject,
        place=described.place,
        why=one.why,
        arguments=architecture.load_without[one.group],
    )


def _heads(
    table: Table, wildcards: Mapping[str, str], described: DescribedFacts, ledger: Ledger
) -> Iterator[DescribedHead]:
    """The heads that are converted, as the description has them."""
    encoder = table.model.bare.all_groups
    names = [name for row, sources, _ in ledger.assignments if row.group not in encoder for name in sources]
    heads = (read_head(described, table, wildcards, name) for name in names)
    yield from {head.layer: head for head in heads if head is not None}.values()


def _judged_head(
    table: Table, architecture: Architecture, described: DescribedFacts, head: DescribedHead
) -> tuple[list[Problem], list[str]]:
    """A problem or a warning if the class computes other logits than a head."""
    if architecture.head is None:
        return [], []
    differs = head.kind is not None and not reads_the_same(table, architecture, head.kind)
    if not head.how and not differs:
        return [], []
    how = head.how or f"computes one result per {head.kind}, not per {architecture.head}"
    bare = Setting("architecture", table.model.bare.name)
    if not differs and not head.is_certain:
        warning = Sentence(
            "{layer} {how}, and what that computes is not known: {architecture} may compute other logits; {bare} "
            "leaves the head out",
            layer=head.layer,
            how=how,
            architecture=architecture.name,
            bare=bare,
        )
        return [], [warning]
    why = Sentence(
        "{place} says so; {architecture} computes other logits", place=described.place, architecture=architecture.name
    )
    hint = Sentence(
        "{bare} converts the encoder and reports this head as excluded; with {keep_rest:True} its tensors are kept",
        bare=bare,
    )
    right = [one for one in table.model.architectures.values() if one.head == head.kind is not None]
    if right and not head.how:
        hint = Sentence("{right} is the class of such heads", right=Setting("architecture", right[0].name))
    return [Problem("refused", f"{head.layer} {how}", (why,), hint)], []

"""Contradictions about the class: names, config and graph each may say which class a checkpoint is of.

Where two of them say different classes and the tensors fit both, nothing in the source decides, and the caller has to.
Where the tensors fit only one of the two, they decide, and the other is a warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import Problem
from bridgeckpt.planning.architecture import keeps_heads_of
from bridgeckpt.planning.problems import Judged
from bridgeckpt.sentences import Sentence

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.mapping.tables.records import Table

_NAMES = "the names of its variables"


class ClassEvidence(NamedTuple):
    """What the source says of its class.

    ``of_names`` is the class that the variables are named after, ``written`` the one that the config names, each None
    if none is; ``config`` is the config's name. ``head`` is what the logits are computed for, by ``shown_by``.
    """

    of_names: str | None
    written: str | None
    config: str
    head: str | None = None
    shown_by: str = ""


class _Claim(NamedTuple):
    architecture: str
    by: str


def table_conflicts(
    table: Table, chosen: Architecture, fitting: Sequence[Architecture], evidence: ClassEvidence
) -> Judged:
    """The contradictions about the class of a model that a table reads.

    ``fitting`` are the classes that keep as many of the tensors as the ``chosen`` one.
    """
    names = [architecture.name for architecture in fitting]
    claims = _claims(evidence)
    by_head = next((a.name for a in fitting if evidence.head is not None and a.head == evidence.head), None)
    told = {*table.heads, *(table.graph.head.outputs if table.graph.head is not None else ())}
    others = [a for a in fitting if any(claim.architecture == a.name for claim in claims)]
    if by_head is not None and all(a.head in told for a in others):
        claims.append(_Claim(by_head, evidence.shown_by))
    return _conflicts(chosen.name, [claim for claim in claims if _counts(table, chosen, claim, names, evidence)], names)


def _counts(
    table: Table, chosen: Architecture, claim: _Claim, fitting: Collection[str], evidence: ClassEvidence
) -> bool:
    """Whether a claim may contradict the chosen class.

    A model inside another gives its name to the variables, and the config of a pretrained model is handed on with
    parts of it.
    """
    if claim.architecture in fitting or claim.architecture == chosen.name:
        return True
    if claim.by == _NAMES:
        return not keeps_heads_of(table, chosen, claim.architecture)
    if claim.architecture not in table.model.architectures or evidence.of_names is not None:
        return True
    return chosen.name != table.model.bare.name and not keeps_heads_of(table, chosen, claim.architecture)


def rules_conflicts(chosen: str, fits: Collection[str], evidence: ClassEvidence) -> Judged:
    """The same for a model that is converted by rules; the classes in ``fits`` have the parameters of ``chosen``."""
    return _conflicts(chosen, _claims(evidence), fits)


def _claims(evidence: ClassEvidence) -> list[_Claim]:
    said = ((evidence.of_names, _NAMES), (evidence.written, evidence.config))
    return [_Claim(name, by) for name, by in said if name is not None]


def _conflicts(chosen: str, claims: Sequence[_Claim], fitting: Collection[str]) -> Judged:
    possible = [claim for claim in claims if claim.architecture in fitting]
    if len({claim.architecture for claim in possible}) > 1:
        return Judged(problems=(_undecided(possible),))
    return Judged(warnings=tuple(_decided_by_tensors(chosen, claims)))


def _undecided(claims: Sequence[_Claim]) -> Problem:
    said = "; ".join(f"{claim.architecture} by {claim.by}" for claim in claims)
    why = "the tensors fit each of them, and each computes other outputs"
    return Problem("class", f"it is {said}", (why,), Sentence("{architecture:CLASS} says which it is"))


def _decided_by_tensors(chosen: str, claims: Sequence[_Claim]) -> Iterator[Sentence]:
    agreeing = [claim.by for claim in claims if claim.architecture == chosen]
    for claim in claims:
        if claim.architecture != chosen:
            yield Sentence(
                "{chosen} is taken, by {evidence}, although {by} says {other}; {architecture:CLASS} decides it",
                chosen=chosen,
                evidence=" and ".join([*agreeing, "the tensors"]),
                by=claim.by,
                other=claim.architecture,
            )

"""A step of planning: what the graph computes each part of the model from. Where the class computes another thing, the
conversion is refused; parts that another class leaves out are named with that class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import Problem
from bridgeckpt.planning.problems import Judged
from bridgeckpt.sentences import Sentence, Setting
from bridgeckpt.sidecar.graph.wiring.findings import ModelInGraph, look_at
from bridgeckpt.sidecar.graph.wiring.masks import INVERTED, NONE
from bridgeckpt.sidecar.graph.wiring.matching import CAUSAL
from bridgeckpt.sidecar.graph.wiring.weights import Weight
from bridgeckpt.wording import fold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.planning.account.ledger import Ledger
    from bridgeckpt.planning.steps import Chosen, Recognised, SidecarFacts
    from bridgeckpt.sidecar.graph.wiring.findings import Finding

_AVERAGE = "/ExponentialMovingAverage"  # tf.train.ExponentialMovingAverage; the graph computes with the weight
_SHOWN = 4  # kinds of part that a problem explains
_OF_NO_CLASS = (
    "no class computes this; if a tool changed the graph, convert the checkpoint that it was made from; if the graph "
    "is not that of these weights, move it away: then the config and the options decide"
)
_INVERTED = (
    "the graph's attention hides what its mask has a 1 for: the attention_mask of the class has a 1 for each token, "
    "and is the opposite of that input"
)
_UNMASKED = (
    "the graph's attention has no mask: the class computes the same only without an attention_mask, or with ones"
)


def judge_wiring(
    recognised: Recognised, evidence: SidecarFacts, chosen: Chosen, ledger: Ledger, *, named: bool, sized: bool
) -> Judged:
    """Problems and warnings of the parts that the graph computes in another way than the class.

    ``named``: a person named the class. Then an optional part is converted with a warning, as all else is right.
    ``sized``: a person gave the number of heads. Then no scale is compared: it follows from that number.

    Raises:
        CheckpointError: a node of the graph is damaged.
    """
    table, architecture = recognised.dialect.table, chosen.architecture
    if evidence.graph is None or not table.model.wiring.rows:
        return Judged()
    groups = _groups(ledger)
    findings, masks = look_at(
        evidence.graph, table.model.wiring, _model(recognised, evidence, chosen, ledger, sized=sized)
    )
    bare = table.model.bare
    heads = [one for one in findings if groups.get(one.part) not in bare.all_groups]
    within = [one for one in findings if one not in heads]
    loose = [one for one in within if groups.get(one.part) in architecture.load_without]
    if len(loose) < len(within):  # all else is not right
        loose = []
    problems = [
        *_problem([] if loose else within, _OF_NO_CLASS),
        *_problem(heads, Sentence("{bare} leaves the head out", bare=Setting("architecture", bare.name))),
        *([] if named else _problem(loose, _hint_loose(architecture))),
    ]
    warnings = [_warning(one, architecture.load_without[groups[one.part]]) for one in loose] if named else []
    if INVERTED in masks:
        warnings.append(f"{masks[INVERTED]}: {_INVERTED}")
    notes = (f"{masks[NONE]}: {_UNMASKED}",) if {*masks} == {NONE} else ()
    return Judged(tuple(problems), tuple(warnings), notes)


def _model(
    recognised: Recognised, evidence: SidecarFacts, chosen: Chosen, ledger: Ledger, *, sized: bool
) -> ModelInGraph:
    model, axes = recognised.dialect.table.model, chosen.sizes.axes
    return ModelInGraph(
        weights=_weights(recognised.dialect.checkpoint, ledger),
        labels=_labels(ledger),
        layers={index: axes.get(index, 0) for index in model.indices},
        prefix=chosen.architecture.drop_prefix,
        head=chosen.architecture.head,
        sizes={**({} if sized else axes), CAUSAL: int(evidence.stated.values.get(model.wiring.causal) is True)},
    )


def _labels(ledger: Ledger) -> dict[str, str]:
    """Parts as the source calls them: by the scope of their variables, or by the one variable.

    A part whose parameters are all those of others is called as the part around it.
    """
    names: dict[str, list[str]] = {}
    for parameter, name, _ in _parameters(ledger):
        names.setdefault(_part(parameter), []).append(name)
    labels = {part: (len(own) > 1 and own[0].rpartition("/")[0]) or own[0] for part, own in names.items()}
    for tied in ledger.tied:
        part = _part(tied)
        labels.setdefault(part, labels.get(_part(part), part).rpartition("/")[0] or part)
    return labels


def _parameters(ledger: Ledger) -> Iterator[tuple[str, str, str]]:
    """Each parameter that is one tensor, with the name of the variable and the group."""
    for row, sources, targets in ledger.assignments:
        if len(sources) == len(targets) == 1:
            yield targets[0], sources[0].removesuffix(":0").removesuffix(_AVERAGE), row.group


def _groups(ledger: Ledger) -> dict[str, str]:
    groups = {_part(parameter): group for parameter, _, group in _parameters(ledger)}
    own = {parameter: group for parameter, _, group in _parameters(ledger)}
    for tied, to in ledger.tied.items():
        siblings = (group for parameter, group in own.items() if tied.startswith(_part(parameter)))
        groups.setdefault(_part(tied), next(siblings, own.get(to, "")))
    return groups


def _weights(checkpoint: Checkpoint, ledger: Ledger) -> dict[str, tuple[Weight, ...]]:
    """The variables of the model by the names of their nodes."""
    nodes = checkpoint.constants  # in a frozen graph
    tied: dict[str, list[str]] = {}
    for parameter, to in ledger.tied.items():
        tied.setdefault(to, []).append(parameter)
    weights: dict[str, tuple[Weight, ...]] = {}
    for parameter, name, _ in _parameters(ledger):
        dimensions = len(checkpoint.tensors[name].shape) if name in checkpoint.tensors else 0
        every = [(parameter, False), *((other, True) for other in tied.get(parameter, ()))]
        weights[nodes.get(name, name)] = tuple(
            Weight(_part(one), one.rpartition(".")[2], dimensions, is_tied=is_tied) for one, is_tied in every
        )
    return weights


def _part(parameter: str) -> str:
    return parameter.rpartition(".")[0]


def _problem(findings: Sequence[Finding], hint: str) -> list[Problem]:
    if not findings:
        return []
    by_row: dict[str, list[Finding]] = {}
    for finding in findings:
        by_row.setdefault(finding.row, []).append(finding)
    details = [_explained(alike) for alike in by_row.values()]
    if len(details) > _SHOWN:
        details[_SHOWN:] = [f"and {len(details) - _SHOWN} more of its parts"]
    return [Problem("refused", next(iter(by_row.values()))[0].node, tuple(details), hint)]


def _explained(alike: Sequence[Finding]) -> str:
    nodes = " and ".join(text for text, _ in fold(one.node for one in alike))
    first = "" if len(alike) == 1 else ", at the first,"
    return f"{nodes}{_whose(alike[0])}: the graph{first} {alike[0].computed}, and the class {alike[0].expected}"


def _whose(finding: Finding) -> str:
    """The part's own name, if that of the node does not say it, as ``MatMul`` of a head outside any scope."""
    scope = finding.label.rpartition("/")[0] or finding.label
    return "" if finding.node.startswith(f"{scope}/") else f", with {finding.label}"


def _hint_loose(architecture: Architecture) -> Sentence:
    return Sentence(
        "only what comes after this part differs: {architecture}, if it is named, converts it with a warning",
        architecture=Setting("architecture", architecture.name),
    )


def _warning(finding: Finding, arguments: str) -> str:
    return (
        f"{finding.node}: the graph {finding.computed}, and the class {finding.expected}; only what comes after it is "
        f"another output than the original's, and the class can be loaded without it ({arguments})"
    )

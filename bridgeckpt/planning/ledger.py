"""The ledger: every tensor of the source and every parameter of the target, each in exactly one state.

========== ================================================ ========== ==================================
source     meaning                                          target     meaning
========== ================================================ ========== ==================================
mapped     a row of a chosen group                          written    a row of a chosen group
slot       optimizer state of a weight                      tied       the same parameter as another one
ignored    left out for the reason the table gives          derived    rebuilt by the model
excluded   a known tensor that the chosen class lacks       optional   its group is absent from the source
unmapped   an error                                         missing    an error
========== ================================================ ========== ==================================
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Literal, NamedTuple

from bridgeckpt.errors import Problem
from bridgeckpt.planning.expansion import Expanded, Expansion
from bridgeckpt.planning.problems import fold, shape_text
from bridgeckpt.planning.solve import shape_problem

if TYPE_CHECKING:
    from bridgeckpt.formats.tensors import TensorInfo
    from bridgeckpt.mapping.names import Names
    from bridgeckpt.mapping.records import Architecture, Group, Row, Table
    from bridgeckpt.planning.solve import Sizes

_PART = re.compile(r"/part_\d+\Z")

SourceState = Literal["mapped", "slot", "ignored", "excluded", "unmapped"]
TargetState = Literal["written", "tied", "derived", "optional", "missing"]


class Assignment(NamedTuple):
    """One row of the table at one index: the source tensors it reads and the PyTorch parameters it writes."""

    row: Row
    sources: tuple[str, ...]
    targets: tuple[str, ...]


class Ledger:
    """The account of both sides. ``reasons`` says why a source tensor is ignored or excluded, by name."""

    def __init__(self) -> None:
        self.assignments: list[Assignment] = []
        self.sources: dict[str, SourceState] = {}
        self.targets: dict[str, TargetState] = {}
        self.reasons: dict[str, str] = {}
        self.problems: list[Problem] = []

    def source_counts(self) -> dict[SourceState, int]:
        """How many source tensors are in each state."""
        return dict(Counter(self.sources.values()))

    def target_counts(self) -> dict[TargetState, int]:
        """How many parameters are in each state."""
        return dict(Counter(self.targets.values()))


class Request(NamedTuple):
    """What :func:`settle` needs to know: the table and class chosen, the checkpoint's tensors, and the sizes."""

    table: Table
    architecture: Architecture
    names: Names
    tensors: Mapping[str, TensorInfo]
    wildcards: Mapping[str, str]
    other_towers: Iterable[Mapping[str, str]]
    sizes: Sizes
    ema: bool


def settle(request: Request) -> Ledger:
    """Put each tensor of both sides in exactly one state; what cannot be is a problem."""
    ledger = Ledger()
    expansion = Expansion(request.table, request.names, request.tensors, request.sizes.axes)
    groups = list(expansion.groups(request.wildcards))
    chosen = {*request.architecture.groups, *request.architecture.optional}
    for group, rows in groups:
        if group.name in chosen:
            _map_group(request, ledger, group, rows)
    for group, rows in groups:
        _exclude(ledger, rows, f"{request.architecture.name} has no {group.name}")
    for wildcards in request.other_towers:
        for _, rows in expansion.groups(wildcards):
            _exclude(
                ledger, rows, f"of another model in the checkpoint, under {''.join(wildcards.values()) or 'no scope'}"
            )
    _settle_rest(request, ledger)
    _complete_targets(request, ledger)
    if ledger.sources.keys() != request.tensors.keys():
        lost = sorted(ledger.sources.keys() ^ request.tensors.keys())[:3]
        raise AssertionError(f"the ledger accounts for {len(ledger.sources)} of {len(request.tensors)} tensors: {lost}")
    return ledger


def _map_group(request: Request, ledger: Ledger, group: Group, rows: list[Expanded]) -> None:
    """Assign the rows of a chosen group, checking every shape."""
    present = any(sources for row in rows for sources in row.sources)
    assigned: list[list[Assignment]] = []
    missing: dict[str, Row] = {}
    for expanded in rows:
        row, targets = expanded.row, _drop_prefix(expanded.targets, request.architecture.drop_prefix)
        if None in expanded.sources:
            optional = row.optional or (group.name in request.architecture.optional and not present)
            absent = _leave_out(request, ledger, expanded, targets, "optional" if optional else "missing")
            missing.update({} if optional else dict.fromkeys(absent, row))
        there = [
            (sources, made) for sources, made in zip(expanded.sources, targets, strict=True) if sources is not None
        ]
        if request.ema:
            there = [(_averages(sources, request, ledger), made) for sources, made in there]
        _check_shapes(request, ledger, row, [sources for sources, _ in there])
        ledger.sources.update(dict.fromkeys(chain.from_iterable(sources for sources, _ in there), "mapped"))
        ledger.targets.update(dict.fromkeys(chain.from_iterable(made for _, made in there), "written"))
        assigned.append([Assignment(row, sources, made) for sources, made in there])
    for together in zip_longest(*assigned):  # a layer's parameters stand together, so that they share a shard
        ledger.assignments += [assignment for assignment in together if assignment is not None]
    if present:  # a group that is wholly absent is the business of choosing the class
        ledger.problems += _missing_problems(missing, request)


def _leave_out(
    request: Request, ledger: Ledger, expanded: Expanded, targets: list[tuple[str, ...]], state: TargetState
) -> list[str]:
    """Account for parameters that cannot be written; returns the source names that are absent."""
    absent: list[str] = []
    for sources, names, made in zip(expanded.sources, expanded.expected, targets, strict=True):
        if sources is None:
            ledger.targets.update(dict.fromkeys(made, state))
            for name in names:
                if name in request.tensors:  # of a list that is not whole
                    ledger.sources[name] = "mapped"
                else:
                    absent.append(name)
    return absent


def _drop_prefix(names: list[tuple[str, ...]], prefix: str) -> list[tuple[str, ...]]:
    return [tuple([name.removeprefix(prefix) for name in some]) for some in names] if prefix else names


def _check_shapes(request: Request, ledger: Ledger, row: Row, sources: list[tuple[str, ...]]) -> None:
    """Compare the shapes of a row's tensors with the one that its layout and the sizes make."""
    if not sources or any(axis not in request.sizes.axes for axis in row.layout.axes):
        return  # a size that is unknown is a problem of its own
    expected, tensors = row.layout.tf.shape(request.sizes.axes), request.tensors
    wrong: dict[tuple[int, ...], list[str]] = {}
    for names in sources:
        for name in names:
            if tensors[name].shape != expected:
                wrong.setdefault(tensors[name].shape, []).append(name)
    ledger.problems += [
        shape_problem(row, names, found, request.sizes, request.table.model) for found, names in wrong.items()
    ]


def _averages(sources: tuple[str, ...], request: Request, ledger: Ledger) -> tuple[str, ...]:
    """The moving averages that stand in for the weights with ``--ema``."""
    templates = request.table.slots.get("ema", ())
    averages = []
    for name in sources:
        spelled = [template.render({"tf": name}) for template in templates]
        average = next((average for average in spelled if average in request.tensors), None)
        if average is None:
            ledger.problems.append(
                Problem(
                    "missing",
                    spelled[0],
                    ("--ema converts the moving average of every weight",),
                    "convert the weights themselves, without --ema",
                    (spelled[0],),
                )
            )
            average = name
        else:
            ledger.sources[name] = "excluded"
            ledger.reasons[name] = "--ema: its moving average is converted instead"
        averages.append(average)
    return tuple(averages)


def _missing_problems(missing: Mapping[str, Row], request: Request) -> Iterator[Problem]:
    for folded, names in fold(missing):
        where = missing[names[0]].where
        details = [f"row {where.row} of group {where.group}, {where}"]
        if near := request.names.nearest(names[0], 2):
            details.append(f"the nearest names there: {', '.join(near)}")
        yield Problem("missing", folded, tuple(details), "is the checkpoint complete?", tuple(names))


def _exclude(ledger: Ledger, rows: list[Expanded], reason: str) -> None:
    """Account for known tensors that are not converted."""
    for row in rows:
        for sources in row.sources:
            for name in sources or ():
                if name not in ledger.sources:
                    ledger.sources[name] = "excluded"
                    ledger.reasons[name] = reason


def _settle_rest(request: Request, ledger: Ledger) -> None:
    """Slots, ignored tensors, and what nobody knows."""
    slots = [
        (before, after)
        for templates in request.table.slots.values()
        for template in templates
        for before, _, after in [template.text.partition("{tf}")]
    ]
    unmapped: list[str] = []
    wrong: dict[str, str] = {}
    for name, info in request.tensors.items():
        if name in ledger.sources:
            continue
        if weight := _weight_of(name, slots, ledger):
            ledger.sources[name] = "slot"
            if weight in request.tensors and info.shape != request.tensors[weight].shape:
                wrong[name] = weight
        elif entry := next((entry for entry in request.table.ignored if entry.matches(name)), None):
            ledger.sources[name] = "ignored"
            ledger.reasons[name] = entry.reason
        else:
            ledger.sources[name] = "unmapped"
            unmapped.append(name)
    for folded, names in fold(wrong):
        weight = wrong[names[0]]
        subject = f"{folded} is {shape_text(request.tensors[names[0]].shape)}"
        detail = f"it is optimizer state of {weight}, which is {shape_text(request.tensors[weight].shape)}"
        ledger.problems.append(Problem("shape", subject, (detail,), None, tuple(names)))
    for folded, names in fold(unmapped):
        subject = f"{folded} {shape_text(request.tensors[names[0]].shape)}"
        detail = "no row, no [[ignored]] entry"
        hint = "in a table of your own (--mapping FILE) add a group that maps it, or an ignored entry with a reason"
        ledger.problems.append(Problem("unmapped", subject, (detail,), hint, tuple(names)))


def _weight_of(name: str, slots: list[tuple[str, str]], ledger: Ledger) -> str | None:
    """The weight that ``name`` is a slot of: a name of the checkpoint, or a part of a partitioned one (``/part_0``).

    Optimizers that name their state after each variable, as google-research/bert's does, name it after the parts.
    """
    for before, after in slots:
        if name.startswith(before) and name.endswith(after):
            weight = name[len(before) : len(name) - len(after)]
            if weight in ledger.sources or _PART.sub("", weight) in ledger.sources:
                return weight
    return None


def _complete_targets(request: Request, ledger: Ledger) -> None:
    """Parameters that no row writes because the model ties or derives them."""
    drop = request.architecture.drop_prefix
    groups = [request.table.groups[name] for name in request.architecture.groups if name in request.table.groups]
    prefixes = tuple(group.pt for group in groups)
    for entry in request.table.model.tied:
        if entry.pt.text.startswith(prefixes):
            ledger.targets.setdefault(entry.pt.text.removeprefix(drop), "tied")
    for buffer in request.table.model.derived:
        if buffer.pt.text.startswith(prefixes):
            ledger.targets.setdefault(buffer.pt.text.removeprefix(drop), "derived")

"""Assigning states: each tensor of the source and each parameter of the target gets exactly one, by the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import Problem
from bridgeckpt.planning.account.ledger import Assignment, LedgerBuilder
from bridgeckpt.planning.account.leftovers import classify_remaining
from bridgeckpt.planning.account.sizes import shape_problem
from bridgeckpt.sentences import Sentence
from bridgeckpt.store.tensors import DTYPES
from bridgeckpt.wording import fold

if TYPE_CHECKING:
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.mapping.tables.records import Group, Row, Table
    from bridgeckpt.planning.account.expansion import Expanded, Expansion
    from bridgeckpt.planning.account.ledger import Ledger, TargetState
    from bridgeckpt.planning.account.sizes import Sizes
    from bridgeckpt.store.tensors import TensorInfo

_STORABLE = frozenset(name for name, dtype in DTYPES.items() if dtype.safetensors is not None)


class AccountInput(NamedTuple):
    """What :func:`assign_states` needs to know: the class chosen, where rows find their tensors, and the sizes.

    ``wildcards`` are those of the model that is converted, ``other_towers`` those of other models in the checkpoint.
    """

    architecture: Architecture
    checkpoint: Checkpoint
    expansion: Expansion
    wildcards: Mapping[str, str]
    other_towers: Iterable[Mapping[str, str]]
    sizes: Sizes
    ema: bool

    @property
    def table(self) -> Table:
        """The table whose rows are assigned."""
        return self.expansion.table

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """Every tensor of the checkpoint."""
        return self.checkpoint.tensors


def assign_states(inputs: AccountInput) -> Ledger:
    """Put each tensor of both sides in exactly one state; what cannot be is a problem."""
    ledger = LedgerBuilder()
    groups = list(inputs.expansion.groups(inputs.wildcards))
    chosen = {*inputs.architecture.groups, *inputs.architecture.optional}
    for group, rows in groups:
        if group.name in chosen:
            _map_group(inputs, ledger, group, rows)
    for group, rows in groups:
        _exclude(ledger, rows, f"{inputs.architecture.name} has no {group.name}")
    for wildcards in inputs.other_towers:
        scope = "".join(wildcards.values()) or "no scope"
        for _, rows in inputs.expansion.groups(wildcards):
            _exclude(ledger, rows, f"of another model in the checkpoint, under {scope}")
    ledger.problems += classify_remaining(inputs.table, inputs.checkpoint, ledger.sources, ledger.reasons)
    _complete_targets(inputs, ledger)
    _check_sums(inputs, ledger)
    return ledger.build()


def _check_sums(inputs: AccountInput, ledger: LedgerBuilder) -> None:
    """The account has to add up, whatever the problems are."""
    if lost := ledger.sources.keys() ^ inputs.tensors.keys():
        raise AssertionError(f"{len(lost)} source tensors are in no state or do not exist, {min(lost)} among them")
    written = [name for assignment in ledger.assignments for name in assignment.targets]
    if len(written) != sum(state == "written" for state in ledger.targets.values()):
        twice = next((name for name, count in Counter(written).items() if count > 1), None)
        raise AssertionError(f"{len(written)} parameters are written, and the account differs ({twice} is there twice)")


def _map_group(inputs: AccountInput, ledger: LedgerBuilder, group: Group, rows: list[Expanded]) -> None:
    """Assign the rows of a chosen group, checking every shape."""
    present = any(sources for row in rows for sources in row.sources)
    assigned: list[list[Assignment]] = []
    missing: dict[str, Row] = {}
    for expanded in rows:
        row, targets = expanded.row, _drop_prefix(expanded.targets, inputs.architecture.drop_prefix)
        if None in expanded.sources:
            optional = row.optional or (group.name in inputs.architecture.optional and not present)
            absent = _leave_out(inputs, ledger, expanded, targets, "optional" if optional else "missing")
            missing.update({} if optional else dict.fromkeys(absent, row))
        there = [
            (sources, made) for sources, made in zip(expanded.sources, targets, strict=True) if sources is not None
        ]
        if inputs.ema:
            there = [(_averages(inputs, ledger, row, sources, missing), made) for sources, made in there]
        _check(inputs, ledger, row, [sources for sources, _ in there])
        ledger.sources.update(dict.fromkeys(chain.from_iterable(sources for sources, _ in there), "mapped"))
        ledger.targets.update(dict.fromkeys(chain.from_iterable(made for _, made in there), "written"))
        assigned.append([Assignment(row, sources, made) for sources, made in there])
    for together in zip_longest(*assigned):  # a layer's parameters stand together, so that they share a shard
        ledger.assignments += [assignment for assignment in together if assignment is not None]
    if present:  # a group that is wholly absent is the business of choosing the class
        ledger.problems += _missing_problems(missing, inputs)


def _leave_out(
    inputs: AccountInput, ledger: LedgerBuilder, expanded: Expanded, targets: list[tuple[str, ...]], state: TargetState
) -> list[str]:
    """Account for parameters that cannot be written; returns the source names that are absent."""
    absent: list[str] = []
    for sources, names, made in zip(expanded.sources, expanded.expected, targets, strict=True):
        if sources is None:
            ledger.targets.update(dict.fromkeys(made, state))
            for name in names:
                if name in inputs.tensors:  # of a list that is not whole
                    ledger.sources[name] = "mapped"
                else:
                    absent.append(name)
    return absent


def _drop_prefix(names: list[tuple[str, ...]], prefix: str) -> list[tuple[str, ...]]:
    return [tuple([name.removeprefix(prefix) for name in some]) for some in names] if prefix else names


def _check(inputs: AccountInput, ledger: LedgerBuilder, row: Row, sources: list[tuple[str, ...]]) -> None:
    """Compare the shapes of a row's tensors with what its layout and the sizes make; refuse what is no number."""
    axes, tensors = inputs.sizes.axes, inputs.tensors
    known = all(axis in axes for axis in row.layout.axes)  # an unknown size is a problem of its own
    expected = row.layout.tf.shape(axes) if known and sources else None
    wrong: dict[tuple[int, ...], list[str]] = {}
    names = [*chain.from_iterable(sources)]
    for name in names:
        shape = tensors[name].shape
        if expected is not None and shape != expected:
            wrong.setdefault(shape, []).append(name)
    for shape, misfits in wrong.items():
        ledger.problems.append(shape_problem(row, misfits, shape, inputs.sizes, inputs.table.model))
    ledger.problems += unstorable(tensors, names)


def unstorable(tensors: Mapping[str, TensorInfo], names: Iterable[str]) -> list[Problem]:
    """The tensors among ``names`` that are no numbers which a file of PyTorch parameters could hold."""
    unfit: dict[str, list[str]] = {}
    for name in names:
        if tensors[name].dtype not in _STORABLE:
            unfit.setdefault(tensors[name].dtype, []).append(name)
    return [
        Problem(
            "dtype",
            f"{', '.join(text for text, _ in fold(members))} is of dtype {dtype}",
            ("no safetensors file can hold it",),
            None,
            tuple(members),
        )
        for dtype, members in unfit.items()
    ]


def _averages(
    inputs: AccountInput, ledger: LedgerBuilder, row: Row, sources: tuple[str, ...], missing: dict[str, Row]
) -> tuple[str, ...]:
    """The moving averages that stand in for the weights with ``ema``; those that are absent go into ``missing``."""
    averages = []
    for name in sources:
        spelled = [template.render({"tf": name}) for template in inputs.table.slots["ema"]]
        average = next((average for average in spelled if average in inputs.tensors), None)
        if average is None:
            missing[spelled[0]] = row
        else:
            ledger.sources[name] = "excluded"
            ledger.reasons[name] = Sentence("{ema:True}: its moving average is converted instead")
        averages.append(average or name)
    return tuple(averages)


def _missing_problems(missing: Mapping[str, Row], inputs: AccountInput) -> Iterator[Problem]:
    for folded, names in fold(missing):
        where = missing[names[0]].where
        details = [f"row {where.row} of group {where.group}, {where}"]
        if near := inputs.expansion.names.nearest(names[0], 2):
            details.append(f"the nearest names there: {', '.join(near)}")
        yield Problem("missing", folded, tuple(details), "is the checkpoint complete?", tuple(names))


def _exclude(ledger: LedgerBuilder, rows: list[Expanded], reason: str) -> None:
    """Account for known tensors that are not converted."""
    for row in rows:
        for sources in row.sources:
            for name in sources or ():
                if name not in ledger.sources:
                    ledger.sources[name] = "excluded"
                    ledger.reasons[name] = reason


def _complete_targets(inputs: AccountInput, ledger: LedgerBuilder) -> None:
    """Parameters that no row writes because the model ties or derives them."""
    drop, spell_out = inputs.architecture.drop_prefix, inputs.expansion.at_every_index
    groups = [inputs.table.groups[name] for name in inputs.architecture.groups if name in inputs.table.groups]
    prefixes = tuple(group.pt for group in groups)
    for tied in inputs.table.model.tied:
        if tied.pt.text.startswith(prefixes):
            for name, to in zip(spell_out(tied.pt), spell_out(tied.to), strict=True):
                ledger.targets.setdefault(name.removeprefix(drop), "tied")
                ledger.tied[name.removeprefix(drop)] = to.removeprefix(drop)
    for buffer in inputs.table.model.derived:
        if buffer.pt.text.startswith(prefixes):
            ledger.targets.update(dict.fromkeys((name.removeprefix(drop) for name in spell_out(buffer.pt)), "derived"))

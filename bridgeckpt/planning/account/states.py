"""Assigning states: the rows give each tensor of the source and each parameter of the target exactly one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import Problem
from bridgeckpt.planning.account.dtypes import are_weights, unfit_dtypes
from bridgeckpt.planning.account.ledger import Assignment, LedgerBuilder
from bridgeckpt.planning.account.leftovers import classify_remaining
from bridgeckpt.planning.account.sizes import shape_problem
from bridgeckpt.planning.account.unknown import Encoder, encoder_of, settle_unknown
from bridgeckpt.sidecar.graph.reach import Reach, reach_of
from bridgeckpt.wording import fold

if TYPE_CHECKING:
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.formats.tensorflow.graphdef import Graph
    from bridgeckpt.formats.training.state import TrainingState
    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.mapping.tables.records import Group, Row, Table
    from bridgeckpt.planning.account.expansion import Expanded, Expansion
    from bridgeckpt.planning.account.ledger import Ledger, TargetState
    from bridgeckpt.planning.account.size_records import Sizes
    from bridgeckpt.store.tensors import TensorInfo


class AccountInput(NamedTuple):
    """The input of :func:`assign_states`: the chosen class, where rows find their tensors, and the sizes.

    ``wildcards`` are those of the converted model, ``other_towers`` those of other models in the checkpoint.
    ``training`` is what training left beside the weights. ``absent`` are the groups of the class that the checkpoint
    lacks, and that its table fills.
    ``left_out`` is the reason why tensors outside the model that no row reads may be left out, or None. The ``graph``
    shows which tensors are outside.
    """

    architecture: Architecture
    checkpoint: Checkpoint
    expansion: Expansion
    wildcards: Mapping[str, str]
    other_towers: Iterable[Mapping[str, str]]
    sizes: Sizes
    training: TrainingState
    absent: frozenset[str]
    left_out: str | None
    graph: Graph | None

    @property
    def table(self) -> Table:
        """The table whose rows are assigned."""
        return self.expansion.table

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """Every tensor of the checkpoint."""
        return self.checkpoint.tensors


def assign_states(inputs: AccountInput) -> Ledger:
    """Give each tensor of both sides exactly one state; the ledger has a problem for each that cannot be converted."""
    ledger = LedgerBuilder()
    groups = list(inputs.expansion.groups(inputs.wildcards))
    chosen = {*inputs.architecture.groups, *inputs.architecture.optional}
    for group, rows in groups:
        if group.name in chosen and group.name not in inputs.absent:
            _map_group(inputs, ledger, group, rows)
    for group, rows in groups:
        _exclude(ledger, rows, f"{inputs.architecture.name} has no {group.name}")
    towers: dict[str, Encoder] = {}
    for wildcards in inputs.other_towers:
        scope = "".join(wildcards.values()) or "no scope"
        others = list(inputs.expansion.groups(wildcards))
        towers[scope] = encoder_of(inputs.expansion, others, wildcards)
        for _, rows in others:
            _exclude(ledger, rows, f"of another model in the checkpoint, under {scope}")
    ledger.problems += classify_remaining(
        inputs.table, inputs.checkpoint, inputs.training, ledger.sources, ledger.reasons
    )
    encoder = encoder_of(inputs.expansion, groups, inputs.wildcards)
    encoder = encoder._replace(shown=_shown_by_graph(inputs, ledger, groups))
    settle_unknown(ledger, inputs.table, inputs.tensors, encoder, towers, inputs.left_out)
    _complete_targets(inputs, ledger)
    _check_sums(inputs, ledger)
    return ledger.build()


def _shown_by_graph(inputs: AccountInput, ledger: LedgerBuilder, groups: list[tuple[Group, list[Expanded]]]) -> Reach:
    """What the graph shows of tensors that no row reads."""
    head = inputs.table.graph.head
    unknown = [name for name, state in ledger.sources.items() if state in ("unmapped", "ignored")]
    if inputs.graph is None or head is None or not unknown:
        return Reach()
    bare = inputs.table.model.bare.groups
    rows = [row for group, rows in groups if group.name in bare for row in rows]
    known = {name for row in rows for names in row.sources for name in names or ()}
    return reach_of(inputs.graph, head, inputs.wildcards, unknown, known)


def _check_sums(inputs: AccountInput, ledger: LedgerBuilder) -> None:
    """Check that the ledger is complete, whether or not there are problems."""
    if lost := ledger.sources.keys() ^ inputs.tensors.keys():
        raise AssertionError(f"{len(lost)} source tensors have no state or do not exist, {min(lost)} among them")
    written = [name for assignment in ledger.assignments for name in assignment.targets]
    if len(written) != sum(state == "written" for state in ledger.targets.values()):
        twice = next((name for name, count in Counter(written).items() if count > 1), None)
        raise AssertionError(
            f"{len(written)} parameters are written, and the ledger differs ({twice} is written twice)"
        )


def _map_group(inputs: AccountInput, ledger: LedgerBuilder, group: Group, rows: list[Expanded]) -> None:
    """Assign the rows of a chosen group, and check every shape."""
    present = any(sources for row in rows for sources in row.sources)
    complete = group.name in inputs.architecture.load_without and not present
    assigned: list[list[Assignment]] = []
    missing: dict[str, Row] = {}
    for expanded in rows:
        row, targets = expanded.row, _drop_prefix(expanded.targets, inputs.architecture.drop_prefix)
        if None in expanded.sources:
            optional = complete or (row.optional and inputs.table.model.derives(row.pt))
            absent = _leave_out(inputs, ledger, expanded, targets, "optional" if optional else "missing")
            missing.update({} if optional else dict.fromkeys(absent, row))
        pairs = [
            (sources, written)
            for sources, written in zip(expanded.sources, targets, strict=True)
            if sources is not None
        ]
        _check(inputs, ledger, row, pairs)
        ledger.sources.update(dict.fromkeys(chain.from_iterable(sources for sources, _ in pairs), "mapped"))
        ledger.targets.update(dict.fromkeys(chain.from_iterable(written for _, written in pairs), "written"))
        assigned.append([Assignment(row, sources, written) for sources, written in pairs])
    for layer in zip_longest(*assigned):  # a layer's parameters are next to each other, so that they share a shard
        ledger.assignments += [assignment for assignment in layer if assignment is not None]
    if present:  # a group that is wholly absent is reported when the class is chosen
        ledger.problems += _missing_problems(missing, inputs)


def _leave_out(
    inputs: AccountInput, ledger: LedgerBuilder, expanded: Expanded, targets: list[tuple[str, ...]], state: TargetState
) -> list[str]:
    """Give ``state`` to the parameters that cannot be written; returns the names of the absent sources."""
    absent: list[str] = []
    for sources, names, parameters in zip(expanded.sources, expanded.expected, targets, strict=True):
        if sources is None:
            ledger.targets.update(dict.fromkeys(parameters, state))
            for name in names:
                if name in inputs.tensors:  # part of a list that is not complete
                    ledger.sources[name] = "mapped"
                else:
                    absent.append(name)
    return absent


def _drop_prefix(names: list[tuple[str, ...]], prefix: str) -> list[tuple[str, ...]]:
    return [tuple([name.removeprefix(prefix) for name in group]) for group in names] if prefix else names


def _check(
    inputs: AccountInput, ledger: LedgerBuilder, row: Row, pairs: list[tuple[tuple[str, ...], tuple[str, ...]]]
) -> None:
    """Compare the shapes of a row's tensors with its layout and the sizes; refuse dtypes that no parameter has."""
    axes, tensors = inputs.sizes.axes, inputs.tensors
    known = all(axis in axes for axis in row.layout.axes)  # an unknown size is reported as a problem of its own
    expected = row.layout.tf.shape(axes) if known and pairs else None
    wrong: dict[tuple[int, ...], list[str]] = {}
    names = [*chain.from_iterable(sources for sources, _ in pairs)]
    for name in names:
        shape = tensors[name].shape
        if expected is not None and shape != expected:
            wrong.setdefault(shape, []).append(name)
    for shape, misfits in wrong.items():
        ledger.problems.append(shape_problem(row, misfits, shape, inputs.sizes, inputs.table.model))
    weights = any(are_weights(written) for _, written in pairs)
    ledger.problems += unfit_dtypes(tensors, names, weights=weights)


def _missing_problems(missing: Mapping[str, Row], inputs: AccountInput) -> Iterator[Problem]:
    for folded, names in fold(missing):
        where = missing[names[0]].where
        details = [f"row {where.row} of group {where.group}, {where}"]
        if near := inputs.expansion.names.nearest(names[0], 2):
            details.append(f"the nearest names there: {', '.join(near)}")
        if missing[names[0]].optional:
            details.append("its row is optional, but the class has the parameter and would draw it at random")
        yield Problem("missing", folded, tuple(details), "is the checkpoint complete?", tuple(names))


def _exclude(ledger: LedgerBuilder, rows: list[Expanded], reason: str) -> None:
    """Give the state "excluded" to known tensors that have no state yet."""
    for row in rows:
        for sources in row.sources:
            for name in sources or ():
                if name not in ledger.sources:
                    ledger.sources[name] = "excluded"
                    ledger.reasons[name] = reason


def _complete_targets(inputs: AccountInput, ledger: LedgerBuilder) -> None:
    """Account for parameters that no row writes, because the model ties or derives them, or its table fills them."""
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
    for entry in inputs.table.model.filled:
        if entry.group in inputs.absent:
            names = [name.removeprefix(drop) for name in spell_out(entry.pt)]
            ledger.targets.update(dict.fromkeys(names, "filled"))
            ledger.filled.update(dict.fromkeys(names, entry))

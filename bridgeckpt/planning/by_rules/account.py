"""Matching by rules: every variable of a checkpoint with exactly one parameter of the class, and the account of both.

A variable's name admits a few parameters; the one that the class has, in the shape that the rule's layout makes, is
it. Where none or several remain nothing is guessed: that is a problem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import Problem
from bridgeckpt.mapping.notation.templates import Template
from bridgeckpt.mapping.tables.records import Row
from bridgeckpt.planning.account.ledger import Assignment, LedgerBuilder
from bridgeckpt.planning.account.states import unstorable
from bridgeckpt.sentences import Sentence
from bridgeckpt.wording import fold, shape_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.notation.layout import Layout
    from bridgeckpt.mapping.tables.records import Where
    from bridgeckpt.mapping.tables.rule_records import Rule, Rules
    from bridgeckpt.planning.account.ledger import Ledger
    from bridgeckpt.planning.by_rules.target import Target


class Match(NamedTuple):
    """A variable's parameter, by a rule and one of its layouts, with the sizes of the layout's axes."""

    parameter: str
    rule: Rule
    layout: Layout
    axes: Mapping[str, int]


class Misfit(NamedTuple):
    """A parameter that a variable's name admits, and that has another shape than the rule at ``where`` can make."""

    parameter: str
    wanted: tuple[int, ...]
    where: Where


def account_by_rules(
    checkpoint: Checkpoint, rules: Rules, target: Target, others: Sequence[Target] = ()
) -> tuple[Ledger, Checkpoint]:
    """Account for a checkpoint that becomes ``target``; returns the account, and the checkpoint with the copies found.

    Two variables of one parameter, as of a weight that TensorFlow stores for each of its uses, are copies: the first is
    converted, and the others ought to hold the same values. What only ``others``, the classes that the checkpoint could
    become as well, have a parameter for is excluded.
    """
    ledger, first = LedgerBuilder(), dict[str, str]()
    copies, slots = dict(checkpoint.copies), checkpoint.slots
    unsettled: dict[str, list[Misfit]] = {}
    for name, info in checkpoint.tensors.items():
        if name in slots:
            ledger.sources[name] = "slot"
        elif name in copies:
            ledger.sources[name], ledger.reasons[name] = "copy", f"the same variable as {copies[name]}"
        else:
            found, against = _match(name, info.shape, rules, target)
            if found is None and (why := rules.why_ignored(name, target.model)):
                ledger.sources[name], ledger.reasons[name] = "ignored", why
            elif found is None:
                other = next((one for one in others if _match(name, info.shape, rules, one)[0]), None)
                ledger.sources[name] = "unmapped" if other is None else "excluded"
                if other is not None:
                    ledger.reasons[name] = f"{target.architecture} has no such parameter, {other.architecture} has"
                else:
                    unsettled[name] = against
            elif found.parameter in first:
                copies[name] = first[found.parameter]
                ledger.sources[name], ledger.reasons[name] = "copy", f"{found.parameter}, too, as {copies[name]}"
            else:
                first[found.parameter] = name
                ledger.sources[name] = "mapped"
                ledger.targets[found.parameter] = "written"
                ledger.assignments.append(Assignment(_row(name, found), (name,), (found.parameter,)))
    ledger.problems += _unmapped(unsettled, checkpoint)
    ledger.problems += unstorable(checkpoint.tensors, first.values())
    _tie(ledger, target)
    missing = _complete(ledger, rules, target)
    told = {misfit.parameter for against in unsettled.values() for misfit in against}
    ledger.problems += _missing([name for name in missing if name not in told], target, checkpoint)
    order = {name: at for at, name in enumerate(target.shapes)}
    ledger.assignments.sort(key=lambda assignment: order[assignment.targets[0]])
    return ledger.build(), checkpoint.with_copies(copies)


def _match(name: str, shape: tuple[int, ...], rules: Rules, target: Target) -> tuple[Match | None, list[Misfit]]:
    """The parameter of a variable; None, and what its name admits besides, where it is not one.

    A row of the model itself goes before the general ones.
    """
    found: dict[str, Match] = {}
    against: list[Misfit] = []
    for rule, made in rules.candidates(name, target.model):
        parameter = target.find(made)
        if parameter is None or parameter in found:
            continue
        wanted = target.shapes[parameter]
        fitting = ((layout, _fit(layout, shape, wanted)) for layout in rule.layouts)
        layout, axes = next((one for one in fitting if one[1] is not None), (None, None))
        if layout is None or axes is None:
            against.append(Misfit(parameter, wanted, rule.where))
        else:
            found[parameter] = Match(parameter, rule, layout, axes)
    own = [match for match in found.values() if match.rule.where.group == target.model]
    left = own or list(found.values())
    if len(left) > 1:
        return None, [Misfit(match.parameter, shape, match.rule.where) for match in left]
    return (left[0] if left else None), against


def _fit(layout: Layout, shape: tuple[int, ...], wanted: tuple[int, ...]) -> dict[str, int] | None:
    """The sizes of the axes of a layout, where it makes ``wanted`` of ``shape``."""
    terms = layout.tf.terms
    if len(terms) != len(shape) or any(not term.axes and size != 1 for term, size in zip(terms, shape, strict=True)):
        return None
    axes = {term.axes[0]: size for term, size in zip(terms, shape, strict=True) if term.axes}
    return axes if layout.pt.shape(axes) == wanted else None


def _row(name: str, found: Match) -> Row:
    """The row that a table with every name written out would have."""
    spelled, made = (Template.parse(name),), (Template.parse(found.parameter),)
    where = found.rule.where
    return Row(
        group=where.group,
        tf=spelled,
        pt=made,
        also=(),
        layout=found.layout,
        optional=False,
        fill=None,
        orientation=None,
        where=where,
        axes=found.axes,
    )


def _unmapped(unsettled: Mapping[str, list[Misfit]], checkpoint: Checkpoint) -> Iterator[Problem]:
    """Variables that are no parameter's, or several's, or whose parameter has another shape."""
    alike: dict[tuple[object, ...], list[str]] = {}
    for name, against in unsettled.items():
        key = checkpoint.tensors[name].shape, *((misfit.wanted, misfit.where) for misfit in against)
        alike.setdefault(key, []).append(name)
    for names in alike.values():
        for folded, members in fold(names):
            shape = checkpoint.tensors[members[0]].shape
            misfits = [unsettled[name] for name in members]
            details = [
                f"{', '.join(text for text, _ in fold(one.parameter for one in column))} is "
                f"{shape_text(column[0].wanted)}, by {column[0].where}"
                for column in zip(*misfits, strict=True)
            ]
            if not details:
                hint = Sentence("is it of another class? Name that one with {architecture:CLASS}")
                why = ("the class has no parameter of a name that it may have",)
                yield Problem("unmapped", f"{folded} {shape_text(shape)}", why, hint, tuple(members))
            else:
                hint = Sentence("is it the config of this checkpoint? {config:FILE} gives another")
                yield Problem("shape", f"{folded} is {shape_text(shape)}", tuple(details), hint, tuple(members))


def _tie(ledger: LedgerBuilder, target: Target) -> None:
    """Settle the names of one parameter: those that have a variable of their own are written, the others tied to it.

    Where TensorFlow has several it does not tie them, and neither does transformers when it finds different values. A
    single one goes by the name that the others are tied to.
    """
    groups: dict[str, list[str]] = {}
    for name, kept in target.tied.items():
        groups.setdefault(kept, [kept]).append(name)
    for kept, names in groups.items():
        there = [name for name in names if name in ledger.targets]
        if len(there) == 1 and there[0] != kept:
            at = next(at for at, one in enumerate(ledger.assignments) if one.targets == (there[0],))
            ledger.assignments[at] = ledger.assignments[at]._replace(targets=(kept,))
            del ledger.targets[there[0]]
            ledger.targets[kept] = "written"
        for name in names:
            if there and name not in ledger.targets:
                ledger.targets[name], ledger.tied[name] = "tied", kept if kept in ledger.targets else there[0]


def _complete(ledger: LedgerBuilder, rules: Rules, target: Target) -> list[str]:
    """Account for the parameters that no variable becomes; returns those that are missing."""
    missing = []
    for name in target.shapes:
        if name in ledger.targets:
            continue
        if rules.why_derived(name):
            ledger.targets[name] = "derived"
        elif any(entry.pattern.bind(name) is not None for entry in rules.model(target.model).optional):
            ledger.targets[name] = "optional"
        else:
            ledger.targets[name] = "missing"
            missing.append(name)
    return missing


def _missing(names: list[str], target: Target, checkpoint: Checkpoint) -> Iterator[Problem]:
    for folded, members in fold(names):
        details = (f"{target.architecture} has it in the shape {shape_text(target.shapes[members[0]])}",)
        hint = f"does {checkpoint.path.name} belong to the config, and is it complete?"
        yield Problem("missing", folded, details, hint, tuple(members))

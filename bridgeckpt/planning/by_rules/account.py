"""Matching by rules: every variable of a checkpoint gets exactly one parameter of the class; the ledger of both.

The rules turn a variable's name into a few candidate parameters. The right one exists in the class and has the shape
that the rule's layout makes. If none or several remain, that is a problem: nothing is guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import Problem
from bridgeckpt.mapping.notation.templates import Template
from bridgeckpt.mapping.tables.model_records import Filled
from bridgeckpt.mapping.tables.records import Row
from bridgeckpt.planning.account.dtypes import unfit_dtypes
from bridgeckpt.planning.account.ledger import Assignment, LedgerBuilder
from bridgeckpt.planning.by_rules.own_head import outside, own_head_problem
from bridgeckpt.sentences import Sentence
from bridgeckpt.wording import fold, shape_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.notation.layout import Layout
    from bridgeckpt.mapping.tables.records import Where
    from bridgeckpt.mapping.tables.rule_records import Part, Rule, Rules
    from bridgeckpt.planning.account.ledger import Ledger, TargetState
    from bridgeckpt.planning.by_rules.target import Target


class RuleMatch(NamedTuple):
    """The parameter of a variable, the rule and the layout that lead to it, and the sizes of the layout's axes."""

    parameter: str
    rule: Rule
    layout: Layout
    axes: Mapping[str, int]


class Account(NamedTuple):
    """The result of :func:`account_by_rules`.

    ``ledger`` has the states, ``checkpoint`` is the given one with the copies that were found. ``owners`` maps each
    variable that the class lacks to a class that has its parameter.
    """

    ledger: Ledger
    checkpoint: Checkpoint
    owners: Mapping[str, str]


class RuleMisfit(NamedTuple):
    """A candidate parameter of shape ``wanted``, which the rule at ``where`` cannot make from the variable."""

    parameter: str
    wanted: tuple[int, ...]
    where: Where


def account_by_rules(
    checkpoint: Checkpoint,
    rules: Rules,
    target: Target,
    others: Sequence[Target] = (),
    *,
    bare: str | None = None,
    settled: bool = False,
) -> Account:
    """Account for a checkpoint that becomes ``target``.

    TensorFlow may store a weight once for each of its uses. Such variables of one parameter are copies: the first is
    converted, and the others have to hold the same values. ``others`` are classes that the checkpoint could become as
    well: a variable that has a parameter only in one of them is excluded. ``bare`` is the class without a head.
    ``settled``: a person chose the class, so a head that no rule reads is left out.
    """
    ledger, first, owners = LedgerBuilder(), dict[str, str](), dict[str, str]()
    copies, training = dict(checkpoint.copies), checkpoint.training_state()
    unmatched: dict[str, list[RuleMisfit]] = {}
    for name, info in checkpoint.tensors.items():
        if name in training.slots or name in training.averages:
            ledger.sources[name] = "slot" if name in training.slots else "average"
        elif name in copies:
            ledger.sources[name], ledger.reasons[name] = "copy", f"the same variable as {copies[name]}"
        else:
            match, misfits = _match(name, info.shape, rules, target)
            if match is None and (why := rules.why_ignored(name, target.model)):
                ledger.sources[name], ledger.reasons[name] = "ignored", why
            elif match is None and name in training.bookkeeping:
                ledger.sources[name], ledger.reasons[name] = "bookkeeping", training.bookkeeping[name]
            elif match is None:
                other = next((other for other in others if _match(name, info.shape, rules, other)[0]), None)
                ledger.sources[name] = "unmapped" if other is None else "excluded"
                if other is not None:
                    ledger.reasons[name] = f"{target.architecture} has no such parameter, {other.architecture} has"
                    owners[name] = other.architecture
                else:
                    unmatched[name] = misfits
            elif match.parameter in first:
                copies[name] = first[match.parameter]
                ledger.sources[name], ledger.reasons[name] = "copy", f"{match.parameter}, like {copies[name]}"
            else:
                first[match.parameter] = name
                ledger.sources[name] = "mapped"
                ledger.targets[match.parameter] = "written"
                ledger.assignments.append(Assignment(_row(name, match), (name,), (match.parameter,)))
    ledger.own_head = _own_head(checkpoint, rules, [target, *others], bare, ledger, unmatched)
    if settled:
        _exclude(ledger, ledger.own_head, f"{target.architecture} has no such part")
    unmatched = {name: misfits for name, misfits in unmatched.items() if name not in ledger.own_head}
    ledger.problems += [*_unmapped(unmatched, checkpoint), *_unfit(first, checkpoint, target)]
    _tie(ledger, target)
    missing = _complete(ledger, rules, target)
    reported = {misfit.parameter for misfits in unmatched.values() for misfit in misfits}
    ledger.problems += _missing([name for name in missing if name not in reported], target, checkpoint)
    if ledger.own_head and not settled:
        ledger.problems.append(own_head_problem(ledger.own_head, checkpoint.tensors, bare or target.architecture))
    order = {name: place for place, name in enumerate(target.shapes)}
    ledger.assignments.sort(key=lambda assignment: order[assignment.targets[0]])
    return Account(ledger.build(), checkpoint.with_copies(copies), owners)


def _unfit(variables: Mapping[str, str], checkpoint: Checkpoint, target: Target) -> Iterator[Problem]:
    """A problem for each dtype that its parameter cannot have; ``variables`` are by parameter."""
    for weights in (True, False):
        names = [name for parameter, name in variables.items() if (parameter not in target.integers) == weights]
        yield from unfit_dtypes(checkpoint.tensors, names, weights=weights)


def _exclude(ledger: LedgerBuilder, names: Iterable[str], reason: str) -> None:
    for name in names:
        ledger.sources[name], ledger.reasons[name] = "excluded", reason


def _own_head(
    checkpoint: Checkpoint,
    rules: Rules,
    targets: Sequence[Target],
    bare: str | None,
    ledger: LedgerBuilder,
    unmatched: Mapping[str, list[RuleMisfit]],
) -> list[str]:
    """The variables outside the model without a head that have no parameter under any name."""
    encoder = next((one for one in targets if one.architecture == bare), None)
    unread = [name for name, misfits in unmatched.items() if not misfits]
    if encoder is None or not unread:
        return []
    known = [name for name, state in ledger.sources.items() if state in ("mapped", "excluded")]
    own = {name for name in known if _match(name, checkpoint.tensors[name].shape, rules, encoder)[0] is not None}
    return outside(unread, own, [name for name in known if name not in own])


def _match(
    name: str, shape: tuple[int, ...], rules: Rules, target: Target
) -> tuple[RuleMatch | None, list[RuleMisfit]]:
    """The parameter of a variable if there is exactly one, and the other candidates.

    A rule of the model itself has priority over the general ones.
    """
    matches: dict[str, RuleMatch] = {}
    misfits: list[RuleMisfit] = []
    for rule, candidate in rules.candidates(name, target.model):
        parameter = target.find(candidate)
        if parameter is None or parameter in matches:
            continue
        wanted = target.shapes[parameter]
        fitting = ((layout, _fit(layout, shape, wanted)) for layout in rule.layouts)
        layout, axes = next(((layout, axes) for layout, axes in fitting if axes is not None), (None, None))
        if layout is None or axes is None:
            misfits.append(RuleMisfit(parameter, wanted, rule.where))
        else:
            matches[parameter] = RuleMatch(parameter, rule, layout, axes)
    of_the_model = [match for match in matches.values() if match.rule.where.group == target.model]
    remaining = of_the_model or list(matches.values())
    if len(remaining) > 1:
        return None, [RuleMisfit(match.parameter, shape, match.rule.where) for match in remaining]
    return (remaining[0] if remaining else None), misfits


def _fit(layout: Layout, shape: tuple[int, ...], wanted: tuple[int, ...]) -> dict[str, int] | None:
    """The sizes of a layout's axes if it turns ``shape`` into the shape ``wanted``, else None."""
    terms = layout.tf.terms
    if len(terms) != len(shape) or any(not term.axes and size != 1 for term, size in zip(terms, shape, strict=True)):
        return None
    axes = {term.axes[0]: size for term, size in zip(terms, shape, strict=True) if term.axes}
    return axes if layout.pt.shape(axes) == wanted else None


def _row(name: str, match: RuleMatch) -> Row:
    """The row for this variable in a table that writes out every name."""
    tf, pt = (Template.parse(name),), (Template.parse(match.parameter),)
    where = match.rule.where
    return Row(
        group=where.group,
        tf=tf,
        pt=pt,
        also=(),
        layout=match.layout,
        optional=False,
        fill=None,
        orientation=None,
        where=where,
        axes=match.axes,
    )


def _unmapped(unmatched: Mapping[str, list[RuleMisfit]], checkpoint: Checkpoint) -> Iterator[Problem]:
    """The problems of variables that have no parameter, several, or one of another shape."""
    alike: dict[tuple[object, ...], list[str]] = {}
    for name, candidates in unmatched.items():
        key = checkpoint.tensors[name].shape, *((misfit.wanted, misfit.where) for misfit in candidates)
        alike.setdefault(key, []).append(name)
    for names in alike.values():
        for folded, members in fold(names):
            shape = checkpoint.tensors[members[0]].shape
            misfits = [unmatched[name] for name in members]
            details = [
                f"{', '.join(text for text, _ in fold(misfit.parameter for misfit in column))} is "
                f"{shape_text(column[0].wanted)}, by {column[0].where}"
                for column in zip(*misfits, strict=True)
            ]
            if not details:
                hint = Sentence("is it of another class? Name that one with {architecture:CLASS}")
                why = ("the class has no parameter under any name that the rules allow",)
                yield Problem("unmapped", f"{folded} {shape_text(shape)}", why, hint, tuple(members))
            else:
                hint = Sentence("is it the config of this checkpoint? {config:FILE} gives another")
                yield Problem("shape", f"{folded} is {shape_text(shape)}", tuple(details), hint, tuple(members))


def _tie(ledger: LedgerBuilder, target: Target) -> None:
    """Account for parameters with several names: names that have their own variable are written, the others are tied.

    If several have a variable, TensorFlow does not tie them, and transformers does not either if the values differ. If
    only one has a variable, it is written under the name that the others are tied to.
    """
    groups: dict[str, list[str]] = {}
    for name, kept in target.tied.items():
        groups.setdefault(kept, [kept]).append(name)
    for kept, names in groups.items():
        written = [name for name in names if name in ledger.targets]
        if len(written) == 1 and written[0] != kept:
            targets = [assignment.targets for assignment in ledger.assignments]
            place = targets.index((written[0],))
            ledger.assignments[place] = ledger.assignments[place]._replace(targets=(kept,))
            del ledger.targets[written[0]]
            ledger.targets[kept] = "written"
        for name in names:
            if written and name not in ledger.targets:
                ledger.targets[name], ledger.tied[name] = "tied", kept if kept in ledger.targets else written[0]


def _complete(ledger: LedgerBuilder, rules: Rules, target: Target) -> list[str]:
    """Account for the parameters that have no variable; returns those that are missing."""
    missing = []
    for name in target.shapes:
        if name in ledger.targets:
            continue
        if rules.why_derived(name):
            ledger.targets[name] = "derived"
        elif (number := rules.number(name)) is not None and target.shapes[name] == ():
            ledger.targets[name] = "filled"
            ledger.filled[name] = Filled(
                group="",
                pt=Template.parse(name),
                value=number.value,
                layout=None,
                meaning=number.meaning,
                dtype=number.dtype,
            )
        elif any(entry.pattern.bind(name) is not None for entry in rules.model(target.model).optional):
            ledger.targets[name] = "optional"
        else:
            ledger.targets[name] = "missing"
            missing.append(name)
    parts = absent_parts(ledger.targets, rules, target)
    without = {name for name in missing if any(part.pattern.bind(name) is not None for part in parts)}
    ledger.targets.update(dict.fromkeys(without, "optional"))
    return [name for name in missing if name not in without]


def absent_parts(targets: Mapping[str, TargetState], rules: Rules, target: Target) -> list[Part]:
    """The parts of the class that the checkpoint lacks as a whole, and without which the class can be loaded."""
    found = []
    for part in rules.parts:
        states = {state for name, state in targets.items() if part.pattern.bind(name) is not None}
        if part.argument.partition("=")[0] in target.arguments and states and states <= {"missing", "optional"}:
            found.append(part)
    return found


def _missing(names: list[str], target: Target, checkpoint: Checkpoint) -> Iterator[Problem]:
    for folded, members in fold(names):
        details = (f"{target.architecture} has it with shape {shape_text(target.shapes[members[0]])}",)
        hint = f"does {checkpoint.path.name} belong to the config, and is it complete?"
        yield Problem("missing", folded, details, hint, tuple(members))

"""Which Hugging Face class a checkpoint becomes: the one whose groups of parameters the checkpoint has."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import PlanError, Problem
from bridgeckpt.mapping.tables.model_records import bare_class
from bridgeckpt.sentences import Sentence, Setting

if TYPE_CHECKING:
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.mapping.tables.records import Table


class Choice(NamedTuple):
    """The chosen class, notes, warnings and problems; ``guesses`` are warnings that no graph shows the class."""

    architecture: Architecture
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    guesses: tuple[str, ...] = ()


def choose_architecture(
    table: Table,
    present: Mapping[str, frozenset[str]],
    axes_of: Callable[[Architecture], Mapping[str, int]],
    requested: str | None,
    head: str | None,
    named: Sequence[str] = (),
    *,
    evidence: str = "the graph",
) -> Choice:
    """Choose the class for the ``present`` groups, each with the tensors that it has at index 0.

    ``axes_of`` solves the sizes of a class's tensors, by axis. ``requested`` is the class that the user named, and
    ``named`` are those that the source names, the most believed first. ``head`` says what a classifier's logits are
    computed for ("sequence", "token", "span" or None); ``evidence`` says where that is from. A class that would drop a
    head, or that lacks one, is never chosen. Heads that consist of the same tensors count as one.

    Raises:
        PlanError: ``requested`` is not a class of the model.
    """
    classes = table.model.architectures
    if requested is not None:
        if requested not in classes:
            raise PlanError(
                f"{requested} is not a class that {table.name} converts to", hint=f"choose one of: {', '.join(classes)}"
            )
        return Choice(classes[requested], problems=tuple(_size_conflicts(classes[requested], axes_of)))
    complete = _complete(table, present, axes_of)
    if not complete:
        nearest = min(classes.values(), key=lambda a: len(set(a.groups) - present.keys()))
        return Choice(nearest)  # what it lacks is reported as a problem of its own
    heads = _heads(table, present)
    most = max(len(heads & set(a.groups)) for a in complete)
    widest = [a for a in complete if len(heads & set(a.groups)) == most]
    converted = frozenset[str]().union(*(present[name] for name in widest[0].groups))
    if any(not present[name] <= converted for name in heads):
        return Choice(widest[0], problems=(_ambiguous(heads, complete),))
    if by_name := [a for name in named for a in widest if a.name == name]:
        return _class_with_heads(by_name[:1], present.keys(), head, evidence)
    choice = _class_with_heads(widest, present.keys(), head, evidence)
    fuller = _filled_class(table, choice.architecture, present.keys())
    return choice if fuller is None else Choice(fuller)


def _complete(
    table: Table, present: Mapping[str, frozenset[str]], axes_of: Callable[[Architecture], Mapping[str, int]]
) -> list[Architecture]:
    """The classes whose groups are all present, with tensors of the sizes that the class fixes."""
    classes = table.model.architectures.values()
    return [a for a in classes if present.keys() >= {*a.groups} and not _size_conflicts(a, axes_of)]


def fitting_classes(
    table: Table,
    present: Mapping[str, frozenset[str]],
    axes_of: Callable[[Architecture], Mapping[str, int]],
    chosen: Architecture,
) -> list[Architecture]:
    """The classes that the tensors fit as well as the ``chosen`` one: they are complete, and keep the same heads."""
    heads = _heads(table, present)
    kept = heads & {*chosen.groups}
    return [a for a in _complete(table, present, axes_of) if heads & {*a.groups} == kept]


def keeps_heads_of(table: Table, chosen: Architecture, name: str) -> bool:
    """Whether ``chosen`` has every head of the class ``name``; False of a class that the model does not have."""
    other = table.model.architectures.get(name)
    return other is not None and {*other.groups} - _body(table) <= {*chosen.groups}


def _filled_class(table: Table, chosen: Architecture, present: Collection[str]) -> Architecture | None:
    """A class that keeps all that ``chosen`` keeps and more, if groups that the checkpoint lacks are filled."""
    kept = {*present} & {*chosen.groups, *chosen.optional}
    for other in table.model.architectures.values():
        if other.filled and {*present} >= {*other.groups} - {*other.filled} and {*present} & {*other.groups} > kept:
            return other
    return None


def class_of_scope(table: Table, scope: str) -> str | None:
    """The Hugging Face class that a scope is named after, or None.

    Keras names a model after its class: ``tf_bert_for_token_classification/``, ``tf_bert_for_token_classification_1/``.
    """
    return next((name for name in table.model.architectures if is_named_after(scope, name)), None)


def is_named_after(path: str, architecture: str) -> bool:
    """Whether Keras named the first object in ``path`` after the TensorFlow twin of a class.

    Versions of Keras put ``_`` in different places (``tf_data2vec``, ``tf_data2_vec``), and a number at the end.
    """
    name = re.sub(r"_\d+$", "", path.partition("/")[0])
    return name.replace("_", "") == f"tf{architecture}".lower()


def head_from_object_paths(table: Table, checkpoint: Checkpoint) -> str | None:
    """What one row of the logits stands for, by the paths of the checkpoint's objects; None if no path shows it."""
    paths = [f"/{path}" for path in checkpoint.objects] if table.heads else []
    for head, ends in table.heads.items():
        if any(path.endswith(tuple(f"/{end}" for end in ends)) for path in paths):
            return head
    return None


def drop_inner_heads(
    table: Table, present: Mapping[str, frozenset[str]], scope: str
) -> tuple[Mapping[str, frozenset[str]], list[str]]:
    """``present`` without the heads of an inner model that another model put its own head on, and warnings about it.

    All variables of the inner model are under ``scope``, those of its heads too; the outer head's are not.
    """
    heads = _heads(table, present)
    inner = {name for name in heads if scope and all(tensor.startswith(scope) for tensor in present[name])}
    outer = heads - inner
    if not inner or not outer:
        return present, []
    warning = Sentence(
        "{inner} under {scope} left out: {outer} was put on top of that model; {architecture} keeps it",
        inner=", ".join(sorted(inner)),
        scope=scope,
        outer=", ".join(sorted(outer)),
        architecture=Setting("architecture", keeping(table.model.architectures, inner, present.keys()).name),
    )
    return {name: tensors for name, tensors in present.items() if name not in inner}, [warning]


def _heads(table: Table, present: Collection[str]) -> set[str]:
    """The groups that belong to a head of some class."""
    classes = table.model.architectures.values()
    return {name for name in present if any(name in {*a.groups} - _body(table) for a in classes)}


def _body(table: Table) -> set[str]:
    """The groups of the bare model: those of its smallest class, required or optional."""
    bare = table.model.bare
    return {*bare.groups, *bare.optional}


def keeping(
    classes: Mapping[str, Architecture], groups: Collection[str], present: Collection[str], head: str | None = None
) -> Architecture:
    """The class that keeps ``groups`` and most of what is present, without a head of another meaning than ``head``."""
    fitting = [
        a
        for a in classes.values()
        if {*groups} <= a.all_groups and {*present} >= {*a.groups} - {*a.filled} and a.head in (None, head)
    ]
    return max(fitting or [bare_class(classes)], key=lambda a: len(a.all_groups & {*present}))


def _class_with_heads(classes: list[Architecture], present: Collection[str], head: str | None, evidence: str) -> Choice:
    """Among classes with the same heads, take the one for ``head``, else the one that uses most of the groups."""
    by_head = next((a for a in classes if head is not None and a.head == head), None)
    if by_head is not None:
        return Choice(by_head, (f"{by_head.name}: {evidence} computes its logits per {by_head.head}",))
    used = max(len({*present} & {*a.groups, *a.optional}) for a in classes)
    chosen = next(a for a in classes if len({*present} & {*a.groups, *a.optional}) == used)
    others = [a.name for a in classes if a.name != chosen.name and a.head is not None]
    if not others or chosen.head is None:
        return Choice(chosen)
    guess = Sentence(
        "took {chosen}: the names and shapes also fit {others}, and there is no graph to decide; {architecture} "
        "chooses that one",
        chosen=chosen.name,
        others=" or ".join(others),
        architecture=Setting("architecture", others[0]),
    )
    return Choice(chosen, guesses=(guess,))


def _ambiguous(heads: set[str], classes: list[Architecture]) -> Problem:
    fitting = [f"{a.name}: {', '.join(sorted(heads & set(a.groups)))}" for a in classes if heads & set(a.groups)]
    return Problem(
        "heads",
        f"no class has all the heads of this checkpoint: {', '.join(sorted(heads))}",
        tuple(fitting),
        Sentence("choose the class with {architecture:CLASS}; the other heads are then reported as excluded"),
    )


def missing_groups(table: Table, architecture: Architecture, present: set[str]) -> list[Problem]:
    """A problem for each absent group that the class needs, or that the table expects in every checkpoint.

    A class needs its optional groups too, if the model table does not say how it is loaded without them.
    """
    always = [name for name, group in table.groups.items() if not group.optional]
    drawn = [name for name in architecture.optional if name not in architecture.load_without]
    hints = dict.fromkeys(always, "is the checkpoint complete?") | dict.fromkeys(
        drawn,
        f"{architecture.name} would draw it at random; if it is complete without the group, say in load_without of "
        f"{table.model.name} with which arguments it is loaded then; if it has no such part with these sizes, take the "
        "group out of the class there",
    )
    needed = Sentence(
        "without {architecture}, a class whose groups are all present is chosen; "
        "transformers adds a new head when it loads a model as another class"
    )
    hints |= dict.fromkeys(architecture.groups, needed)
    owners = dict.fromkeys(always, table.name) | dict.fromkeys((*architecture.groups, *drawn), architecture.name)
    return [
        Problem(
            "missing",
            f"group {name} of {owners[name]}",
            (f"none of its tensors is in the checkpoint, for instance {table.groups[name].rows[0].tf[0].text}",)
            if name in table.groups
            else (f"{table.name} has no such group: this dialect does not store it",),
            hints[name],
        )
        for name in dict.fromkeys((*architecture.groups, *always, *drawn))
        if name not in present and name not in architecture.filled
    ]


def _size_conflicts(architecture: Architecture, axes_of: Callable[[Architecture], Mapping[str, int]]) -> list[Problem]:
    """A problem for each size that the class fixes, and that is different in the checkpoint."""
    axes = axes_of(architecture) if architecture.sizes else {}
    return [
        Problem("heads", f"{architecture.name} needs {axis} = {size}, but the checkpoint has {axes[axis]}")
        for axis, size in architecture.sizes.items()
        if axes.get(axis, size) != size
    ]

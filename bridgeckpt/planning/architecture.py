"""Which Hugging Face class a checkpoint becomes: the one whose groups of parameters are the groups that are there."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import PlanError, Problem
from bridgeckpt.sentences import Sentence, Setting

if TYPE_CHECKING:
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.mapping.tables.records import Table


class Choice(NamedTuple):
    """The class chosen, what to say aloud about it, and the problems with it."""

    architecture: Architecture
    notes: list[str]
    problems: list[Problem]


def choose_architecture(
    table: Table,
    present: Mapping[str, frozenset[str]],
    axes_of: Callable[[Architecture], Mapping[str, int]],
    asked: str | None,
    head: str | None,
    named: str | None = None,
    *,
    evidence: str = "the graph",
) -> Choice:
    """The class for the ``present`` groups, each with the tensors it has at index 0.

    ``axes_of`` solves the sizes of a class's tensors, by axis. ``asked`` is the class that the user named. ``head`` is
    what the logits of a classifier are computed for ("sequence", "token", "span" or None), and ``evidence`` what says
    so. ``named`` is the class that the source's config names. A class is never chosen that would drop a head or lack
    one; heads that are the same tensors are one.

    Raises:
        PlanError: ``asked`` is not a class of the model.
    """
    classes = table.model.architectures
    if asked is not None:
        if asked not in classes:
            raise PlanError(
                f"{asked} is not a class that {table.name} converts to", hint=f"choose one of: {', '.join(classes)}"
            )
        return Choice(classes[asked], [], _misfits(classes[asked], axes_of))
    complete = [a for a in classes.values() if present.keys() >= {*a.groups} and not _misfits(a, axes_of)]
    if not complete:
        nearest = min(classes.values(), key=lambda a: len(set(a.groups) - present.keys()))
        return Choice(nearest, [], [])  # what it lacks is a problem of its own
    heads = _heads(table, present)
    best = max(len(heads & set(a.groups)) for a in complete)
    widest = [a for a in complete if len(heads & set(a.groups)) == best]
    read = frozenset[str]().union(*(present[name] for name in widest[0].groups))
    if any(not present[name] <= read for name in heads):
        return Choice(widest[0], [], [_ambiguous(heads, complete)])
    return _class_with_heads([a for a in widest if a.name == named] or widest, present.keys(), head, evidence)


def class_of_scope(table: Table, scope: str) -> str | None:
    """The class of transformers after which Keras called the model that was saved, where a scope is such a name.

    As in ``tf_bert_for_token_classification/`` or ``tf_bert_for_token_classification_1/``.
    """
    called = re.sub(r"_\d+$", "", scope.partition("/")[0])
    return next((name for name in table.model.architectures if _snake_case(f"TF{name}") == called), None)


def _snake_case(name: str) -> str:
    """A class as Keras calls its first object: TFBertModel is tf_bert_model."""
    spaced = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", spaced).lower()


def head_from_object_paths(table: Table, checkpoint: Checkpoint) -> str | None:
    """What one row of the logits is about, where an object of the checkpoint tells by its path, else None."""
    paths = [f"/{path}" for path in checkpoint.objects] if table.heads else []
    for head, ends in table.heads.items():
        if any(path.endswith(tuple(f"/{end}" for end in ends)) for path in paths):
            return head
    return None


def drop_inner_heads(
    table: Table, present: Mapping[str, frozenset[str]], scope: str
) -> tuple[Mapping[str, frozenset[str]], list[str]]:
    """``present`` without the heads of a module that another head was put on top of, and what to say of it.

    The module's variables are under ``scope``, its own heads' too; those of the model that uses it are not.
    """
    heads = _heads(table, present)
    own = {name for name in heads if scope and all(tensor.startswith(scope) for tensor in present[name])}
    outer = heads - own
    if not own or not outer:
        return present, []
    note = f"{', '.join(sorted(own))} under {scope} left out: {', '.join(sorted(outer))} was put on top of that model"
    return {name: tensors for name, tensors in present.items() if name not in own}, [note]


def _heads(table: Table, present: Collection[str]) -> set[str]:
    """The groups that make up a head of some class."""
    classes = table.model.architectures.values()
    return {name for name in present if any(name in {*a.groups} - _body(table) for a in classes)}


def _body(table: Table) -> set[str]:
    """The groups of the bare model: those of its smallest class, required or optional."""
    bare = min(table.model.architectures.values(), key=lambda a: len(a.groups))
    return {*bare.groups, *bare.optional}


def _class_with_heads(classes: list[Architecture], present: Collection[str], head: str | None, evidence: str) -> Choice:
    """Among classes with the same heads take the one told, else the one that uses most of what is there."""
    told = [a for a in classes if head is not None and a.head == head]
    if told:
        return Choice(told[0], [f"{told[0].name}: {evidence} computes its logits per {told[0].head}"], [])
    used = max(len({*present} & {*a.groups, *a.optional}) for a in classes)
    chosen = next(a for a in classes if len({*present} & {*a.groups, *a.optional}) == used)
    others = [a.name for a in classes if a.name != chosen.name and a.head is not None]
    notes: list[str] = []
    if others and chosen.head is not None:
        notes.append(
            Sentence(
                "took {chosen}: the names and shapes would also fit {others}, and no graph tells; "
                "{architecture} makes it that",
                chosen=chosen.name,
                others=" or ".join(others),
                architecture=Setting("architecture", others[0]),
            )
        )
    return Choice(chosen, notes, [])


def _ambiguous(heads: set[str], classes: list[Architecture]) -> Problem:
    fitting = [f"{a.name}: {', '.join(sorted(heads & set(a.groups)))}" for a in classes if heads & set(a.groups)]
    return Problem(
        "heads",
        f"no class has all the heads of this checkpoint: {', '.join(sorted(heads))}",
        tuple(fitting),
        Sentence("choose the class with {architecture:CLASS}; the other heads are then reported as excluded"),
    )


def lacking(table: Table, architecture: Architecture, present: set[str]) -> list[Problem]:
    """Groups that are not there: the class needs them, or by the table every checkpoint of the dialect has them."""
    always = [name for name, group in table.groups.items() if not group.optional]
    hint = Sentence(
        "a class whose groups are all there is chosen without {architecture}; "
        "transformers adds a new head when a model is loaded as another class"
    )
    return [
        Problem(
            "missing",
            f"group {name} of {architecture.name if name in architecture.groups else table.name}",
            (f"none of its tensors is in the checkpoint, for instance {table.groups[name].rows[0].tf[0].text}",)
            if name in table.groups
            else (f"{table.name} has no such group: this dialect does not store it",),
            hint if name in architecture.groups else "is the checkpoint complete?",
        )
        for name in dict.fromkeys((*architecture.groups, *always))
        if name not in present
    ]


def _misfits(architecture: Architecture, axes_of: Callable[[Architecture], Mapping[str, int]]) -> list[Problem]:
    """The sizes that the class fixes and the checkpoint has otherwise."""
    axes = axes_of(architecture) if architecture.sizes else {}
    return [
        Problem("heads", f"{architecture.name} takes {axis} = {size}, and the checkpoint has {axes[axis]}")
        for axis, size in architecture.sizes.items()
        if axes.get(axis, size) != size
    ]

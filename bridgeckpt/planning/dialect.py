"""Which mapping table reads a checkpoint: exactly one dialect may recognise it, under exactly one leading scope."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import PlanError
from bridgeckpt.mapping.notation.names import Names, bind
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.mapping.tables.families import find_unsupported_model
from bridgeckpt.mapping.tables.shortlist import shortlist
from bridgeckpt.sentences import Sentence, Setting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.tables.records import Table

Wildcards = dict[str, str]

_OUTPUT = ":0"  # the output of the operation that reads a variable: part of its name in TensorFlow 1 and Keras 2
_PLAIN = "variable, plain"


class Dialect(NamedTuple):
    """A table, what its wildcards stand for in the checkpoint, and the bindings of the towers that were not chosen.

    ``checkpoint`` has its tensors under the names that the table speaks of, which are ``names``.
    """

    table: Table
    checkpoint: Checkpoint
    names: Names
    wildcards: Wildcards
    other_towers: list[Wildcards]


def choose_table(checkpoint: Checkpoint, mapping: str | Path | None, scope: str | None) -> Dialect:
    """The table that reads ``checkpoint``, and what its wildcards stand for there.

    ``mapping`` names the table (or its file); without it every shipped dialect is tried. ``scope`` chooses among
    several models in one checkpoint by the leading path of its names.

    Raises:
        PlanError: no dialect recognises the names, two do, or one does under several scopes (two towers).
    """
    views = {"key": checkpoint, "variable": checkpoint.by_variable(), _PLAIN: checkpoint.by_variable(without=_OUTPUT)}
    same = views["variable"] is checkpoint
    names = {"key": _names(checkpoint)}
    names |= {which: names["key"] if same else _names(view) for which, view in views.items() if which != "key"}
    either = {"key": names["key"], "variable": names["key"] if same else chain(names["variable"], names[_PLAIN])}
    candidates = [load_table(name) for name in ([mapping] if mapping else shortlist(either))]
    found = [(table, bind(table.detect, names[_spoken(table)], table.absent)) for table in candidates]
    matches = [(table, bindings) for table, bindings in found if bindings]
    if not matches:
        raise _unrecognised(views["variable"], candidates if mapping else [])
    if len(matches) > 1:
        listed = " and ".join(f"{table.name} ({table.title})" for table, _ in matches)
        raise PlanError(
            f"{checkpoint.path} could be of {len(matches)} dialects: {listed}",
            hint=Sentence("name the right one, for instance {mapping}", mapping=Setting("mapping", matches[0][0].name)),
        )
    table, bindings = matches[0]
    view = views[_spoken(table)], names[_spoken(table)]
    if scope is None:
        if len(bindings) > 1:
            raise _towers(checkpoint, table, bindings)
        return Dialect(table, *view, bindings[0], [])
    wanted = {scope, f"{scope}/"} if scope else {""}
    chosen = [binding for binding in bindings if not wanted.isdisjoint(binding.values())]
    if not chosen:
        there = ", ".join(repr(value) for binding in bindings for value in binding.values())
        raise PlanError(
            f"{checkpoint.path} holds no model of dialect {table.name} under the scope {scope!r}",
            hint=f"the scopes there are: {there}",
        )
    return Dialect(table, *view, chosen[0], [binding for binding in bindings if binding != chosen[0]])


def _spoken(table: Table) -> str:
    """Which names of the tensors a table speaks of: one without a suffix, of variables' names without ``:0``."""
    return _PLAIN if table.names == "variable" and not table.suffix else table.names


def _names(checkpoint: Checkpoint) -> Names:
    """The names in which a model is looked for; state of an optimizer may be called ``Adam/m/dense/kernel``."""
    slots = checkpoint.slots
    return Names(name for name in checkpoint.tensors if name not in slots)


def _unrecognised(checkpoint: Checkpoint, asked: list[Table]) -> PlanError:
    """No table fits; ``asked`` is the one that the user named, if one was."""
    names = list(checkpoint.tensors)
    holds = f"the checkpoint holds {len(names)} tensors"
    if asked:
        looked_for = (f"{asked[0].name} looks for {asked[0].detect[0].text}",)
        message = unread(f"{asked[0].name} does not match {checkpoint.path}", holds, names, looked_for)
    else:
        message = unread(f"no mapping table recognises {checkpoint.path}", holds, names)
    return PlanError(
        message,
        hint=Sentence(
            "run `bridgeckpt inspect` to see its tensors and `bridgeckpt mappings list` for what is known; a table of "
            "your own is a file: {mapping}",
            mapping=Setting("mapping", "my_table.toml"),
        ),
        kind="unrecognised" if not asked else None,
        names=names,
    )


def unread(heading: str, holds: str, names: Sequence[str], details: Sequence[str] = ()) -> str:
    """The message that no table reads ``names``; ``holds`` says whose they are, and how many."""
    some = [*names[:5], *([f"and {len(names) - 5} more"] if len(names) > 5 else [])]
    family = find_unsupported_model(names)
    lines = [*details, *([f"it is {family}, which no table converts yet"] if family else [])]
    return "\n".join([heading, *(f"  {line}" for line in lines), f"{holds}:", *(f"  {name}" for name in some)])


def _towers(checkpoint: Checkpoint, table: Table, bindings: list[Wildcards]) -> PlanError:
    towers = [", ".join(f"{key} = {value!r}" for key, value in sorted(binding.items())) for binding in bindings]
    example = next((value for binding in bindings for value in binding.values() if value), "")
    return PlanError(
        "\n".join(
            [f"{checkpoint.path} holds {len(towers)} models of dialect {table.name}:", *(f"  {t}" for t in towers)]
        )
        + "\nConverting both into one model would overwrite one with the other.",
        hint=Sentence("choose one with {scope}, for instance {example}", example=Setting("scope", example)),
    )

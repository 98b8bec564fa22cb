"""Which mapping table reads a checkpoint: exactly one dialect may recognise it, under exactly one leading scope."""

from __future__ import annotations

import os
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

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.tables.families import UnsupportedModel
    from bridgeckpt.mapping.tables.records import Table

Wildcards = dict[str, str]

_OUTPUT = ":0"  # the output of the operation that reads a variable: part of its name in TensorFlow 1 and Keras 2
_PLAIN = "variable, plain"
_HINT = Sentence(
    "run `bridgeckpt inspect` to see its tensors and `bridgeckpt mappings list` for the tables; a table of "
    "your own is a file: {mapping}",
    mapping=Setting("mapping", "my_table.toml"),
)


class Dialect(NamedTuple):
    """The table that reads a checkpoint, and the values of its wildcards there.

    ``checkpoint`` has its tensors under the names that the table is written in, which are ``names``. ``other_towers``
    are the wildcards of the models in the checkpoint that were not chosen.
    """

    table: Table
    checkpoint: Checkpoint
    names: Names
    wildcards: Wildcards
    other_towers: list[Wildcards]


def choose_table(checkpoint: Checkpoint, mapping: str | os.PathLike[str] | None, scope: str | None) -> Dialect:
    """Find the table that reads ``checkpoint``, and the values of its wildcards there.

    ``mapping`` names the table or its file; without it, every shipped dialect is tried. ``scope`` chooses one of
    several models in a checkpoint by the leading path of its names.

    Raises:
        PlanError: No dialect recognises the names, two dialects do, or one does under several scopes (two towers).
    """
    every_scope = scope is not None
    views = {"key": checkpoint, "variable": checkpoint.by_variable(), _PLAIN: checkpoint.by_variable(without=_OUTPUT)}
    keys_are_names = views["variable"] is checkpoint
    names = {"key": _names(checkpoint, every_scope)}
    names |= {
        which: names["key"] if keys_are_names else _names(view, every_scope)
        for which, view in views.items()
        if which != "key"
    }
    variables = names["key"] if keys_are_names else chain(names["variable"], names[_PLAIN])
    tables = [mapping] if mapping else shortlist({"key": names["key"], "variable": variables})
    candidates = [load_table(name) for name in tables]
    bound = [(table, bind(table.detect, names[_view_for(table)], table.absent)) for table in candidates]
    matches = [(table, bindings) for table, bindings in bound if bindings]
    if not matches:
        raise _unrecognised(views["variable"], candidates if mapping else [])
    if len(matches) > 1:
        listed = " and ".join(f"{table.name} ({table.title})" for table, _ in matches)
        raise PlanError(
            f"{checkpoint.path} matches {len(matches)} dialects: {listed}",
            hint=Sentence("name the right one, for instance {mapping}", mapping=Setting("mapping", matches[0][0].name)),
        )
    table, bindings = matches[0]
    view = views[_view_for(table)], names[_view_for(table)]
    if scope is None:
        if len(bindings) > 1:
            raise _towers(checkpoint, table, bindings)
        return Dialect(table, *view, bindings[0], [])
    wanted = {scope, f"{scope}/"} if scope else {""}
    chosen = [binding for binding in bindings if not wanted.isdisjoint(binding.values())]
    if not chosen:
        scopes = ", ".join(repr(value) for binding in bindings for value in binding.values())
        raise PlanError(
            f"{checkpoint.path} holds no model of dialect {table.name} under the scope {scope!r}",
            hint=f"its scopes are: {scopes}",
        )
    return Dialect(table, *view, chosen[0], [binding for binding in bindings if binding != chosen[0]])


def _view_for(table: Table) -> str:
    """Which names a table is written in. One for variables that has no suffix uses names without ``:0``."""
    return _PLAIN if table.names == "variable" and not table.suffix else table.names


def _names(checkpoint: Checkpoint, every_scope: bool) -> Names:
    """The names in which to look for a model: without optimizer state, which may be ``Adam/m/dense/kernel``.

    Moving averages may lie under a scope, ``ema/bert/...``. They are a model only if every scope may be one, because
    the user named one.
    """
    training = checkpoint.training_state()
    left = training.slots if every_scope else {*training.slots, *training.averages}
    return Names(name for name in checkpoint.tensors if name not in left)


def _unrecognised(checkpoint: Checkpoint, requested: list[Table]) -> PlanError:
    """The error that no table fits; ``requested`` holds the table that the user named, if any."""
    names = list(checkpoint.tensors)
    holds = f"the checkpoint holds {len(names)} tensors"
    family = find_unsupported_model(names)
    if requested:
        looked_for = (f"{requested[0].name} looks for {requested[0].detect[0].text}",)
        message = unread_names(f"{requested[0].name} does not match {checkpoint.path}", holds, names, looked_for)
    else:
        message = unread_names(f"no mapping table recognises {checkpoint.path}", holds, names)
    hint = family.hint if family is not None and family.hint else _HINT
    return PlanError(message, hint=hint, kind="unrecognised" if not requested else None, names=names)


def unread_names(
    heading: str, holds: str, names: Sequence[str], details: Sequence[str] = (), family: UnsupportedModel | None = None
) -> str:
    """The message that no table reads ``names``; ``holds`` says what has them, and how many.

    ``family`` is the model that they are of, if it is known already.
    """
    first = [*names[:5], *([f"and {len(names) - 5} more"] if len(names) > 5 else [])]
    family = family or find_unsupported_model(names)
    lines = [*details, *([f"it is {family.title}, which no table converts yet"] if family else [])]
    return "\n".join([heading, *(f"  {line}" for line in lines), f"{holds}:", *(f"  {name}" for name in first)])


def refuse_models_without_table(checkpoint: Checkpoint, *, unread: bool) -> None:
    """Refuse a model that is listed as one without a table, even if a table reads the names of another model in it.

    ``unread`` says that no table reads them.

    Raises:
        PlanError: It is such a model; the error names it.
    """
    names = list(checkpoint.by_variable(without=_OUTPUT).tensors)
    family = find_unsupported_model({*names, *checkpoint.objects}, unread=unread)
    if family is not None:
        heading = f"no mapping table recognises {checkpoint.path}"
        message = unread_names(heading, f"the checkpoint holds {len(names)} tensors", names, family=family)
        raise PlanError(message, hint=family.hint or _HINT, kind="unrecognised", names=names)


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

"""Which mapping table reads a checkpoint: exactly one dialect may recognise it, under exactly one leading scope."""

from __future__ import annotations

import os
import re
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import PlanError
from bridgeckpt.mapping.notation.names import Names, bind
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.mapping.tables.families import find_unsupported_model, relatives
from bridgeckpt.mapping.tables.shortlist import shortlist
from bridgeckpt.planning.architecture import class_of_scope
from bridgeckpt.sentences import Sentence, Setting
from bridgeckpt.store.source import is_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.tables.families import UnsupportedModel
    from bridgeckpt.mapping.tables.records import Table

Wildcards = dict[str, str]

_OUTPUT = ":0"  # the output of the operation that reads a variable: part of its name in TensorFlow 1 and Keras 2
_PLAIN = "variable, plain"
_HINT = Sentence(
    "run {run:inspect} to see its tensors and `bridgeckpt mappings list` for the tables; a table of "
    "your own is a file: {mapping}",
    mapping=Setting("mapping", "my_table.toml"),
)
_CLASS = re.compile(r"tf_?\w*/")  # how names begin in files of transformers: with that of the class


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
    views, names = _views(checkpoint, every_scope=scope is not None)
    candidates = [load_table(mapping)] if mapping else _candidates(checkpoint, views, names)
    matches = _matches(candidates, names)
    if not matches:
        raise _unrecognised(views["variable"], candidates if mapping else [])
    if len(matches) > 1:
        listed = " and ".join(f"{table.name} ({table.title})" for table, _ in matches)
        raise PlanError(
            f"{checkpoint.path} matches {len(matches)} dialects: {listed}",
            hint=Sentence("name the right one, for instance {mapping}", mapping=Setting("mapping", matches[0][0].name)),
            kind="dialects",
            names=[table.name for table, _ in matches],
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


def names_decide(checkpoint: Checkpoint) -> bool:
    """Whether the names are those of a table, so that a config of another model cannot be that of the checkpoint.

    transformers' TensorFlow classes contain one another: a model with a BERT inside has the names of a BERT. So in a
    file of transformers the table has to be that of its own code, and the model outermost or named after its class.
    """
    views, names = _views(checkpoint, every_scope=False)
    by_transformers = checkpoint.metadata.get("format") == "tf" or any(map(_CLASS.match, names["variable"]))
    for table, bindings in _matches(_candidates(checkpoint, views, names), names):
        scopes = ["".join(binding.values()) for binding in bindings]
        if not table.config.source.transformers:
            if not by_transformers:
                return True
        elif any(not scope or class_of_scope(table, scope) for scope in scopes):
            return True
    return False


def _views(checkpoint: Checkpoint, *, every_scope: bool) -> tuple[dict[str, Checkpoint], dict[str, Names]]:
    """The checkpoint under each kind of names that a table may be written in, and those names."""
    views = {"key": checkpoint, "variable": checkpoint.by_variable(), _PLAIN: checkpoint.by_variable(without=_OUTPUT)}
    own = _names(checkpoint, every_scope)
    keys_are_names = views["variable"] is checkpoint
    return views, {
        which: own if keys_are_names or which == "key" else _names(view, every_scope) for which, view in views.items()
    }


def _candidates(checkpoint: Checkpoint, views: Mapping[str, Checkpoint], names: Mapping[str, Names]) -> list[Table]:
    """The shipped tables that may read the checkpoint."""
    keys_are_names = views["variable"] is checkpoint
    variables = names["key"] if keys_are_names else chain(names["variable"], names[_PLAIN])
    return [load_table(name) for name in shortlist({"key": names["key"], "variable": variables})]


def _matches(tables: list[Table], names: Mapping[str, Names]) -> list[tuple[Table, list[Wildcards]]]:
    """The tables that recognise the names, each with the values of its wildcards: one for each model."""
    bound = [(table, bind(table.detect, names[_view_for(table)], table.absent)) for table in tables]
    return [(table, bindings) for table, bindings in bound if bindings]


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
    family = find_unsupported_model(names, complete=checkpoint.gaps is None)
    details = [] if checkpoint.gaps is None else [checkpoint.gaps]
    if requested:
        heading = f"{requested[0].name} does not match {checkpoint.path}"
        details.append(f"{requested[0].name} looks for {requested[0].detect[0].text}")
    else:
        heading = f"no mapping table recognises {checkpoint.path}"
    message = unread_names(heading, holds, names, details, family)
    hint = family.hint if family is not None and family.hint else _HINT
    return PlanError(message, hint=hint, kind="unrecognised" if not requested else None, names=names)


def unread_names(
    heading: str, holds: str, names: Sequence[str], details: Sequence[str] = (), family: UnsupportedModel | None = None
) -> str:
    """The message that no table reads ``names``; ``holds`` says what has them, and how many.

    ``family`` is the model without a table that they are of, if they are.
    """
    first = [*names[:5], *([f"and {len(names) - 5} more"] if len(names) > 5 else [])]
    lines = [*details, *([f"it is {family.title}, which no table converts yet"] if family else [])]
    return "\n".join([heading, *(f"  {line}" for line in lines), f"{holds}:", *(f"  {name}" for name in first)])


def refuse_models_without_table(checkpoint: Checkpoint, *, unread: bool) -> None:
    """Refuse a model that is listed as one without a table, even if a table reads the names of another model in it.

    ``unread`` says that no table reads them.

    Raises:
        PlanError: It is such a model; the error names it.
    """
    names = list(checkpoint.by_variable(without=_OUTPUT).tensors)
    complete = checkpoint.gaps is None
    family = find_unsupported_model({*names, *checkpoint.objects}, unread=unread, complete=complete)
    if family is not None:
        heading = f"no mapping table recognises {checkpoint.path}"
        message = unread_names(heading, f"the checkpoint holds {len(names)} tensors", names, family=family)
        raise PlanError(message, hint=family.hint or _HINT, kind="unrecognised", names=names)


def relative_of(checkpoint: Checkpoint) -> str | None:
    """What a checkpoint that a table reads is called, by a file beside it; None if nothing shows a name."""
    return next((title for file, title in relatives().items() if is_file(checkpoint.directory / file)), None)


def _towers(checkpoint: Checkpoint, table: Table, bindings: list[Wildcards]) -> PlanError:
    towers = [", ".join(f"{key} = {value!r}" for key, value in sorted(binding.items())) for binding in bindings]
    example = next((value for binding in bindings for value in binding.values() if value), "")
    return PlanError(
        "\n".join(
            [f"{checkpoint.path} holds {len(towers)} models of dialect {table.name}:", *(f"  {t}" for t in towers)]
        )
        + "\nConverting both into one model would overwrite one with the other.",
        hint=Sentence("choose one with {scope}, for instance {example}", example=Setting("scope", example)),
        kind="models",
        names=["".join(binding.values()) for binding in bindings],
    )

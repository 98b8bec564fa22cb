"""Closing the config: every key that the class needs has a value, or is a problem.

A key that config.json lacks has transformers' default when the class is loaded, which is the size of another model. A
size is told by shapes, names, the graph, the config or the tables; so are the keys that the model table lists as
``needed``. What none of them tells is a problem.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bridgeckpt.errors import Problem
from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.model_records import HEADS
from bridgeckpt.sentences import Sentence

if TYPE_CHECKING:
    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.planning.account.size_records import Sizes
    from bridgeckpt.planning.account.sizes import Question


def open_keys(question: Question, architecture: Architecture, sizes: Sizes) -> list[Problem]:
    """A problem for each key without a value, and for each axis without a size, that ``architecture`` needs.

    An axis whose tensors the class needs and the checkpoint lacks is not one: their absence is a problem of its own.
    """
    unknown = [key for key in question.keys if key not in sizes.values]
    absent = _told_by_absent_rows(question, architecture) if unknown else set()
    problems = [_unknown_size(question, key) for key in unknown if key not in absent]
    problems += [_unknown_value(question, key) for key in _open_values(question)]
    return [*problems, *_unknown_axes(question, sizes)]


def _told_by_absent_rows(question: Question, architecture: Architecture) -> set[str]:
    """The keys that a row of the class would tell, if its tensors were in the checkpoint."""
    table, model = question.table, question.table.model
    groups = [table.groups[name] for name in architecture.groups if name in table.groups]
    placed = {row.group for row in question.rows}
    rows = [*question.rows, *(row for group in groups if group.name not in placed for row in group.rows)]
    first: dict[str, int | str] = {**question.wildcards, **dict.fromkeys(model.indices, 0)}
    absent = [row for row in rows if not row.optional and question.expansion.find(row, first) is None]
    terms = [term for row in absent for term in row.layout.tf.terms if len(term.axes) == 1 and not term.pad]
    keys = {model.dims[term.axes[0]].key for term in terms if term.axes[0] in model.dims}
    keys |= {model.indices[index].key for row in absent for name in row.tf for index in name.indices}
    return {key for key in keys if key is not None}


def _unknown_size(question: Question, key: str) -> Problem:
    model = question.table.model
    if key == model.config.options.get(HEADS):
        why = "no shape tells it, and there is neither a config nor a graph (.meta, saved_model.pb) beside it"
        hint = Sentence("give {heads:N}, or the config with {config:FILE}")
        return Problem("heads", "the number of attention heads is unknown", (why, *question.source.unread), hint)
    expressions = {**model.dims, **model.indices}
    axes = [f"{axis} = {size.text}" for axis, size in expressions.items() if key in size.keys]
    why = f"{', '.join(axes)}: no shape or name of a tensor tells it, and no config says it"
    return Problem("config", f"{key} is unknown", (why, *question.source.unread), _how(question, key))


def _open_values(question: Question) -> list[str]:
    """The ``needed`` keys, other than sizes, that neither the config nor a table gives."""
    table, config = question.table, question.table.model.config
    known = {*question.keys, *question.source.values, *table.config.values, *config.defaults}
    return [key for key in config.needed if key not in known and key not in config.options.values()]


def _unknown_value(question: Question, key: str) -> Problem:
    why = f"{question.table.model.name} lists it in [config] needed: no tensor tells it, and no config says it"
    return Problem("config", f"{key} is unknown", (why, *question.source.unread), _how(question, key))


def _how(question: Question, key: str) -> Sentence:
    table = question.table.name
    own = f"a table of your own that uses {table}" if table in tables.names() else table
    return Sentence('give the config with {config:FILE}, or say "{key} = ..." in [config] of {own}', key=key, own=own)


def _unknown_axes(question: Question, sizes: Sizes) -> Iterator[Problem]:
    """A problem for each axis of the rows in the checkpoint whose size is in no config, and that no shape tells."""
    dims = question.table.model.dims
    for axis in dict.fromkeys(axis for row in question.rows for axis in row.layout.axes):
        if axis in dims and dims[axis].free and axis not in sizes.axes:
            row = next(row for row in question.rows if axis in row.layout.axes)
            why = f'"{row.layout.text}" has no dimension of this axis alone ({row.where})'
            hint = f"give it a config key in [dims] of {question.table.model.name}"
            yield Problem("config", f'the size of the axis "{axis}" is unknown', (why,), hint)

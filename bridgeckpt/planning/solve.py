"""Sizes: what the shapes of a checkpoint say about the model's configuration, and where a config file disagrees.

Everything but the number of attention heads can be read off the shapes, so a config file is checked, not believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import ConfigError
from bridgeckpt.planning.problems import Problem, fold, shape_text

if TYPE_CHECKING:
    from bridgeckpt.formats.tensors import TensorInfo
    from bridgeckpt.mapping.layout import Term
    from bridgeckpt.mapping.names import Names, Template
    from bridgeckpt.mapping.records import Group, ModelTable, Row, Table

Values = Mapping[str, int | str]


class Sample(NamedTuple):
    """One tensor that a size was read from."""

    value: int
    tensor: str
    shape: tuple[int, ...]
    row: Row


class Sizes:
    """Sizes of a model: ``values`` by config key, ``axes`` by axis name, ``origin`` of each value."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.axes: dict[str, int] = {}
        self.origin: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.notes: list[str] = []

    def set(self, key: str, value: int, origin: str) -> None:
        """Settle a config key."""
        self.values[key] = value
        self.origin[key] = origin


def locate(row: Row, names: Names, values: Values) -> tuple[str, ...] | None:
    """The source tensors of a row under the spellings it accepts, or None when no spelling is wholly there."""
    for spelling in (row.tf, *row.also):
        found = tuple(name for template in spelling if (name := names.find(template, values)) is not None)
        if len(found) == len(spelling):
            return found
    return None


def index_names(templates: Iterable[Template]) -> set[str]:
    """The indices that run in these templates."""
    return {name for template in templates for name in template.indices}


def present_groups(table: Table, names: Names, wildcards: Values) -> list[Group]:
    """The groups of which the checkpoint holds at least one tensor (looking at index 0 where one runs)."""
    first: dict[str, int | str] = {**wildcards, **dict.fromkeys(table.model.indices, 0)}
    return [group for group in table.groups.values() if any(locate(row, names, first) for row in group.rows)]


def count_indices(table: Table, groups: Iterable[Group], names: Names, wildcards: Values) -> dict[str, int]:
    """How many values each index takes in the checkpoint: the first number of which no tensor is there ends it."""
    counts: dict[str, int] = {}
    for index in table.model.indices:
        rows = [row for group in groups for row in group.rows if index in index_names(row.tf)]
        others = dict.fromkeys(table.model.indices, 0)
        count = 0
        while any(locate(row, names, {**wildcards, **others, index: count}) for row in rows):
            count += 1
        counts[index] = count
    return counts


def solve(
    table: Table,
    groups: Iterable[Group],
    names: Names,
    tensors: Mapping[str, TensorInfo],
    wildcards: Values,
    config: Mapping[str, object],
    config_name: str,
    given: Mapping[str, tuple[int, str]],
) -> Sizes:
    """Read every size off the shapes and compare with the config.

    ``given`` are sizes that no shape tells (the number of heads), each with its origin. A disagreement becomes a
    problem; the checkpoint's own size is then used for the rest, so that one wrong line in a config is one problem.
    """
    model, groups = table.model, list(groups)
    sizes = Sizes()
    stated = {key: value for key in _keys(model) if isinstance(value := config.get(key), int)}
    for index, count in count_indices(table, groups, names, wildcards).items():
        key = model.indices[index].key
        if key and count:
            _settle(
                sizes, key, count, stated.get(key), config_name, model, [], f"has {count} ({index} 0 to {count - 1})"
            )
    samples = _samples(table, groups, names, tensors, wildcards)
    for key in _keys(model):
        if key in sizes.values:
            continue
        votes = samples.get(key, [])
        if key in given:
            sizes.set(key, *given[key])
        elif votes:
            winner = Counter(sample.value for sample in votes).most_common(1)[0][0]
            if stated.get(key) in {sample.value for sample in votes if key not in model.config.padded}:
                winner = stated[key]  # the tensors disagree among themselves: the others are shape problems
            _settle(sizes, key, winner, stated.get(key), config_name, model, votes, f"makes it {winner}")
        elif key in stated:
            sizes.set(key, stated[key], config_name)
    _axes(sizes, model, samples)
    silent = ", ".join(f"{key} = {sizes.values[key]}" for key in sizes.values if key not in stated and key not in given)
    if silent and config:
        sizes.notes.append(f"{silent}: not in {config_name}, solved from the checkpoint's shapes")
    elif silent:
        sizes.notes.append("there is no config: sizes are solved from the checkpoint's shapes")
    return sizes


def _keys(model: ModelTable) -> list[str]:
    expressions = [*model.dims.values(), *model.indices.values()]
    return list(dict.fromkeys(key for expression in expressions for key in expression.keys))


def _settle(
    sizes: Sizes,
    key: str,
    found: int,
    stated: int | None,
    config_name: str,
    model: ModelTable,
    votes: list[Sample],
    what: str,
) -> None:
    """Take the checkpoint's size for ``key``; compare it with the one that the config states."""
    if stated == found:
        sizes.set(key, found, config_name)
        return
    sizes.set(key, found, "the checkpoint's shapes")
    if stated is None:
        return
    if key in model.config.padded and stated < found:
        sizes.notes.append(
            f"{key} = {stated} in {config_name}, but the checkpoint has {found} rows: "
            f"all {found} are kept and config.json says {found}"
        )
        return
    details: list[str] = []
    if votes:
        sample = next(sample for sample in votes if sample.value == found)
        details.append(f'{sample.tensor} is {shape_text(sample.shape)}, by its row "{sample.row.layout.text}"')
    sizes.problems.append(
        Problem(
            "config",
            f"{key} = {stated} ({config_name}), but the checkpoint {what}",
            tuple(details),
            f"is {config_name} the config of another checkpoint? Give the right one with --config",
        )
    )


def _samples(
    table: Table, groups: Iterable[Group], names: Names, tensors: Mapping[str, TensorInfo], wildcards: Values
) -> dict[str, list[Sample]]:
    """Sizes that single dimensions state outright, by config key, or by ``axis:NAME`` for an axis that has none."""
    samples: dict[str, list[Sample]] = {}
    first: dict[str, int | str] = {**wildcards, **dict.fromkeys(table.model.indices, 0)}
    for row in (row for group in groups for row in group.rows):
        for name in locate(row, names, first) or ():
            shape, terms = tensors[name].shape, row.layout.tf.terms
            if len(shape) != len(terms):
                continue
            for size, term in zip(shape, terms, strict=True):
                key = _key(term, table.model)
                if key:
                    samples.setdefault(key, []).append(Sample(size, name, shape, row))
    return samples


def _key(term: Term, model: ModelTable) -> str | None:
    """What a dimension of one axis measures: the config key that its size is."""
    if len(term.axes) != 1 or term.pad or (expression := model.dims.get(term.axes[0])) is None:
        return None
    return f"axis:{term.axes[0]}" if expression.free else expression.key


def _axes(sizes: Sizes, model: ModelTable, samples: Mapping[str, list[Sample]]) -> None:
    """Sizes by axis, and the number of values of each index, from the settled config keys."""
    for axis, expression in model.dims.items():
        if expression.free:
            if votes := samples.get(f"axis:{axis}"):
                sizes.axes[axis] = Counter(sample.value for sample in votes).most_common(1)[0][0]
        elif all(key in sizes.values for key in expression.keys):
            try:
                sizes.axes[axis] = expression.evaluate(sizes.values)
            except ConfigError as error:  # hidden_size that the number of heads does not divide
                sizes.problems.append(Problem("config", f"{axis} = {expression.text}", (error.message,)))
    for index, expression in model.indices.items():
        if all(key in sizes.values for key in expression.keys):
            sizes.axes[index] = expression.evaluate(sizes.values)


def shape_problem(row: Row, names: list[str], shape: tuple[int, ...], sizes: Sizes, model: ModelTable) -> Problem:
    """A tensor whose shape is not the one that its layout and the sizes make."""
    expected = row.layout.tf.shape(sizes.axes)
    axes = dict.fromkeys(axis for term in row.layout.tf.terms for axis in term.axes)
    facts = [
        f"{axis} = {model.dims[axis].text} = {sizes.axes[axis]}"
        + (f" ({sizes.origin[key]})" if (key := model.dims[axis].key) in sizes.origin else "")
        for axis in axes
        if axis in model.dims
    ]
    folded = ", ".join(text for text, _ in fold(names))
    return Problem(
        "shape",
        f"{folded} is {shape_text(shape)}",
        (
            f'"{row.layout.text}" makes it {shape_text(expected)}',
            ", ".join(facts),
            f"row {row.where.row} of group {row.where.group}, {row.where.file}:{row.where.line}",
        ),
        "is this the config of another checkpoint?",
        tuple(names),
    )

"""Sizes: what the shapes of a checkpoint say about the model's configuration, and where a config file disagrees.

The shapes give every size except, in most layouts, the number of attention heads. So the config file is checked
against them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import ConfigError, Problem
from bridgeckpt.planning.account.size_records import Sizes, SizesBuilder
from bridgeckpt.sentences import Sentence, joined
from bridgeckpt.wording import fold, shape_text

if TYPE_CHECKING:
    from bridgeckpt.mapping.notation.sides import Term
    from bridgeckpt.mapping.tables.model_records import ModelTable
    from bridgeckpt.mapping.tables.records import Row, Table
    from bridgeckpt.planning.account.expansion import Expansion
    from bridgeckpt.sidecar.stated import SourceConfig

_SHAPES = "the checkpoint's shapes"


class Sample(NamedTuple):
    """One dimension of one tensor: its size, the term of the layout for it, and the tensor and row that it is from."""

    size: int
    term: Term
    tensor: str
    shape: tuple[int, ...]
    row: Row


class Question(NamedTuple):
    """The input of :func:`solve`: the rows of the groups in the checkpoint, and the sizes known from elsewhere.

    ``source`` is what is stated about the checkpoint. ``given`` are sizes that no shape tells (the number of
    heads), each with its origin. ``pruned`` is the name of a frozen graph, which may have fewer layers than its config
    states; "" for other checkpoints.
    """

    expansion: Expansion
    rows: list[Row]
    wildcards: Mapping[str, str]
    source: SourceConfig
    given: Mapping[str, tuple[int, str]]
    pruned: str = ""

    @property
    def table(self) -> Table:
        """The table that has the rows."""
        return self.expansion.table

    @property
    def keys(self) -> tuple[str, ...]:
        """Every config key that is a size."""
        return self.table.model.size_keys

    def stated(self, key: str) -> int | None:
        """The size of a config key according to the config."""
        value = self.source.values.get(key)
        return value if isinstance(value, int) else None

    def implied(self, key: str) -> tuple[int, str] | None:
        """The size of a config key according to the tables, and the table that says it."""
        table = self.table
        for values, name in ((table.config.values, table.name), (table.model.config.defaults, table.model.name)):
            if isinstance(value := values.get(key), int):
                return value, name
        return None


def solve(question: Question) -> Sizes:
    """Read every size from the shapes and compare it with the config.

    A disagreement becomes a problem. Everything else then uses the checkpoint's own size, so that one wrong line in a
    config is only one problem.
    """
    sizes, model = SizesBuilder(), question.table.model
    samples = list(_samples(question))
    votes = _votes(model, samples)
    for index, count in _counts(question).items():
        if (key := model.indices[index].key) and count:
            if question.pruned and (question.stated(key) or 0) > count:
                _take_pruned(question, sizes, key, count)
            else:
                _compare(question, sizes, key, count, [])
    for key in question.keys:
        if key in question.given:
            sizes.set(key, *question.given[key])
        elif key in votes and key not in sizes.values:
            _compare(question, sizes, key, _winner(question, key, votes[key]), votes[key])
        elif key not in sizes.values and (stated := question.stated(key)) is not None:
            sizes.set(key, stated, question.source.origin_of(key))
        elif key not in sizes.values and (implied := question.implied(key)) is not None:
            _take_implied(question, sizes, key, *implied)
    _solve_axes(model, sizes, samples)
    solved = ", ".join(f"{key} = {value}" for key, value in sizes.values.items() if question.stated(key) is None)
    if not question.source.values:
        sizes.notes.append("there is no config: sizes are solved from the checkpoint's shapes")
    elif solved:
        sizes.notes.append(f"{solved}: not in {question.source.name}, solved from the checkpoint")
    return sizes.build()


def _counts(question: Question) -> dict[str, int]:
    """How many values each index takes in the names: it ends before the first number that has no tensor."""
    counts: dict[str, int] = {}
    zeros = dict.fromkeys(question.table.model.indices, 0)
    for index in zeros:
        rows = [row for row in question.rows if any(index in template.indices for template in row.tf)]
        count = 0
        while any(question.expansion.find(row, {**question.wildcards, **zeros, index: count}) for row in rows):
            count += 1
        counts[index] = count
    return counts


def _samples(question: Question) -> Iterator[Sample]:
    """The dimensions of every tensor of the rows, at index 0 of each index."""
    first: dict[str, int | str] = {**question.wildcards, **dict.fromkeys(question.table.model.indices, 0)}
    for row in question.rows:
        for name in question.expansion.find(row, first) or ():
            shape, terms = question.expansion.tensors[name].shape, row.layout.tf.terms
            if len(shape) == len(terms):
                for size, term in zip(shape, terms, strict=True):
                    yield Sample(size, term, name, shape, row)


def _votes(model: ModelTable, samples: list[Sample]) -> dict[str, list[Sample]]:
    """The samples that state a config key directly, by key: dimensions of one axis whose size is that key."""
    votes: dict[str, list[Sample]] = {}
    for sample in samples:
        if len(sample.term.axes) == 1 and not sample.term.pad:
            axis = sample.term.axes[0]
            expression = model.dims.get(axis) or model.indices.get(axis)
            if expression is not None and expression.key:
                votes.setdefault(expression.key, []).append(sample)
    return votes


def _winner(question: Question, key: str, votes: list[Sample]) -> int:
    """The size that most tensors have. If they differ and one agrees with the config: that (others are problems)."""
    counts, stated = Counter(sample.size for sample in votes), question.stated(key)
    if stated is not None and stated in counts and key not in question.table.model.config.padded:
        return stated
    return counts.most_common(1)[0][0]


def _compare(question: Question, sizes: SizesBuilder, key: str, size: int, votes: list[Sample]) -> None:
    """Take the checkpoint's size for ``key``, and compare it with the config's."""
    stated, name = question.stated(key), question.source.origin_of(key)
    sizes.set(key, size, name if stated == size else _SHAPES)
    sizes.told.add(key)
    own = question.table.config.values.get(key, size)
    if own != size:
        subject = f"{key} = {own} ([config] of {question.table.name}), but the checkpoint has {size}"
        sizes.problems.append(Problem("config", subject, (), "correct the table: shapes and names decide this size"))
    if stated is None or stated == size:
        return
    if key in question.table.model.config.padded and stated < size:
        kept = f"all {size} are kept and config.json says {size}"
        sizes.notes.append(f"{key} = {stated} in {name}, but the checkpoint has {size} rows: {kept}")
        return
    samples = [sample for sample in votes if sample.size == size]
    details = [f'{s.tensor} is {shape_text(s.shape)}, by its row "{s.row.layout.text}"' for s in samples[:1]]
    subject = f"{key} = {stated} ({name}), but the checkpoint {'makes it' if samples else 'has'} {size}"
    hint = Sentence("is {name} the config of another checkpoint? Give the right one with {config:FILE}", name=name)
    sizes.problems.append(Problem("config", subject, tuple(details), hint))


def _take_pruned(question: Question, sizes: SizesBuilder, key: str, count: int) -> None:
    """Take the number of layers of a frozen graph that has fewer than the config states."""
    sizes.set(key, count, question.pruned)
    sizes.told.add(key)
    sizes.warnings.append(
        f"{key} = {question.stated(key)} in {question.source.origin_of(key)}, but {question.pruned} has {count}, and "
        f"{count} is written: freezing keeps the layers that the graph's outputs need, and computes with just these; "
        "if all are wanted, convert the checkpoint that it was made from"
    )


def _take_implied(question: Question, sizes: SizesBuilder, key: str, size: int, table: str) -> None:
    """Take the size that a table gives for ``key``, where nothing else does."""
    if (why := question.table.config.certain.get(key)) is not None:
        sizes.set(key, size, why)
        return
    sizes.set(key, size, f"assumed by {table}")
    sizes.assumed[key] = Sentence(
        "{key} = {size} is assumed by {table}: no shape tells it, and no graph or config says it; "
        "{config:FILE} gives a config that does",
        key=key,
        size=size,
        table=table,
    )


def _solve_axes(model: ModelTable, sizes: SizesBuilder, samples: list[Sample]) -> None:
    """Set the size of each axis and index: from the config keys, or from the shapes if no key determines it."""
    free: dict[str, list[Sample]] = {}
    for name, expression in (*model.dims.items(), *model.indices.items()):
        if expression.free:
            free[name] = []
        elif all(key in sizes.values for key in expression.keys):
            try:
                sizes.axes[name] = expression.evaluate(sizes.values)
            except ConfigError as error:  # for instance a hidden_size that the number of heads does not divide
                values = [
                    Sentence("{key} = {value} ({origin})", key=key, value=sizes.values[key], origin=sizes.origin[key])
                    for key in expression.keys
                ]
                details = (error.message, joined(", ", values))
                sizes.problems.append(Problem("config", f"{name} = {expression.text}", details, error.hint))
    for axis in free:
        alone = [sample.size for sample in samples if sample.term.axes == (axis,) and not sample.term.pad]
        padding = [
            sample.size - sizes.axes[sample.term.axes[0]]
            for sample in samples
            if sample.term.pad == axis and sample.term.axes[0] in sizes.axes
        ]
        if most := Counter(size for size in alone + padding if size >= 0).most_common(1):
            sizes.axes[axis] = most[0][0]


def shape_problem(row: Row, names: list[str], shape: tuple[int, ...], sizes: Sizes, model: ModelTable) -> Problem:
    """The problem that tensors do not have the shape that their layout and the sizes make."""
    expected = row.layout.tf.shape(sizes.axes)
    axes = dict.fromkeys(axis for term in row.layout.tf.terms for axis in term.axes)
    facts = [
        f"{axis} = {model.dims[axis].text} = {sizes.axes[axis]}"
        + (f" ({sizes.origin[key]})" if (key := model.dims[axis].key) is not None and key in sizes.origin else "")
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

"""Expansion: the rows of a table at every value of their indices, and the tensors of a checkpoint that they name.

A whole row is expanded at a time, because a model can have a hundred thousand tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bridgeckpt.mapping.notation.names import Names
    from bridgeckpt.mapping.notation.sides import Side
    from bridgeckpt.mapping.notation.templates import Template
    from bridgeckpt.mapping.tables.records import Group, Row, Table
    from bridgeckpt.store.tensors import TensorInfo

    Tensors = tuple[str, ...]
    Values = Mapping[str, int | str]


class Expanded(NamedTuple):
    """A row at every value of its indices, in order; the lists run parallel.

    ``sources`` are the tensors in the checkpoint (None if they are absent under every spelling), ``expected`` the names
    in the first spelling, ``targets`` the PyTorch names.
    """

    row: Row
    sources: list[Tensors | None]
    expected: list[Tensors]
    targets: list[Tensors]


class Expansion(NamedTuple):
    """Finds the tensors of rows in the ``names`` of a checkpoint. ``axes`` are the sizes by axis and index, if solved.

    ``single_model``: the checkpoint holds only one model, so a group can be at an alternative prefix.
    """

    table: Table
    names: Names
    tensors: Mapping[str, TensorInfo]
    single_model: bool
    axes: Mapping[str, int]

    def find(self, row: Row, values: Values) -> Tensors | None:
        """The tensors of a row at one value of its indices, in the first spelling that is complete; None if none is."""
        for spelling in (row.tf, *row.also):
            found = tuple([name for template in spelling if (name := self.names.find(template, values)) is not None])
            if len(found) == len(spelling):
                return found
        return None

    def present(self, wildcards: Mapping[str, str]) -> dict[str, tuple[Row, ...]]:
        """The groups that have a tensor in the checkpoint (at index 0 of each index), with the rows at their prefix."""
        placed = {name: self.placed(group, wildcards) for name, group in self.table.groups.items()}
        return {name: rows for name, rows in placed.items() if self._has_any(rows, wildcards)}

    def placed(self, group: Group, wildcards: Mapping[str, str]) -> tuple[Row, ...]:
        """The rows of a group at its own prefix or, if nothing is there, at an alternative prefix.

        All tensors of a group are at one prefix: those at another prefix belong to another model.
        """
        others = (rows for rows in group.alternative_prefixes if self.single_model and self._has_any(rows, wildcards))
        return group.rows if self._has_any(group.rows, wildcards) else next(others, group.rows)

    def first(self, rows: tuple[Row, ...], wildcards: Mapping[str, str]) -> frozenset[str]:
        """The tensors of these rows that the checkpoint has, at index 0 of each index."""
        values: Values = {**wildcards, **dict.fromkeys(self.table.model.indices, 0)}
        return frozenset(name for row in rows for name in self.find(row, values) or ())

    def _has_any(self, rows: tuple[Row, ...], wildcards: Mapping[str, str]) -> bool:
        first: Values = {**wildcards, **dict.fromkeys(self.table.model.indices, 0)}
        return any(self.find(row, first) for row in rows)

    def groups(self, wildcards: Mapping[str, str]) -> Iterator[tuple[Group, list[Expanded]]]:
        """Every group with its rows, at every value of their indices."""
        for group in self.table.groups.values():
            yield group, [self.expand(row, wildcards) for row in self.placed(group, wildcards)]

    def expand(self, row: Row, wildcards: Mapping[str, str]) -> Expanded:
        """One row at every value of its indices."""
        listed = {row.layout.tf.listed, row.layout.pt.listed}
        used = {index for template in (*row.tf, *row.pt) for index in template.indices}
        running = sorted(used - listed)
        expected = self._spell(row.tf, row.layout.tf, wildcards, running)
        sources: list[Tensors | None] = [None] * len(expected)
        for spelling in (row.tf, *row.also):
            if any(template.has_counter for template in spelling):
                spelled = self._counted(spelling, wildcards, running)
            else:
                spelled = expected if spelling is row.tf else self._spell(spelling, row.layout.tf, wildcards, running)
            for place, names in enumerate(spelled):
                if sources[place] is None and all(map(self.tensors.__contains__, names)):
                    sources[place] = names
            if None not in sources:
                break
        return Expanded(row, sources, expected, self._spell(row.pt, row.layout.pt, wildcards, running))

    def at_every_index(self, template: Template) -> list[str]:
        """A name without wildcards at every value of its indices."""
        return [template.render(values) for values in self._values({}, list(template.indices))]

    def _values(self, wildcards: Mapping[str, str], running: list[str]) -> Iterator[dict[str, int | str]]:
        for combination in product(*(range(self.axes.get(index, 0)) for index in running)):
            yield {**wildcards, **dict(zip(running, combination, strict=True))}

    def _spell(
        self, templates: tuple[Template, ...], side: Side, wildcards: Mapping[str, str], running: list[str]
    ) -> list[Tensors]:
        """The names of one side: one per template, or one per value of the index that the layout lists."""
        if side.listed is not None and side.listed in self.table.model.indices:
            count = self.axes.get(side.listed, 0)
            return [tuple(templates[0].render_range(v, side.listed, count)) for v in self._values(wildcards, running)]
        if len(running) == 1:
            count = self.axes.get(running[0], 0)
            columns = [template.render_range(wildcards, running[0], count) for template in templates]
            return list(zip(*columns, strict=True))
        return [tuple([template.render(v) for template in templates]) for v in self._values(wildcards, running)]

    def _counted(
        self, templates: tuple[Template, ...], wildcards: Mapping[str, str], running: list[str]
    ) -> list[Tensors]:
        """Look up names with counters. A missing one keeps its placeholder, which no name contains."""
        return [
            tuple([self.names.find(template, values) or template.text for template in templates])
            for values in self._values(wildcards, running)
        ]

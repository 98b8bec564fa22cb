"""A head of one's own, made of tensors outside the model that no row reads: which class can have it as its own head.

A class takes it if the head is exactly what the class lacks: one tensor for each row of that group, in the only way in
which the shapes fit the axes of the rows. Anything else is not guessed.
"""

from __future__ import annotations

from functools import cache
from itertools import permutations, product
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.mapping.notation.layout import Layout
from bridgeckpt.mapping.notation.templates import Template
from bridgeckpt.mapping.tables import library
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.store.tensors import DTYPES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from bridgeckpt.mapping.tables.model_records import Architecture
    from bridgeckpt.mapping.tables.records import Group, Row, Table
    from bridgeckpt.sidecar.described.heads import DescribedHead
    from bridgeckpt.store.tensors import TensorInfo

_MOST = 4  # rows of a head that is tried in all orders


class OwnHead(NamedTuple):
    """A head of one's own.

    ``names`` are those of the ``tensors`` of a checkpoint that no row reads, and ``kept`` of those that a row reads.
    ``present`` are the groups that it has, and ``axes`` the sizes. ``shown`` is the kind of head that the graph shows,
    or None; ``described`` is what Keras' description says of it.
    """

    table: Table
    present: Collection[str]
    axes: Mapping[str, int]
    names: Sequence[str]
    kept: Sequence[str]
    tensors: Mapping[str, TensorInfo]
    shown: str | None
    described: DescribedHead | None = None

    def fitting(self, architecture: Architecture, names: Sequence[str]) -> list[tuple[Row, ...]]:
        """The rows that make ``names`` the head which a class lacks: one entry for each way in which they fit."""
        if self.shown is not None and not reads_the_same(self.table, architecture, self.shown):
            return []
        if self.described is not None and not self._is_described_as(self.described, architecture):
            return []
        tensors = {name: self.tensors[name] for name in names}
        return fitting_rows(self.table, architecture, self.present, self.axes, tensors)

    def _is_described_as(self, head: DescribedHead, architecture: Architecture) -> bool:
        """Whether the description has nothing against the head being that of a class."""
        if head.kind is None or head.how:
            return not head.is_certain
        return reads_the_same(self.table, architecture, head.kind)

    @property
    def classes(self) -> list[Architecture]:
        """The classes that take the whole of it as their head."""
        classes = self.table.model.architectures.values()
        return [architecture for architecture in classes if len(self.fitting(architecture, self.names)) == 1]


def reads_the_same(table: Table, architecture: Architecture, kind: str) -> bool:
    """Whether heads of a ``kind`` and of a class are put on the same part of the model without a head."""
    bare = table.model.bare
    below = {*bare.groups, *bare.optional}
    others = [other for other in table.model.architectures.values() if other.head == kind]
    return any(below & {*architecture.groups} == below & {*other.groups} for other in others)


def lacking_head(table: Table, architecture: Architecture, present: Collection[str]) -> Group | None:
    """The group of logits that is all that a class lacks, as this table or another one of the model has it."""
    bare = table.model.bare
    lacking = [name for name in architecture.groups if name not in {*present, *architecture.filled}]
    if architecture.head is None or len(lacking) != 1 or lacking[0] in (*bare.groups, *bare.optional):
        return None
    if lacking[0] in table.groups:
        return table.groups[lacking[0]]
    return _group_of_model(table.model.path, lacking[0])


@cache
def _group_of_model(model: Path, name: str) -> Group | None:
    """The group of this name in the first shipped table of a model that has it."""
    tables = (load_table(one) for one in library.names())
    return next((table.groups[name] for table in tables if table.model.path == model and name in table.groups), None)


def fitting_rows(
    table: Table,
    architecture: Architecture,
    present: Collection[str],
    axes: Mapping[str, int],
    tensors: Mapping[str, TensorInfo],
) -> list[tuple[Row, ...]]:
    """The rows that make ``tensors`` the head which a class lacks: one entry for each way in which the shapes fit."""
    group = lacking_head(table, architecture, present)
    if group is None or not len(tensors) == len(group.rows) <= _MOST:
        return []
    if not all(
        "{" not in name and info.dtype in DTYPES and DTYPES[info.dtype].floating for name, info in tensors.items()
    ):
        return []
    free = {name for name, expression in table.model.dims.items() if expression.free}
    known = {axis: size for axis, size in axes.items() if axis not in free} | dict(architecture.sizes)
    found: list[tuple[Row, ...]] = []
    for names in permutations(tensors):
        shapes = [tensors[name].shape for name in names]
        for orders in product(*map(_orders, group.rows, shapes)):
            found += [tuple(map(_row, group.rows, names, orders))] if _agree(orders, shapes, known) else []
    return found


def _orders(row: Row, shape: tuple[int, ...]) -> list[tuple[str, ...]]:
    """The orders that a parameter's axes can have in a tensor of as many dimensions."""
    side = row.layout.pt
    plain = side.listed is None and all(len(term.axes) == 1 and not term.pad for term in side.terms)
    return list(permutations(side.axes)) if plain and len(row.pt) == 1 and len(shape) == len(side.terms) else []


def _agree(orders: Sequence[Sequence[str]], shapes: Sequence[Sequence[int]], known: Mapping[str, int]) -> bool:
    """Whether each axis has one size in all tensors, and the size that is known."""
    sizes = dict(known)
    return all(
        sizes.setdefault(axis, size) == size
        for order, shape in zip(orders, shapes, strict=True)
        for axis, size in zip(order, shape, strict=True)
    )


def _row(row: Row, name: str, order: Sequence[str]) -> Row:
    """A row of the head's group that reads the tensor ``name``, whose axes are in this order."""
    pt = row.layout.pt
    text = str(pt) if tuple(order) == pt.axes else f"{' '.join(order)} -> {pt}"
    return row._replace(tf=(Template.parse(name),), also=(), layout=Layout.parse(text), optional=False)

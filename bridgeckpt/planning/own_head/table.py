"""A mapping table for a head of one's own, as text to paste: rows for layers that some class has, the rest ignored."""

from __future__ import annotations

from json import dumps
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.places import beginning_of
from bridgeckpt.mapping.tables import library
from bridgeckpt.planning.own_head.head import lacking_head

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridgeckpt.mapping.tables.graph import HeadScopes
    from bridgeckpt.mapping.tables.records import Group, Row
    from bridgeckpt.planning.own_head.head import OwnHead

_MOST = 200  # tensors of a head in which layers are looked for: among more there are many, and none is the last
_REASON = "a head of our own, which no class has"


class PastedTable(NamedTuple):
    """The lines of a table.

    ``unsure`` are kernels whose axes could be in both orders, ``classes`` those that the table can be converted to.
    """

    lines: tuple[str, ...]
    unsure: tuple[str, ...]
    classes: tuple[str, ...]


class _Layer(NamedTuple):
    """A kernel and its bias. By name, the groups that they could be, each with the ways in which they fit."""

    names: tuple[str, ...]
    fitting: Mapping[str, tuple[Group, list[tuple[Row, ...]]]]


def table_for(own: OwnHead) -> PastedTable:
    """A table that builds on the one that reads the rest, and accounts for all tensors of the head."""
    chosen = _chosen(own)
    mapped = {name for layer, _ in chosen for name in layer.names}
    base = own.table.name if own.table.name in library.names() else str(own.table.path.resolve())
    lines = ["schema = 1", 'title  = "our model"', f"use    = {dumps(base)}"]
    if patterns := _patterns([name for name in own.names if name not in mapped], own):
        lines += ["ignored = [", *(f"  {{ tf = {dumps(one)}, reason = {dumps(_REASON)} }}," for one in patterns), "]"]
    unsure: list[str] = []
    for layer, name in chosen:
        group, ways = layer.fitting[name]
        rows = max(ways, key=lambda rows: sum(_goes_by_its_name(row, own.table.suffix) for row in rows))
        unsure += [row.tf[0].text for row in rows if len(ways) > 1 and len(row.layout.tf.axes) > 1]
        lines += _written(group, rows, own.table.suffix)
    if len(chosen) == 1 and own.table.graph.head is not None:
        lines += _graph(own.table.graph.head, chosen[0][0].names[0])
    classes = [
        architecture.name
        for architecture in own.table.model.architectures.values()
        if any(name in architecture.groups and own.fitting(architecture, layer.names) for layer, name in chosen)
    ]
    return PastedTable(tuple(lines), tuple(unsure), tuple(classes))


def _layers(own: OwnHead) -> Iterator[_Layer]:
    """Every kernel with the bias beside it, if some class lacks such a head."""
    shapes = {name: own.tensors[name].shape for name in own.names}
    for kernel in (name for name, shape in shapes.items() if len(shape) == 2):
        folder = kernel[: kernel.rfind("/") + 1]
        beside = [
            name
            for name, shape in shapes.items()
            if len(shape) == 1 and name.startswith(folder) and "/" not in name[len(folder) :]
        ]
        for bias in sorted(beside, key=lambda name: -len(beginning_of([name, kernel]))):
            fitting: dict[str, tuple[Group, list[tuple[Row, ...]]]] = {}
            for architecture in own.table.model.architectures.values():
                group = lacking_head(own.table, architecture, own.present)
                if group is not None and (ways := own.fitting(architecture, (kernel, bias))):
                    fitting.setdefault(group.name, (group, ways))
            if fitting:
                yield _Layer((kernel, bias), fitting)
                break


def _chosen(own: OwnHead) -> list[tuple[_Layer, str]]:
    """The layers that get rows, each with its group.

    All of them if the head is nothing else. Else a single one that no further layer is computed from.
    """
    found = list(_layers(own)) if len(own.names) <= _MOST else []
    if {name for layer in found for name in layer.names} != {*own.names}:
        found = [layer for layer in found if not _leads_on(layer, own)]
        found = found if len(found) == 1 else []
    chosen: list[tuple[_Layer, str]] = []
    for layer in sorted(found, key=lambda layer: len(layer.fitting)):
        name = next((name for name in layer.fitting if all(name != other for _, other in chosen)), None)
        if name is not None:
            chosen.append((layer, name))
    return chosen


def _leads_on(layer: _Layer, own: OwnHead) -> bool:
    """Whether another matrix, which is not square, takes as many features as the layer gives."""
    (size,) = own.tensors[layer.names[1]].shape
    others = [own.tensors[name].shape for name in own.names if name not in layer.names]
    return any(len(shape) == 2 and size in shape and shape != (size, size) for shape in others)


def _goes_by_its_name(row: Row, suffix: str) -> bool:
    """Whether a kernel is transposed, and nothing else is."""
    return row.layout.moves_axes == row.tf[0].text.removesuffix(suffix).endswith("kernel")


def _written(group: Group, rows: tuple[Row, ...], suffix: str) -> Iterator[str]:
    names = [row.tf[0].text.removesuffix(suffix) for row in rows]
    folder = names[0][: names[0].rfind("/") + 1]
    yield f"[group.{group.name}]"
    yield f"tf   = {dumps(folder)}"
    yield f"pt   = {dumps(group.pt)}"
    yield "rows = ["
    for row, name in zip(rows, names, strict=True):
        pt = row.pt[0].text.removeprefix(group.pt)
        yield f"  {{ tf = {dumps(name[len(folder) :])}, pt = {dumps(pt)}, layout = {dumps(row.layout.text)} }},"
    yield "]"


def _graph(head: HeadScopes, kernel: str) -> Iterator[str]:
    """Where a graph shows what the layer reads: as in the table for the head that it knows."""
    yield "[graph.head]"
    yield f"kernel = {dumps(kernel)}"
    yield from (f"{kind} = {dumps(scope.text)}" for kind, scope in head.outputs.items())


def _patterns(names: Sequence[str], own: OwnHead) -> list[str]:
    """Patterns for exactly these names: whole folders where nothing else is in them that has a row."""
    kept = [*own.kept, *(name for name in own.names if name not in {*names})]
    patterns: dict[str, None] = {}
    for name in names:
        ends = (place + 1 for place, character in enumerate(name) if character == "/")
        folder = next((name[:end] for end in ends if not any(other.startswith(name[:end]) for other in kept)), None)
        patterns[name if folder is None else f"{folder}**"] = None
    return list(patterns)

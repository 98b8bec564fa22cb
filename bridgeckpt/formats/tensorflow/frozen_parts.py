"""Partitioned variables in a frozen graph: the constants ``NAME/part_0``, ``NAME/part_1``, ... joined to one tensor.

The axis is the one in which the parts differ, or that along which the graph concatenates them.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING

from bridgeckpt.store.tensors import TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridgeckpt.formats.tensorflow.stored_graph import StoredNode

_PART = re.compile(r"(?P<name>.+)/part_(?P<number>\d+)")
_CONCATENATIONS = {"Concat", "ConcatV2"}


def join_parts(tensors: Mapping[str, TensorInfo], axes: Mapping[str, int]) -> dict[str, TensorInfo]:
    """The tensors, with the parts of each variable as one. Parts that do not fit together are left as they are.

    ``axes`` has the axis along which the graph concatenates a variable, as far as it does.
    """
    parts: dict[str, dict[int, TensorInfo]] = {}
    for name, info in tensors.items():
        if match := _PART.fullmatch(name):
            parts.setdefault(match["name"], {})[int(match["number"])] = info
    joined: dict[str, TensorInfo] = {}
    for name, info in tensors.items():
        match = _PART.fullmatch(name)
        whole = _join(match["name"], parts[match["name"]], axes.get(match["name"])) if match else info
        joined.setdefault((whole or info).name, whole or info)
    return joined


def concatenations(nodes: Iterable[StoredNode]) -> dict[str, str]:
    """The constant with the axis along which each partitioned variable is concatenated, by the variable's name."""
    found: dict[str, str] = {}
    for node in nodes:
        if node.op in _CONCATENATIONS and node.inputs:
            first, axis = (node.inputs[0], node.inputs[-1]) if node.op == "ConcatV2" else node.inputs[1::-1]
            if match := _PART.fullmatch(first.partition(":")[0].removesuffix("/read")):
                found[match["name"]] = axis.partition(":")[0]
    return found


def _join(name: str, parts: Mapping[int, TensorInfo], axis: int | None) -> TensorInfo | None:
    """The variable that is made of parts; None if they do not fit, or nothing says along which axis."""
    infos = [parts[number] for number in sorted(parts)]
    shapes = [info.shape for info in infos]
    if sorted(parts) != list(range(len(parts))) or len({(info.dtype, len(info.shape)) for info in infos}) > 1:
        return None
    differing = [at for at, sizes in enumerate(zip(*shapes, strict=True)) if len(set(sizes)) > 1]
    axis = differing[0] if differing else 0 if len(infos) == 1 else axis
    if len(differing) > 1 or axis is None or not -len(shapes[0]) <= axis < len(shapes[0]):
        return None
    axis %= len(shapes[0])
    starts = accumulate((shape[axis] for shape in shapes[:-1]), initial=0)
    extents = []
    for info, start in zip(infos, starts, strict=True):
        place = (*(0,) * axis, start, *(0,) * (len(info.shape) - axis - 1))
        extents += [extent._replace(start=place) for extent in info.extents]
    shape = (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
    return TensorInfo(name, infos[0].dtype, shape, tuple(extents))

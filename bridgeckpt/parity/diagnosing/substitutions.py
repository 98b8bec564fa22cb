"""The known causes that are tensors: transposed, rearranged, or with the values of another tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

from bridgeckpt.parity.diagnosing.anatomy import Cause, Patch, Replacement
from bridgeckpt.parity.diagnosing.widening import LAYER, TRANSPOSED, Tensors, permuted, widened
from bridgeckpt.parity.family import layer_of, part_of

if TYPE_CHECKING:
    from bridgeckpt.parity.diagnosing.anatomy import Anatomy
    from bridgeckpt.parity.diagnosing.evidence import Evidence
    from bridgeckpt.parity.diagnosing.view import View

Tensor = Any

_INSIDE = 8  # stages: a layer and what it reads; the tensors of more stages are too many to try
_ORDERED = 4096  # features whose order is searched, at most
_LISTED = 16  # features whose order is listed, at most


def own_moves(values: Tensor, heads: int) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    """What may have been done to a tensor, in words, and what undoes it."""
    if values.ndim == 2 and values.shape[0] == values.shape[1]:
        yield TRANSPOSED, lambda x: x.T
    for axis in range(values.ndim):
        what = "row" if axis == 0 else "column"
        if values.shape[axis] == 2:
            yield f"in the wrong order: {what}s 0 and 1 are swapped", partial(_flip, axis=axis)
            continue
        yield f"moved by one {what}, from its place to the next", partial(_roll, by=-1, axis=axis)
        yield f"moved by one {what}, from its place to the one before", partial(_roll, by=1, axis=axis)
        yield f"in reverse order of {what}s", partial(_flip, axis=axis)
        if heads > 1 and values.shape[axis] % heads == 0:
            order = f"in another order of {what}s"
            yield f"{order}: (place in the head, head) for (head, place)", partial(_regroup, axis=axis, by=-heads)
            yield f"{order}: (head, place in the head) for (place, head)", partial(_regroup, axis=axis, by=heads)
    yield "of the wrong sign", lambda x: -x


def tensor_causes(evidence: Evidence, view_index: int, stage: str) -> Iterator[Cause]:
    """Causes that correct ``stage``: each by itself, and widened to its counterpart and to every layer."""
    view = evidence.views[view_index]
    inside = view.behind(stage)
    for inner in inside if len(inside) <= _INSIDE else ():
        for text, parameter, tensors in _substitutions(view.anatomy, inner):
            if _matters(evidence, view_index, tensors) and evidence.fixes(view_index, stage, Patch(tensors)):
                yield from widened(view.anatomy, text, parameter, tensors)
                if len(tensors) > 1 and layer_of(inner) is not None:
                    yield from permuted(evidence, view_index, inner, tensors)
    if len(inside) == 1:
        yield from _reordered(view, stage)


def _matters(evidence: Evidence, view_index: int, tensors: Tensors) -> bool:
    """Whether every tensor is changed, and not by a constant one: many tensors are all zeros or ones."""
    anatomy, patch = evidence.anatomy, Patch(tensors)
    for name, source in tensors.items():
        have, taken = anatomy.parameters[name], anatomy.tensor(name, patch)
        if have.shape == taken.shape and bool((have == taken).all()):
            return False
        owner = anatomy.stage_of(source.name)
        missed = source.name in tensors or (owner is not None and evidence.is_wrong(view_index, owner[0]))
        if source.name != name and not missed and bool((taken == taken.reshape(-1)[0]).all()):
            return False
    return True


def _reordered(view: View, stage: str) -> Iterator[Cause]:
    """The features of the result are in another order, as the labels of a classifier may be."""
    import torch

    roles = view.anatomy.roles[stage]
    if "kernel" not in roles or "gamma" in roles or len(view.anatomy.parameters[roles["kernel"]]) > _ORDERED:
        return
    expected, computed = view.rows(view.held[stage]), view.rows(view.compute(stage))
    order = torch.cdist(expected.T, computed.T).argmin(1)
    numbers = order.tolist()
    if len(set(numbers)) < len(numbers) or numbers == sorted(numbers):
        return
    moved = [name for role, name in roles.items() if role in {"kernel", "bias"}]
    shown = f": row {', '.join(map(str, numbers))} should be first, second and so on" if len(numbers) <= _LISTED else ""
    text = f"the rows of {' and '.join(moved)} are in another order{shown}"
    if len(numbers) == 2:
        text = f"rows 0 and 1 of {' and '.join(moved)} are swapped"
    yield Cause(text, moved[0], Patch({name: Replacement(name, lambda x: x[order]) for name in moved}))


def _held_elsewhere(anatomy: Anatomy, name: str, other: str) -> str:
    if anatomy.tied and anatomy.tied in name:
        return f"the decoder is not tied: {name} should hold the values of {other}"
    return f"the values of {name} are in {other}"


def _substitutions(anatomy: Anatomy, stage: str) -> Iterator[tuple[str, str, Tensors]]:
    """What may stand in place of a stage's tensors: (the cause in words, parameter to blame, replacements)."""
    roles = anatomy.roles[stage]
    for other in _neighbours(anatomy, stage):
        for group in _groups(anatomy, roles, anatomy.roles[other]):
            tensors = {roles[role]: Replacement(anatomy.roles[other][role]) for role in group}
            names = " and ".join(tensors)
            held = " and ".join(source.name for source in tensors.values())
            yield (
                f"{names} belong to TensorFlow's {other}; what belongs there is in {held}",
                next(iter(tensors)),
                tensors,
            )
    for first, second in combinations(roles.values(), 2):
        if anatomy.parameters[first].shape == anatomy.parameters[second].shape:
            yield f"{first} and {second} are swapped", first, {first: Replacement(second), second: Replacement(first)}
    heads = anatomy.heads(stage)
    for name in roles.values():
        for text, move in own_moves(anatomy.parameters[name], heads):
            yield f"{name} is {text}", name, {name: Replacement(name, move)}
    if {"kernel", "bias"} <= roles.keys():
        kernel, bias = roles["kernel"], roles["bias"]
        for text, move in own_moves(anatomy.parameters[bias], heads):
            yield f"{kernel} and {bias} are {text}", kernel, {name: Replacement(name, move) for name in (kernel, bias)}
    for name in roles.values():
        values = anatomy.parameters[name]
        for other in _alike(anatomy, name):
            shape = anatomy.parameters[other].shape
            if shape == values.shape:
                yield _held_elsewhere(anatomy, name, other), name, {name: Replacement(other)}
            if values.ndim == 2 and shape == values.shape[::-1]:
                what = f"the values of {name} are in {other}, transposed"
                yield what, name, {name: Replacement(other, lambda x: x.T)}


def _neighbours(anatomy: Anatomy, stage: str) -> list[str]:
    """Stages whose tensors may have been exchanged with those of this one, those of the same layer first."""
    layer = layer_of(stage)
    others = [other for other in anatomy.roles if other != stage and anatomy.roles[other]]
    return sorted(others, key=lambda other: (layer_of(other) != layer, part_of(other) != part_of(stage)))


def _groups(anatomy: Anatomy, mine: Mapping[str, str], theirs: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Sets of at least two roles that both stages have, in the same shapes."""
    fitting = tuple(
        role
        for role in mine
        if role in theirs and anatomy.parameters[mine[role]].shape == anatomy.parameters[theirs[role]].shape
    )
    for count in range(len(fitting), 1, -1):
        yield from combinations(fitting, count)


def _alike(anatomy: Anatomy, name: str) -> list[str]:
    """Other parameters of the same shape, or the same shape transposed; those of the same layer first."""
    shape = anatomy.parameters[name].shape
    layer = LAYER.search(name)
    similar = [
        other for other, values in anatomy.parameters.items() if other != name and values.shape in {shape, shape[::-1]}
    ]
    return sorted(
        similar,
        key=lambda other: (
            (found_layer := LAYER.search(other)) is None or layer is None or (found_layer.group() != layer.group())
        ),
    )


def _roll(values: Tensor, by: int, axis: int) -> Tensor:
    return values.roll(by, axis)


def _flip(values: Tensor, axis: int) -> Tensor:
    return values.flip(axis)


def _regroup(values: Tensor, axis: int, by: int) -> Tensor:
    """Take (a b) as (b a) along an axis, a being ``by``; with a negative ``by``, b is."""
    split = values.unflatten(axis, (by, -1) if by > 0 else (-1, -by))
    return split.transpose(axis, axis + 1).flatten(axis, axis + 1)

"""An exchange of tensors that corrects one stage, made wider: as a swap, in every layer, of whole layers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from bridgeckpt.parity.diagnosing.anatomy import Cause, Patch, Replacement
from bridgeckpt.parity.family import layer_name, layer_of, part_of

if TYPE_CHECKING:
    from bridgeckpt.parity.diagnosing.anatomy import Anatomy
    from bridgeckpt.parity.diagnosing.evidence import Evidence

Tensors = Mapping[str, Replacement]

LAYER = re.compile(r"(?<=\.)\d+(?=\.)")  # the layer's number, the first number in a parameter's name
TRANSPOSED = "transposed"


def widened(anatomy: Anatomy, text: str, parameter: str, tensors: Tensors) -> Iterator[Cause]:
    """The cause itself; with its counterpart, as a swap; and each of them in every layer."""
    exchanged = {name: source.name for name, source in tensors.items() if source.name != name}
    both = {**{other: Replacement(name) for name, other in exchanged.items()}, **tensors}
    is_swap = len(both) > len(tensors) and not any(source.move for source in tensors.values())
    forms = [(text, tensors)]
    if is_swap:
        pairs = f"{' and '.join(exchanged)} are swapped with {' and '.join(exchanged.values())}"
        if len(exchanged) == 1:
            pairs = " and ".join([*exchanged, *exchanged.values()]) + " are swapped"
        forms.append((pairs, both))
    for wording, form in forms:
        yield Cause(wording, parameter, Patch(form))
        everywhere = _in_every_layer(anatomy, form)
        if len(everywhere) > len(form):
            yield Cause(f"in every layer, as in this: {wording}", parameter, Patch(everywhere))
    moves = {source.move for source in tensors.values()}
    if len(tensors) == 1 and text.endswith(f"is {TRANSPOSED}"):
        square = [name for name, x in anatomy.parameters.items() if x.ndim == 2 and x.shape[0] == x.shape[1]]
        move = next(iter(moves))
        yield Cause(
            f"every square matrix is transposed, as {parameter} is",
            parameter,
            Patch({name: Replacement(name, move) for name in square}),
        )


def _in_every_layer(anatomy: Anatomy, tensors: Tensors) -> Tensors:
    """The same exchange made in every layer, if it stays within one."""
    layers = {found.group() for name in _names(tensors) if (found := LAYER.search(name))}
    if len(layers) != 1 or not all(LAYER.search(name) for name in _names(tensors)):
        return tensors
    return {
        _in_layer(name, layer): source._replace(name=_in_layer(source.name, layer))
        for layer in range(anatomy.layers)
        for name, source in tensors.items()
    }


def _in_layer(name: str, layer: int) -> str:
    """The parameter of another layer."""
    return LAYER.sub(str(layer), name, count=1)


def _names(tensors: Tensors) -> list[str]:
    return [*tensors, *(source.name for source in tensors.values())]


def permuted(evidence: Evidence, view_index: int, stage: str, tensors: Tensors) -> Iterator[Cause]:
    """If the tensors are those of another layer: whole layers in another order."""
    anatomy = evidence.anatomy
    part = part_of(stage)
    if any(not (found := anatomy.stage_of(source.name)) or part_of(found[0]) != part for source in tensors.values()):
        return
    places: dict[int, int] = {}
    for layer in range(anatomy.layers):
        mine = f"{layer_name(layer)}.{part}"
        if not evidence.is_wrong(view_index, mine):
            continue
        for other in range(anatomy.layers):
            theirs = anatomy.roles[f"{layer_name(other)}.{part}"]
            taken = {name: Replacement(theirs[role]) for role, name in anatomy.roles[mine].items()}
            if other != layer and evidence.fixes(view_index, mine, Patch(taken)):
                places[layer] = other
                break
    whole = {
        name: Replacement(_in_layer(name, other))
        for layer, other in places.items()
        for of, roles in anatomy.roles.items()
        if layer_of(of) == layer
        for name in roles.values()
    }
    listed = ", ".join(f"{layer} in {other}" for layer, other in places.items())
    steps = {other - layer for layer, other in places.items()}
    how = "in another order"
    if len(steps) == 1:
        (step,) = steps
        how = f"shifted by {abs(step)}"
    elif all(other == anatomy.layers - 1 - layer for layer, other in places.items()):
        how = "in reverse order"
    elif len(places) == 2:
        how = "swapped"
    text = f"the layers are {how}: TensorFlow's layer {listed} of PyTorch"
    yield Cause(text, next(iter(tensors)), Patch(whole))

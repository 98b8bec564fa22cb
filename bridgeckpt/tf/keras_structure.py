"""Whether a model of Keras has the layers that a checkpoint's model has: then the order of ``layers`` is the same.

Keras sorts the layers of a functional model by their distance from the outputs. So one more layer without weights in
one of two branches, such as a dropout, changes the order of all. In a chain of layers it changes nothing.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from bridgeckpt.warmstart.layers import kind_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from bridgeckpt.formats.checkpoint import Checkpoint

_INPUT = re.compile(r"input")  # InputLayer: input_1 in Keras 2, input_layer in Keras 3
_OPERATION, _LAYER = re.compile(r"(?:.*/)?_operations/([0-9]+)"), re.compile(r"(?:.*/)?layer-([0-9]+)")


def has_same_order(model: Any, checkpoint: Checkpoint, classes: Collection[str]) -> bool | None:  # noqa: ANN401
    """Whether the model's layers are in the order of the checkpoint's. None if the checkpoint does not say so."""
    layers = list(getattr(model, "layers", ()))
    if not all(map(_is_ordered, _inside(model))):
        return None
    if _is_ordered(model):
        return True
    if checkpoint.layer_names:
        ours = [kind_of(layer.name, classes) for layer in layers]
        theirs = [kind_of(name, classes) for name in checkpoint.layer_names]
        return [one for one in ours if not _INPUT.match(one)] == [one for one in theirs if not _INPUT.match(one)]
    if operations := _indices(checkpoint, _OPERATION):
        of_model = list(getattr(model, "operations", ()))
        with_weights = {at for at, one in enumerate(of_model) if getattr(one, "weights", ())}
        stored = {place[0] for place in checkpoint.layer_places.values()}
        return len(operations) == len(of_model) and stored == with_weights
    if weighted := checkpoint.layers_with_weights:
        with_weights = {at for at, layer in enumerate(layers) if layer.weights}
        return len(_indices(checkpoint, _LAYER)) == len(layers) and weighted == with_weights
    return None


def _inside(model: Any) -> list[Any]:  # noqa: ANN401
    """The models inside a model."""
    flatten = getattr(model, "_flatten_layers", None)
    return [one for one in (flatten(include_self=False) if callable(flatten) else ()) if _is_of(one, "Functional")]


def _is_ordered(model: Any) -> bool:  # noqa: ANN401
    """Whether layers have one order: those of a chain, or the attributes of a model whose ``call`` is the user's."""
    return _is_of(model, "Sequential") or not _is_of(model, "Functional") or _is_chain(list(model.layers))


def _is_of(model: Any, kind: str) -> bool:  # noqa: ANN401
    return any(base.__name__ == kind for base in type(model).__mro__)


def _is_chain(layers: list[Any]) -> bool:
    """Whether each layer gets the output of the one before it, and nothing else."""
    return all(_before(layer) == {id(before)} for before, layer in pairwise(layers))


def _before(layer: Any) -> set[int]:  # noqa: ANN401
    """The identities of the layers whose outputs a layer gets; none if it is called more than once."""
    calls = list(getattr(layer, "_inbound_nodes", ()))
    parents = getattr(calls[0], "parent_nodes", ()) if len(calls) == 1 else ()
    return {id(getattr(one, "operation", None) or getattr(one, "layer", None)) for one in parents}


def _indices(checkpoint: Checkpoint, pattern: re.Pattern[str]) -> set[int]:
    """The positions of the objects of the outermost model."""
    found = [match for path in checkpoint.objects if (match := pattern.fullmatch(path))]
    outermost = min((match[0].count("/") for match in found), default=0)
    return {int(match[1]) for match in found if match[0].count("/") == outermost}

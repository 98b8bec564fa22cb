"""What a layer of a described network reads: the layers before it, without those that change nothing outside training.

Source: https://github.com/keras-team/keras, keras/src/layers (the classes that return their input at inference)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.descriptions import plain
from bridgeckpt.formats.networks import INPUT as INPUT_CLASS
from bridgeckpt.mapping.tables.described import INPUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridgeckpt.formats.networks import Network, NetworkLayer, Ref

_DROPOUTS = ("Dropout", "SpatialDropout1D", "AlphaDropout", "GaussianDropout", "GaussianNoise")
_IDENTITY = {*_DROPOUTS, "ActivityRegularization"}
_ACTIVATIONS = ("Activation",)
_SUMS = {"Add"}  # the layer, and the operation of Keras 3
_OPERATIONS = {"TFOpLambda", "TensorFlowOpLayer"}
_ADDITIONS = {"__operators__.add", "math.add", "add"}
_SELECTIONS = {"SlicingOpLambda", "GetItem"}
FIRST = "[:, 0]"
_DEEPEST = 1000  # layers on the way from one layer to another


class Source(NamedTuple):
    """The output of a layer that is read, and its number; ``name`` is that of the layer, or ``@input``.

    Of the first token of each sequence alone, both names end in ``[:, 0]``.
    """

    name: str
    class_name: str = ""
    tensor: int = 0
    layer: NetworkLayer | None = None

    @property
    def outputs(self) -> set[str]:
        """The class with the number of its output, and so with each flag of its config."""
        flags = self.layer.config.items() if self.layer is not None else ()
        marks = ["", *(f"[{'' if value else '!'}{key}]" for key, value in flags if isinstance(value, bool))]
        first = FIRST if self.name.endswith(FIRST) else ""
        return {f"{self.class_name}{mark}@{self.tensor}{first}" for mark in marks}


Summed = tuple[Source, ...]


def sources_of(network: Network, layer: NetworkLayer) -> Iterator[tuple[Summed, ...] | None]:
    """For each call of a layer, what it reads: a sum for each input; None if the description does not show it."""
    for call in layer.calls:
        sums = [_resolved(network, ref, 0) for ref in call]
        known = tuple(one for one in sums if one is not None)
        yield known if len(known) == len(sums) else None


def _resolved(network: Network, ref: Ref, depth: int) -> Summed | None:
    """The outputs that a tensor is the sum of."""
    layer = network.layers.get(ref.layer)
    if layer is None or depth > _DEEPEST:
        return None
    if layer.class_name == INPUT_CLASS:
        return (Source(INPUT),)
    if layer.inside is not None and layer.inside.outputs:
        return _inner(layer.inside, ref, depth)
    reads = layer.calls[ref.call] if ref.call < len(layer.calls) else ()
    if len(reads) == 1 and is_identity(layer):
        return _resolved(network, reads[0], depth + 1)
    if len(reads) > 1 and _is_sum(layer):
        terms = [_resolved(network, one, depth + 1) for one in reads]
        known = [term for term in terms if term is not None]
        return tuple(source for term in known for source in term) if len(known) == len(terms) else None
    if len(reads) == 1 and layer.class_name in _SELECTIONS and _is_first(layer.arguments[ref.call]):
        found = _resolved(network, reads[0], depth + 1)
        return None if found is None else tuple(one._replace(name=f"{one.name}{FIRST}") for one in found)
    return (Source(layer.name, layer.class_name, ref.tensor, layer),)


def _inner(inside: Network, ref: Ref, depth: int) -> Summed | None:
    """The sum that an output of a model inside the model is."""
    return _resolved(inside, inside.outputs[ref.tensor], depth + 1) if ref.tensor < len(inside.outputs) else None


def _is_first(arguments: object) -> bool:
    """Whether a call selects the first token: all of the first axis, 0 of the second, and all of those behind."""
    pending: list[object] = [arguments]
    while pending:
        value = pending.pop()
        if isinstance(value, list) and len(value) > 1 and _is_all(value[0]):
            return value[1] == 0 and value[1] is not False and all(map(_is_all, value[2:]))
        pending += value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return False


def _is_all(value: object) -> bool:
    """Whether it is a slice of everything, as Keras 2 or Keras 3 writes it."""
    inner = value.get("config", value) if isinstance(value, dict) else None
    return isinstance(inner, dict) and {"start", "stop"} <= inner.keys() and not any(inner.values())


def is_identity(layer: NetworkLayer) -> bool:
    """Whether a layer changes nothing outside training."""
    is_linear = layer.class_name in _ACTIVATIONS and plain(layer.config.get("activation")) == "linear"
    return layer.class_name in _IDENTITY or is_linear


def readers_of(network: Network, name: str) -> Iterator[NetworkLayer]:
    """The layers that read a layer, those behind a dropout too."""
    pending, seen = [name], {name}
    while pending:
        read = pending.pop()
        for layer in network.layers.values():
            if layer.name not in seen and any(ref.layer == read for call in layer.calls for ref in call):
                seen.add(layer.name)
                yield layer
                pending += [layer.name] if is_identity(layer) else []


def _is_sum(layer: NetworkLayer) -> bool:
    return layer.class_name in _SUMS or (layer.class_name in _OPERATIONS and layer.config.get("function") in _ADDITIONS)


def truthy(values: object, keys: tuple[str, ...]) -> bool:
    """Whether one of ``keys`` has a true value, at any depth."""
    pending = [values]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if any(value.get(key) for key in keys):
                return True
            pending += value.values()
        elif isinstance(value, list | tuple):
            pending += value
    return False

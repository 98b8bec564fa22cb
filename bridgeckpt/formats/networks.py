"""A model as Keras describes it: its layers, each with its config and with what it reads.

Keras writes so about models that are made of layers and the tensors between them (``Functional``, ``Sequential``), at
any depth. The description of a class of its own says nothing of its inside. Nothing here knows a model: which layers a
model has, and what they read, is data of the mapping tables.

Sources: https://github.com/keras-team/tf-keras, tf_keras/engine/functional.py (get_network_config: inbound_nodes as
[layer, call, tensor, arguments]); https://github.com/keras-team/keras, keras/src/models/functional.py (inbound_nodes as
args and kwargs with __keras_tensor__), keras/src/saving/saving_lib.py (the names of layers in a container)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.store.texts import TextError, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INPUT = "InputLayer"
_KERAS_TENSOR = "__keras_tensor__"
_CONSTANT = "_CONSTANT_VALUE"  # stands where the name of a layer would
_CONTAINER = re.compile(r"(?:_layer_checkpoint_dependencies|layers)/([^/]+)/(.*)")
_VARIABLE = re.compile(r"vars/\d+")


class Ref(NamedTuple):
    """A tensor: the output number ``tensor`` of the call number ``call`` of a layer."""

    layer: str
    call: int
    tensor: int

    def without_prefix(self, prefix: str) -> Ref:
        """The tensor of the layer without a prefix in its name."""
        return self._replace(layer=self.layer.removeprefix(prefix))


class NetworkLayer(NamedTuple):
    """A layer: ``calls`` are the tensors that each call of it reads, ``arguments`` how they are written.

    ``inside`` is the network of a layer that is a model itself.
    """

    name: str
    class_name: str
    config: Mapping[str, Any]
    calls: tuple[tuple[Ref, ...], ...]
    arguments: tuple[Any, ...] = ()
    inside: Network | None = None

    def without_prefix(self, prefix: str) -> NetworkLayer:
        """The layer without a prefix in its name and those that it reads."""
        calls = tuple(tuple(ref.without_prefix(prefix) for ref in call) for call in self.calls)
        return self._replace(name=self.name.removeprefix(prefix), calls=calls)


class Network(NamedTuple):
    """The layers of a model by name, in order, and its outputs."""

    name: str
    layers: Mapping[str, NetworkLayer]
    outputs: tuple[Ref, ...] = ()

    def without_prefix(self, prefix: str) -> Network:
        """The same network, with the prefix taken from the names of layers that have it."""
        layers = [layer.without_prefix(prefix) for layer in self.layers.values()]
        outputs = tuple(ref.without_prefix(prefix) for ref in self.outputs)
        return Network(self.name, {layer.name: layer for layer in layers}, outputs)

    def layer_of(self, tensor: str) -> NetworkLayer | None:
        """The layer with a variable of this name: it is named after it, or its path counts the layers of a class."""
        if (path := _CONTAINER.match(tensor)) is None:
            first, _, rest = tensor.partition("/")
            return self.layers.get(first) if "/" not in rest else None
        layer = self._counted(path[1])
        if layer is None or _VARIABLE.fullmatch(path[2]):
            return layer
        return layer.inside.layer_of(path[2]) if layer.inside is not None else None

    def _counted(self, name: str) -> NetworkLayer | None:
        """The layer that a container calls so: by its class, and by a number if there is one of that class before."""
        counts: dict[str, int] = {}
        for layer in self.layers.values():
            kind = _snake_case(layer.class_name)
            number = counts.get(kind, 0)
            counts[kind] = number + 1
            if name == (f"{kind}_{number}" if number else kind):
                return layer
        return None


def networks_of(text: str, where: str) -> list[Network]:
    """The networks in a description, each before those inside it; none if the text is not a description."""
    try:
        value: Any = parse_json(text, where)
    except TextError:
        return []
    return list(_networks(value))


def _networks(value: object) -> Iterator[Network]:
    pending = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, dict) and (network := _network(node)) is not None:
            yield network
        inside = list(node.values() if isinstance(node, dict) else node) if isinstance(node, dict | list) else []
        pending += reversed([one for one in inside if isinstance(one, dict | list)])


def _network(node: Mapping[str, Any]) -> Network | None:
    """The network that an object describes; None if it describes none."""
    config = node.get("config")
    # Keras before 2.2.3 wrote the layers of a Sequential model without an object around them.
    listed = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(listed, list) or not listed or not all(map(_is_layer, listed)):
        return None
    name = config.get("name", "") if isinstance(config, dict) else ""
    layers = [_layer(one) for one in listed]
    if any("inbound_nodes" in one for one in listed):
        outputs = tuple(_refs(config.get("output_layers"))) if isinstance(config, dict) else ()
    else:
        before = [(), *(((Ref(layer.name, 0, 0),),) for layer in layers)]
        layers = [layer._replace(calls=calls) for layer, calls in zip(layers, before, strict=False)]
        outputs = (Ref(layers[-1].name, 0, 0),)
    return Network(str(name), {layer.name: layer for layer in layers}, outputs)


def _is_layer(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("class_name"), str) and "config" in value


def _layer(node: Mapping[str, Any]) -> NetworkLayer:
    config = node["config"] if isinstance(node["config"], dict) else {}
    calls = node.get("inbound_nodes")
    calls = calls if isinstance(calls, list) else []
    return NetworkLayer(
        name=str(node.get("name") or config.get("name") or ""),
        class_name=node["class_name"].rpartition(">")[2],
        config=config,
        calls=tuple(tuple(_refs(call)) for call in calls),
        arguments=tuple(calls),
        inside=_network(node),
    )


def _refs(value: object) -> Iterator[Ref]:
    """The tensors in the arguments of a call, in order."""
    if isinstance(value, dict):
        if value.get("class_name") == _KERAS_TENSOR and isinstance(value.get("config"), dict):
            yield from _refs(value["config"].get("keras_history"))
        else:
            for one in value.values():
                yield from _refs(one)
    elif isinstance(value, list):
        match value:
            case [str(layer), int(call), int(tensor), *rest]:
                if layer != _CONSTANT:
                    yield Ref(layer, call, tensor)
                yield from _refs(rest)
            case _:
                for one in value:
                    yield from _refs(one)


def _snake_case(name: str) -> str:
    """The name of a class as Keras writes it in paths."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()

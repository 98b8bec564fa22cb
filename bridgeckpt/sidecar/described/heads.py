"""What a head is put on, as Keras describes it: which output of the model, and what is computed in between and after.

Sources: https://github.com/keras-team/keras, keras/src/layers and keras/src/ops (the classes that change what they
read); https://github.com/keras-team/tf-keras, tf_keras/layers/core/tf_op_layer.py
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.formats.descriptions import plain
from bridgeckpt.mapping.tables.described import INPUT
from bridgeckpt.sidecar.described.layers import INDEX
from bridgeckpt.sidecar.described.reading import is_identity, readers_of, sources_of, truthy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridgeckpt.formats.networks import Network, NetworkLayer
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.sidecar.described.layers import DescribedFacts
    from bridgeckpt.sidecar.described.reading import Source, Summed

# Layers of Keras, and operations on its tensors, that certainly change what they read.
_ALTERING = re.compile(
    r"Global.*|Average.*|Max.*|Min.*|Mean|Sum|Multiply|Subtract|Dot|Concatenate|Flatten|Permute|RepeatVector|Cropping.*"
    r"|Activation|(?:Leaky|P|Thresholded)?ReLU|ELU|Softmax|Rescaling|Dense|EinsumDense|(?:Separable)?Conv1D|LSTM|GRU"
    r"|SimpleRNN|Bidirectional|.*Normalization|.*Attention|Lambda|GetItem|SlicingOpLambda|TFOpLambda|TensorFlowOpLayer"
)
# What makes probabilities of logits, or another shape, is no part of a head of logits.
_PROBABILITIES = {"linear", "softmax", "sigmoid", "log_softmax", "log_sigmoid"}
_HARMLESS = {"Softmax", "Flatten", "Reshape", "Squeeze", "Masked", "Cast", INPUT}
_BENDING = {"Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU", "Rescaling", "Multiply"}


class DescribedHead(NamedTuple):
    """What a head computes.

    Attributes:
        layer: The layer with its kernel.
        kind: What one row of its logits is about, by what it reads; None if it reads something else.
        how: What no class does with it, or what may change it.
        is_certain: Whether it certainly computes something else than any class; else ``how`` is a doubt.
    """

    layer: str
    kind: str | None = None
    how: str = ""
    is_certain: bool = True


def read_head(
    facts: DescribedFacts | None, table: Table, wildcards: Mapping[str, str], tensor: str
) -> DescribedHead | None:
    """What the head with a tensor computes; None if the description does not show it."""
    if facts is None or not table.described.heads:
        return None
    places = [(network, layer) for network in facts.networks if (layer := network.layer_of(tensor)) is not None]
    if len({(layer.name, layer.calls) for _, layer in places}) != 1:  # metadata has some networks twice
        return None
    network, layer = places[0]
    head = _on(facts, table, wildcards, network, layer)
    if head is None or (head.how and head.is_certain):
        return head
    after = next(_after(network, layer), None)
    return head._replace(how=after[0], is_certain=after[1]) if after is not None else head


def _on(
    facts: DescribedFacts, table: Table, wildcards: Mapping[str, str], network: Network, layer: NetworkLayer
) -> DescribedHead | None:
    """The head by what it reads."""
    kinds: set[str | None] = set()
    for reads in sources_of(network, layer):
        if reads is None or len(reads) != 1:
            return None
        if len(reads[0]) > 1:
            return DescribedHead(layer.name, how=f"reads the sum of {_written(reads[0])}")
        source = reads[0][0]
        if truthy((source.layer.config, source.layer.arguments) if source.layer else (), table.described.unless):
            return None
        kind = _kind(source, facts, table, wildcards)
        if kind is None:
            changes = (
                source.layer is None
                or _ALTERING.fullmatch(source.class_name) is not None
                or _is_known(source, table, wildcards)
            )
            return DescribedHead(layer.name, how=f"reads {_written(reads[0])}", is_certain=changes)
        kinds.add(kind)
    return DescribedHead(layer.name, kinds.pop()) if len(kinds) == 1 else None


def _kind(source: Source, facts: DescribedFacts, table: Table, wildcards: Mapping[str, str]) -> str | None:
    stated = source.layer.config.get(table.described.depth) if source.layer is not None else None
    depth = stated if isinstance(stated, int) else facts.depth
    values: dict[str, int | str] = {**wildcards, INDEX: depth - 1}
    for kind, names in table.described.heads.items():
        for name in names:
            rendered = name.render(values)
            if rendered in source.outputs if "@" in name.text else rendered == source.name:
                return kind
    return None


def _is_known(source: Source, table: Table, wildcards: Mapping[str, str]) -> bool:
    """Whether it is a layer of the model, or another output of a model whose outputs are known."""
    classes = {name.text.partition("@")[0] for names in table.described.heads.values() for name in names}
    patterns = [entry.name.pattern(wildcards) for entry in table.described.layers]
    return any(output.partition("@")[0] in classes for output in source.outputs) or any(
        pattern.fullmatch(source.name) for pattern in patterns
    )


def _after(network: Network, layer: NetworkLayer) -> Iterator[tuple[str, bool]]:
    """What changes the logits of a layer, and whether it certainly does."""
    own = plain(layer.config.get("activation", "linear"))
    if layer.config.get("activation") is not None and own not in _PROBABILITIES:
        yield f"has the activation {own or 'of a function without a name'}", own is not None
    for reader in readers_of(network, layer.name):
        activation = plain(reader.config.get("activation", "linear"))
        if reader.class_name in _HARMLESS or is_identity(reader) or activation in _PROBABILITIES - {"linear"}:
            continue
        bends = reader.class_name in _BENDING
        yield f"is followed by {reader.name} ({reader.class_name})", bends


def _written(sum_: Summed) -> str:
    return " and ".join(f"{one.name} ({one.class_name})" if one.class_name else "an input" for one in sum_)

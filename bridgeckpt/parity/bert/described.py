"""What Keras' own description of a model says of a BERT: the number of heads, the activation, the epsilon.

A file of a whole model has the description as ``model_config``, a ``.keras`` archive as ``config.json``, a SavedModel
as its metadata. A class of transformers or Model Garden is found by its name, a layer of other code by its own name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bridgeckpt.formats.descriptions import IN_ARCHIVE, IN_HDF5, IN_SAVED_MODEL, described_objects
from bridgeckpt.formats.descriptions import plain as plain_value
from bridgeckpt.store.texts import TextError, parse_json

if TYPE_CHECKING:
    from bridgeckpt.store.texts import JSON

_DESCRIPTIONS = (IN_HDF5, IN_ARCHIVE, IN_SAVED_MODEL)
_TRANSFORMERS = re.compile("TFBert[A-Z]")
_KEYS = {key: key for key in ("num_attention_heads", "hidden_act", "layer_norm_eps")}
_ENCODERS = ("BertEncoder", "BertEncoderV2", "TransformerEncoder")
_MODEL_GARDEN = {
    "num_attention_heads": "num_attention_heads",
    "inner_activation": "hidden_act",
    "activation": "hidden_act",
    "norm_first": "norm_first",
}
# The layers' names in keras-bert and in bert4keras, by the key of config.json: the layer, and its own key.
_LAYERS = (
    {
        "num_attention_heads": ("Encoder-1-MultiHeadSelfAttention", "head_num"),
        "hidden_act": ("Encoder-1-FeedForward", "activation"),
        "layer_norm_eps": ("Embedding-Norm", "epsilon"),
    },
    {
        "num_attention_heads": ("Transformer-0-MultiHeadSelfAttention", "heads"),
        "hidden_act": ("Transformer-0-FeedForward", "activation"),
        "layer_norm_eps": ("Embedding-Norm", "epsilon"),
    },
)


def described(texts: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """What the first description among ``texts`` states, by transformers' keys, and its name; {} without a BERT."""
    for name in filter(texts.__contains__, _DESCRIPTIONS):
        if stated := _of_classes(texts[name], name) or _of_layers(next(descriptions({name: texts[name]}), {})):
            return stated, name
    return {}, ""


def descriptions(texts: Mapping[str, str]) -> Iterator[JSON]:
    """The descriptions of models among ``texts``, as far as they are JSON."""
    for name in _DESCRIPTIONS:
        try:
            yield parse_json(texts.get(name, "{}"), name)
        except TextError:
            continue


def _of_classes(text: str, name: str) -> dict[str, Any]:
    """The settings of the BERT among the objects; {} if several differ."""
    distinct: list[dict[str, Any]] = []
    for found in described_objects(text, name):
        keys = _MODEL_GARDEN if found.class_name in _ENCODERS else _KEYS
        if found.class_name in _ENCODERS or _TRANSFORMERS.match(found.class_name):
            values = {keys[key]: plain_value(of) for key, of in found.config.items() if key in keys}
            stated = {key: of for key, of in values.items() if of is not None}
            if stated and stated not in distinct:
                distinct.append(stated)
    return distinct[0] if len(distinct) == 1 else {}


def _of_layers(description: JSON) -> dict[str, Any]:
    """The settings of the first layer of a code whose names of layers are known: of the code that shows most."""
    configs = {found["name"]: found for found in objects(description) if isinstance(found.get("name"), str)}
    found: list[dict[str, Any]] = []
    for places in _LAYERS:
        stated = {key: plain(_layer(configs, layer).get(own)) for key, (layer, own) in places.items()}
        found.append({key: value for key, value in stated.items() if value is not None})
    return max(found, key=len)


def _layer(configs: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """The layer of this name, or the only one with a prefix before it, which a program may give to all; else {}."""
    prefixed = [config for other, config in configs.items() if other.endswith(f"-{name}")]
    return configs.get(name) or (prefixed[0] if len(prefixed) == 1 else {})


def plain(value: object) -> object:
    """A value without what Keras puts around it: a function is an object with its name, or the only one of a list."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value.get("config") if isinstance(value, dict) else value


def objects(value: object) -> Iterator[dict[str, Any]]:
    """Every object in a text, inner ones after the one that holds them."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield item
            pending += reversed(list(item.values()))
        elif isinstance(item, list):
            pending += reversed(item)

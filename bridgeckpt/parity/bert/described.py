"""What Keras' own description of a model says of a BERT: the number of heads, the activation, the epsilon.

A file of a whole model has the description as ``model_config``, a ``.keras`` archive as ``config.json``. A layer of the
model is found by its name, and a TensorFlow class of transformers by the config that it keeps there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bridgeckpt.store.texts import TextError, parse_json

if TYPE_CHECKING:
    from bridgeckpt.store.texts import JSON

_DESCRIPTIONS = ("model_config", "config.json")
_MODEL = "bert"
_KEYS = ("num_attention_heads", "hidden_act", "layer_norm_eps")
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


def described(texts: Mapping[str, str]) -> dict[str, Any]:
    """What the first description among ``texts`` states, by transformers' keys; {} if it shows no BERT."""
    for description in descriptions(texts):
        if stated := _of_transformers(description) or _of_layers(description):
            return stated
    return {}


def descriptions(texts: Mapping[str, str]) -> Iterator[JSON]:
    """The descriptions of models among ``texts``, as far as they are JSON."""
    for name in _DESCRIPTIONS:
        try:
            yield parse_json(texts.get(name, "{}"), name)
        except TextError:
            continue


def _of_transformers(description: JSON) -> dict[str, Any]:
    """The settings in the only config of a BERT of transformers."""
    configs = [found for found in objects(description) if found.get("model_type") == _MODEL]
    return {key: configs[0][key] for key in _KEYS if key in configs[0]} if len(configs) == 1 else {}


def _of_layers(description: JSON) -> dict[str, Any]:
    """The settings of the first layer of a code whose names of layers are known."""
    configs = {found["name"]: found for found in objects(description) if isinstance(found.get("name"), str)}
    for places in _LAYERS:
        stated = {key: plain(configs.get(layer, {}).get(own)) for key, (layer, own) in places.items()}
        if found := {key: value for key, value in stated.items() if value is not None}:
            return found
    return {}


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

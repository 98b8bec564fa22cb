"""What Keras says about a model in the model's own file: every object, with its class and its config.

Such a description stays data: no object is made from it. It is the attribute ``model_config`` of an HDF5 file, the
``config.json`` of a ``.keras`` archive, or the metadata of a SavedModel.

Sources: https://github.com/keras-team/keras, keras/src/saving/serialization_lib.py (class_name, config,
registered_name); https://github.com/huggingface/transformers, v4.46.3, src/transformers/modeling_tf_utils.py (the
config of a model inside that of its main layer)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.store.texts import TextError, parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping

IN_HDF5, IN_ARCHIVE, IN_SAVED_MODEL = "model_config", "config.json", "keras_metadata.pb"


class Described(NamedTuple):
    """An object of a description: the name of its class without its package, its own name, and its config."""

    class_name: str
    name: str
    config: Mapping[str, Any]


def described_objects(text: str, where: str) -> list[Described]:
    """The objects of a description, each before those inside it; none if the text is not a description."""
    try:
        nodes: list[Any] = [parse_json(text, where)]
    except TextError:
        return []
    found = []
    while nodes:
        node = nodes.pop()
        inside: list[Any] = list(node.values() if isinstance(node, dict) else node)
        nodes += [value for value in reversed(inside) if isinstance(value, dict | list)]
        if isinstance(node, dict) and isinstance(node.get("class_name"), str) and isinstance(node.get("config"), dict):
            config = node["config"]
            inner = config.get("config")  # a layer of transformers has that of its model there
            name = node.get("name") or config.get("name")
            own = {**config, **inner} if isinstance(inner, dict) and "class_name" not in config else config
            found.append(Described(node["class_name"].rpartition(">")[2], str(name or ""), own))
    return found


def plain(value: object) -> object:
    """A value of a config as a number, a word or None.

    Keras writes a function as an object, or with the package that registered it (``Text>gelu``). Without a package it
    writes ``Custom``: that is a function of the program itself, which has any name. So it tells as little as a lambda.
    """
    if isinstance(value, dict) and isinstance(value.get("class_name"), str):
        value = value.get("config")
    if isinstance(value, str) and not value.startswith(("<", "Custom>")):
        return value.rpartition(">")[2]
    return value if isinstance(value, bool | int | float) else None

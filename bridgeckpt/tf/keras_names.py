"""The names that Keras gives to layers and numbers: those of their classes in snake case."""

from __future__ import annotations

import re
from typing import Any

from bridgeckpt.tf.runtime import tensorflow

_MORE = ("model", "functional", "input")  # a functional model in Keras 2 and 3, an input in Keras 2


def numbered_names(model: Any) -> frozenset[str]:  # noqa: ANN401 - TensorFlow and Keras have no types
    """The names that Keras numbers: of its own layers, and of the classes of all layers in a model."""
    classes = {name for name in dir(tensorflow().keras.layers) if name[:1].isupper()}
    flatten = getattr(model, "_flatten_layers", None)  # of Keras 2 and 3
    classes.update(type(layer).__name__ for layer in (flatten() if callable(flatten) else ()))
    return frozenset((*_MORE, *(snake_case(name) for name in classes)))


def snake_case(name: str) -> str:
    """The name of a class as Keras writes it: ``to_snake_case`` in keras/src/utils/naming.py."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()

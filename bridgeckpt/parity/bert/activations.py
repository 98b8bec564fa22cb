"""The activations of feed-forward layers by transformers' names, in plain TensorFlow operations, in any float dtype."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

_Function = Callable[[Any, Any], Any]


def _gelu_erf(tf: Any, x: Any) -> Any:  # noqa: ANN401 - TensorFlow has no types
    return 0.5 * x * (1.0 + tf.math.erf(x / math.sqrt(2.0)))


def _gelu_tanh(tf: Any, x: Any) -> Any:  # noqa: ANN401
    return 0.5 * x * (1.0 + tf.math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


# One name for each function that transformers has; a trial on a graph takes them in this order.
FUNCTIONS: Mapping[str, _Function] = {
    "gelu_pytorch_tanh": _gelu_tanh,
    "gelu": _gelu_erf,
    "relu": lambda tf, x: tf.math.maximum(x, 0.0),
    "tanh": lambda tf, x: tf.math.tanh(x),
    "linear": lambda _, x: x,
    "silu": lambda tf, x: x * tf.math.sigmoid(x),
    "quick_gelu": lambda tf, x: x * tf.math.sigmoid(1.702 * x),
    "relu6": lambda tf, x: tf.math.minimum(tf.math.maximum(x, 0.0), 6.0),
    "relu2": lambda tf, x: tf.math.square(tf.math.maximum(x, 0.0)),
    "sigmoid": lambda tf, x: tf.math.sigmoid(x),
    "mish": lambda tf, x: x * tf.math.tanh(tf.math.softplus(x)),
}
# Other names for the same functions.
SAME: Mapping[str, str] = {
    "gelu_accurate": "gelu_pytorch_tanh",
    "gelu_fast": "gelu_pytorch_tanh",
    "gelu_new": "gelu_pytorch_tanh",
    "gelu_python": "gelu",
    "swish": "silu",
}

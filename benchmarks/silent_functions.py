"""Activations that graphs of BERT may compute, drawn at random, and google-research/bert's GELU in other operations."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

Drawn = tuple[str, Callable[[Any], Any]]
_C = float(np.sqrt(2 / np.pi))


def tanh_gelu(tf: Any, x: Any) -> Any:
    return x * 0.5 * (1.0 + tf.tanh(_C * (x + 0.044715 * tf.pow(x, 3))))


def activation(tf: Any, draw: random.Random) -> Drawn:
    """A function of a wide family, some of which have a name in transformers."""
    a = round(draw.choice([0.01, 0.1, 0.2, 0.5, 1.0, 1.5, 1.702, 2.0, 3.0, draw.uniform(0.05, 4)]), 4)
    return draw.choice(
        [
            ("erf gelu", lambda x: tf.nn.gelu(x, approximate=False)),
            ("tanh gelu", lambda x: tf.nn.gelu(x, approximate=True)),
            ("relu", tf.nn.relu),
            ("relu6", tf.nn.relu6),
            ("elu", tf.nn.elu),
            ("selu", tf.nn.selu),
            ("tanh", tf.tanh),
            ("sigmoid", tf.sigmoid),
            ("softplus", tf.nn.softplus),
            ("softsign", tf.nn.softsign),
            ("linear", lambda x: x),
            ("mish", lambda x: x * tf.tanh(tf.nn.softplus(x))),
            ("hard swish", lambda x: x * tf.nn.relu6(x + 3) / 6),
            (f"leaky relu {a}", lambda x: tf.nn.leaky_relu(x, a)),
            (f"leaky relu by maximum {a}", lambda x: tf.maximum(x, a * x)),
            (f"swish {a}", lambda x: x * tf.sigmoid(a * x)),
            (f"capped relu {a}", lambda x: tf.minimum(tf.nn.relu(x), a)),
            (f"relu squared times {a}", lambda x: a * tf.square(tf.nn.relu(x))),
            (f"gelu times {a}", lambda x: a * tanh_gelu(tf, x)),
            (f"gelu of {a} x", lambda x: tanh_gelu(tf, a * x)),
            (f"gelu plus {a}", lambda x: tf.nn.gelu(x) + a),
            (f"thresholded {a}", lambda x: tf.where(x > a, x, tf.zeros_like(x))),
            (f"hard tanh {a}", lambda x: tf.clip_by_value(x, -a, a)),
            (f"sine {a}", lambda x: x + tf.square(tf.sin(a * x)) / a),
            (f"power {a}", lambda x: tf.pow(tf.nn.relu(x), 1 + a)),
            (f"normal {a}", lambda x: tf.exp(-a * x * x)),
            ("reversed gelu", lambda x: -tf.nn.gelu(-x)),
            ("squared", tf.square),
            ("absolute", tf.abs),
            ("softmax", tf.nn.softmax),
            ("less its mean", lambda x: x - tf.reduce_mean(x, -1, keepdims=True)),
            (
                "of halves",
                lambda x: tf.concat([tf.nn.relu(x[..., : x.shape[-1] // 2]), x[..., x.shape[-1] // 2 :]], -1),
            ),
            ("rounded", lambda x: tf.nn.relu(tf.round(x * 4) / 4)),
        ]
    )


def same(tf: Any, draw: random.Random) -> Drawn:
    """Google's GELU in other operations."""
    return draw.choice(
        [
            ("nn.gelu", lambda x: tf.nn.gelu(x, approximate=True)),
            ("folded", lambda x: 0.5 * x * (1 + tf.tanh(x * (_C + _C * 0.044715 * x * x)))),
            ("by a sigmoid", lambda x: x * tf.sigmoid(2 * _C * (x + 0.044715 * x**3))),
            ("by exp", lambda x: x / (1 + tf.exp(-2 * _C * (x + 0.044715 * x**3)))),
            ("with casts", lambda x: tf.cast(tanh_gelu(tf, tf.cast(x, tf.float64)), tf.float32)),
            ("with its own gradient", lambda x: tf.custom_gradient(lambda y: (tanh_gelu(tf, y), lambda g: g))(x)),
            ("reshaped", lambda x: tf.reshape(tanh_gelu(tf, tf.reshape(x, [-1])), tf.shape(x))),
            (
                "with dropout",
                lambda x: tf.nn.dropout(tanh_gelu(tf, x), rate=tf.compat.v1.placeholder_with_default(0.0, ())),
            ),
            ("negated twice", lambda x: tf.negative(tf.negative(tanh_gelu(tf, x)))),
        ]
    )

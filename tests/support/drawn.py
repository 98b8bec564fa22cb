"""Weights drawn from their names: what a fixture's script gives a model and what its test writes again are the same."""

from __future__ import annotations

from math import prod
from zlib import crc32

import numpy as np

_SCALES = ("gamma", "moving_variance", "lambda1", "lambda2", "lambda_1", "lambda_2")
_OFFSETS = ("bias", "beta", "moving_mean")


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Random float32 values of a TensorFlow variable, by its name: none zero, no two tensors alike."""
    noise = np.random.default_rng(crc32(name.encode())).standard_normal(shape)
    leaf = name.removesuffix(":0").rpartition("/")[2]
    norm = leaf == "weight" and len(shape) == 1
    if norm or leaf in _SCALES or leaf.startswith("layer_scale"):
        values = 1 + 0.2 * np.clip(noise, -3, 3)
    elif leaf in _OFFSETS or len(shape) < 2:
        values = 0.2 * noise
    elif leaf in ("embeddings", "weight") and shape[0] > shape[-1]:
        values = noise / np.sqrt(shape[-1])
    else:
        values = noise / np.sqrt(prod(shape[:-1]))
    return values.astype(np.float32)

"""Warm starts from values that are no numbers are told, as conversions of them are."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import tfwrite

import bridgeckpt.tf

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_nan_and_infinity_are_logged(dtype, tmp_path, caplog):
    tf = tfwrite.tensorflow()
    of = getattr(tf, dtype).as_numpy_dtype
    stored = {"bad": np.array([[np.nan, 1, -np.inf], [2, np.inf, 3]], of), "good": np.ones((2, 2), of)}
    tfwrite.save(tmp_path / "model.ckpt", stored)
    variables = [tf.Variable(tf.zeros(value.shape, dtype), name=name) for name, value in stored.items()]
    with caplog.at_level(logging.WARNING, "bridgeckpt"):
        bridgeckpt.tf.assign(
            {variable.name.removesuffix(":0"): variable for variable in variables}, tmp_path / "model.ckpt"
        )
    (message,) = [text for text in caplog.messages if "NaN" in text]
    assert message.startswith("bad")
    assert message.endswith("starts from 1 NaN and 2 infinite values of the checkpoint")
    np.testing.assert_array_equal(variables[0].numpy().astype(float), stored["bad"].astype(float))

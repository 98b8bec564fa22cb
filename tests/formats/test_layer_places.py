"""The places of layers that the keys of an object graph state."""

from __future__ import annotations

import pytest

from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.layer_places import places_by_position


def test_positions_are_places_also_below_a_prefix_and_inside_a_model():
    keys = ["net/layer_with_weights-10/kernel", "net/layer_with_weights-2/layer_with_weights-0/bias", "step"]
    assert places_by_position(keys) == {keys[0]: (10,), keys[1]: (2, 0)}
    assert places_by_position(["_operations/3/_kernel"]) == {"_operations/3/_kernel": (3,)}
    assert places_by_position(["variables/12/x", "_all_variables/0/x"]) == {"variables/12/x": (12,)}


@pytest.mark.slow
def test_the_places_of_layers_with_weights_are_among_all_layers(tmp_path):
    keras = pytest.importorskip("tf_keras")
    tf = pytest.importorskip("tensorflow")
    start = keras.Input((6,))
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dropout(0.1), keras.layers.Dense(6)])
    x = keras.layers.Dropout(0.1)(keras.layers.Dense(6)(start))
    model = keras.Model(start, inner(keras.layers.Dense(6)(x)))
    with open_checkpoint(tf.train.Checkpoint(model=model).write(str(tmp_path / "ckpt"))) as checkpoint:
        assert checkpoint.layers_with_weights == {1, 3, 4}


def test_positions_in_two_models_are_no_order():
    assert places_by_position(["encoder/layer_with_weights-0/kernel", "decoder/layer_with_weights-0/kernel"]) == {}

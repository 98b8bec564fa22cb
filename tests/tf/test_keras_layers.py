"""Warm starts of Keras models whose layers have other numbers than in the checkpoint: never another layer's values."""

from __future__ import annotations

import ast
import logging

import numpy as np
import pytest
from warm import session

from bridgeckpt.tf import WarmStartError, assign, get_assignment_map_from_checkpoint, init_from_checkpoint

tf = pytest.importorskip("tensorflow")
tf1 = tf.compat.v1

pytestmark = pytest.mark.slow


@pytest.fixture(params=["keras", "tf_keras"])
def keras(request):
    module = pytest.importorskip(request.param)
    module.backend.clear_session()
    return module


def others(keras, count):
    """Layers that the program builds before the model, after which Keras numbers go on."""
    keras.backend.clear_session()
    for _ in range(count):
        keras.layers.Dense(6).build((None, 6))


def chain(keras, layers, before=0, *, at=None, name=None, head=None):
    """Dense layers after each other, with a dropout before layer ``at``."""
    others(keras, before)
    x = start = keras.Input((6,))
    for number in range(layers):
        x = keras.layers.Dropout(0.1)(x) if number == at else x
        x = keras.layers.Dense(6)(x)
    return keras.Model(start, keras.layers.Dense(head)(x) if head else x, name=name)


def filled(model):
    for number, variable in enumerate(model.weights):
        variable.assign(np.full(variable.shape, number + 1.0))
    return model


def held(model):
    return [float(np.max(variable.numpy())) for variable in model.weights]


def saved(model, folder, way):
    if way == "checkpoint":
        return tf.train.Checkpoint(model=model).write(str(folder / "ckpt"))
    if way == "SavedModel":
        tf.saved_model.save(model, path := str(folder / "saved"))
        return path
    if way == "TF1":
        named = {getattr(one, "path", one.name).removesuffix(":0"): one.numpy() for one in model.weights}
        with tf.Graph().as_default(), tf1.Session() as opened:
            for name, value in named.items():
                tf1.get_variable(name, initializer=tf.constant(value))
            opened.run(tf1.global_variables_initializer())
            return tf1.train.Saver().save(opened, str(folder / "model.ckpt"))
    path = str(folder / f"model.{way}")
    (model.save_weights if way == "weights.h5" else model.save)(path)
    return path


def warned(caplog):
    ours = [one for one in caplog.records if one.name == "bridgeckpt.tf"]
    return [one.getMessage() for one in ours if one.levelno >= logging.WARNING]


@pytest.mark.parametrize("way", ["h5", "checkpoint", "SavedModel", "keras", "weights.h5"])
@pytest.mark.parametrize(("before_saved", "before_loaded"), [(1, 2), (2, 1), (0, 1)])
def test_the_order_settles_layers_of_other_numbers(keras, tmp_path, caplog, way, before_saved, before_loaded):
    """As ``load_weights`` of Keras does."""
    path = saved(filled(chain(keras, 2, before_saved)), tmp_path, way)
    target = chain(keras, 2, before_loaded)
    report = assign(target, path, strict=True)
    assert held(target) == [1, 2, 3, 4]
    assert not report.warnings
    assert not warned(caplog)
    if way == "h5":
        assert "Keras numbered the layers of the model otherwise" in str(report)


@pytest.mark.parametrize("before", [1, 2])
def test_fewer_layers_of_other_numbers_are_refused_and_the_hint_is_a_way_home(keras, tmp_path, before):
    path = saved(filled(chain(keras, 4, 1)), tmp_path, "h5")
    target = chain(keras, 2, before + 1)
    with pytest.raises(WarmStartError, match="Keras numbers layers in the order they are built") as caught:
        assign(target, path)
    assert max(held(target)) <= 1  # as it was
    renames = ast.literal_eval(caught.value.hint.split("renames=")[1].split("}")[0] + "}")
    assert not assign(target, path, renames=renames).warnings
    assert held(target) == [1, 2, 3, 4]


def test_a_dropout_moves_no_layer(keras, tmp_path, caplog):
    """The positions of a Keras 3 checkpoint count it: by them, the first two layers would be the last two."""
    path = saved(filled(chain(keras, 3)), tmp_path, "checkpoint")
    target = chain(keras, 3, at=1)
    assign(target, path, strict=True)
    assert held(target) == [1, 2, 3, 4, 5, 6]
    assert not warned(caplog)
    target = chain(keras, 2, at=0)
    try:
        assign(target, path)
    except WarmStartError as error:
        renames = ast.literal_eval(error.hint.split("renames=")[1].split("}")[0] + "}")
        assign(target, path, renames=renames)
    else:
        assert "only the numbers of layers say" in warned(caplog)[0]
    assert held(target) == [1, 2, 3, 4]


def test_layers_that_are_called_in_another_order_than_they_are_built(keras, tmp_path):
    def model(*, reverse):
        others(keras, 0)
        made = [keras.layers.Dense(6) for _ in range(2)]
        start = keras.Input((6,))
        first, second = reversed(made) if reverse else made
        return keras.Model(start, second(first(start)))

    path = saved(filled(model(reverse=False)), tmp_path, "h5")
    target = model(reverse=True)
    assert [one.name for one in target.layers[1:]] == ["dense_1", "dense"]
    assign(target, path, strict=True)
    assert held(target) == [1, 2, 3, 4]


@pytest.mark.parametrize("way", ["h5", "checkpoint", "keras", "weights.h5"])
def test_two_branches_of_equal_shape_are_not_exchanged(keras, tmp_path, caplog, way):
    """A dropout in one of them changes the order that Keras gives to the layers of both."""

    def model(*, dropout):
        others(keras, 0)
        starts = [keras.Input((6,)), keras.Input((6,))]
        made = [[keras.layers.Dense(6) for _ in range(2)] for _ in starts]
        ends = []
        for number, (x, layers) in enumerate(zip(starts, made, strict=True)):
            x = layers[0](x)
            x = keras.layers.Dropout(0.1)(x) if dropout and number else x
            ends.append(layers[1](x))
        return keras.Model(starts, keras.layers.Concatenate()(ends)), [one for layers in made for one in layers]

    source, layers = model(dropout=False)
    for number, layer in enumerate(layers):
        layer.set_weights([np.full(one.shape, number + 1.0) for one in layer.get_weights()])
    path = saved(source, tmp_path, way)
    same, layers = model(dropout=False)
    assign(same, path, strict=True)
    assert [layer.get_weights()[0].max() for layer in layers] == [1, 2, 3, 4]
    assert bool(warned(caplog)) is (way == "weights.h5")  # it does not say what else the model has
    target, layers = model(dropout=True)
    try:
        assign(target, path)
    except WarmStartError:
        assert max(held(target)) <= 1
    else:
        right = [layer.get_weights()[0].max() for layer in layers] == [1, 2, 3, 4]
        assert right or warned(caplog)


@pytest.mark.parametrize("way", ["keras", "weights.h5"])
def test_the_paths_of_keras_3_number_the_layers_of_each_list(keras, tmp_path, caplog, way):
    """Nested, with names of the user's, and several kinds."""

    def model(before):
        others(keras, before)
        layers = keras.layers
        inner = keras.Sequential([keras.Input((2, 6)), layers.Dense(6), layers.Dense(6, name="mine")])
        last = [layers.LSTM(6, return_sequences=True), layers.BatchNormalization(), layers.Dense(6)]
        return keras.Sequential([keras.Input((2, 6)), layers.Dense(6), inner, *last])

    source = filled(model(0))
    path = saved(source, tmp_path, way)
    target = model(2)
    target.layers[1].trainable = False
    assign(target, path, strict=True)
    assert held(target) == held(source)
    assert not warned(caplog)
    fewer = keras.Sequential([keras.Input((2, 6)), keras.layers.Dense(6)])
    assign(fewer, path)
    assert held(fewer) == held(source)[:2]
    assert "only the numbers of layers say" in warned(caplog)[0]


def test_shapes_settle_the_layers_beside_a_new_head(keras, tmp_path, caplog):
    path = saved(filled(chain(keras, 2, head=3)), tmp_path, "h5")
    target = chain(keras, 2, 1, head=5)
    assign(target, path, new=[f"{target.layers[-1].name}/*"])
    assert held(target)[:4] == [1, 2, 3, 4]
    assert max(held(target)[4:]) <= 1
    assert "paired by their order and shapes" in warned(caplog)[0]  # the models differ


def test_names_that_the_user_gave_are_the_layers(keras, tmp_path, caplog):
    """Whatever number ends them."""

    def model(*names):
        others(keras, 0)
        return keras.Sequential([keras.Input((6,)), *(keras.layers.Dense(6, name=name) for name in names)], name="m")

    path = saved(filled(model("block_1", "block_2", "block_3")), tmp_path, "h5")
    target = model("block_2", "block_3")
    assign(target, path, strict=True)
    assert held(target) == [3, 4, 5, 6]
    assert not warned(caplog)


def test_a_file_that_has_only_names_says_nothing_of_the_order(keras, tmp_path, caplog):
    path = saved(filled(chain(keras, 2)), tmp_path, "TF1")
    target = chain(keras, 2)
    assign(target, path, strict=True)
    assert held(target) == [1, 2, 3, 4]
    assert "only the numbers of layers say" in warned(caplog)[0]


@pytest.mark.parametrize("what", ["strict=False", "list", "dict"])
def test_what_is_set_by_names_is_warned_of_if_numbers_are_doubtful(keras, tmp_path, caplog, what):
    path = saved(filled(chain(keras, 3)), tmp_path, "h5")
    target = chain(keras, 2, 1)
    if what == "strict=False":
        assign(target, path, strict=False)
    elif what == "list":
        assign(target.weights, path)
    else:
        assign({getattr(one, "path", one.name): one for one in target.weights}, path)
    assert held(target) == [3, 4, 5, 6]  # of the names
    assert bool(warned(caplog)) is (what != "dict")  # these names are the caller's


def test_a_graph_is_warned_of_numbers_too(tmp_path, caplog):
    def variables(*names):
        return [tf1.get_variable(f"{name}/kernel", (2, 2)) for name in names]

    with tf.Graph().as_default(), tf1.Session() as opened:
        variables("dense", "dense_1", "dense_2")  # two layers, after one of another model
        opened.run(tf1.global_variables_initializer())
        path = tf1.train.Saver(tf1.global_variables()[1:]).save(opened, str(tmp_path / "model.ckpt"))
    for names, doubtful in ((("dense_1", "dense_2"), False), (("dense", "dense_1", "dense_2"), True)):
        with tf.Graph().as_default():
            tvars = variables(*names)
            caplog.clear()
            found, _ = get_assignment_map_from_checkpoint(tvars, path, new=["dense/*"] if doubtful else ())
            assert any("may be other variables" in text for text in warned(caplog)) is doubtful
            caplog.clear()
            init_from_checkpoint(path, found)
            assert any("may be other variables" in text for text in warned(caplog)) is doubtful
            with session(tf) as opened:
                assert np.isfinite(opened.run(tvars[0])).all()


def test_a_list_of_layers_that_a_checkpoint_of_keras_3_lacks_is_told(tmp_path):
    keras = pytest.importorskip("keras")

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.many = keras.layers.Dense(6), [keras.layers.Dense(6)]

        def call(self, x):
            return self.many[0](self.first(x))

    models = []
    for _ in range(2):
        others(keras, 0)
        models.append(Net())
        models[-1](np.zeros((1, 6), np.float32))
    path = saved(filled(models[0]), tmp_path, "checkpoint")
    report = assign(models[1], path, strict=False)
    unset = {one.variable for one in report.unmatched}
    values = [float(np.max(one.numpy())) for one in models[1].weights]
    assert unset or values == [1, 2, 3, 4]

"""Warm starts of what TensorFlow 2 has: Keras models, modules, SavedModels, layers and modules of TF-Hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from paths import FIXTURES, ROOT
from warm import assert_equal, session

import bridgeckpt
from bridgeckpt.errors import BridgeckptError, CheckpointError, PrecisionError
from bridgeckpt.tf import WarmStartError, assign, init_from_checkpoint

tf = pytest.importorskip("tensorflow")
tf1 = tf.compat.v1

pytestmark = pytest.mark.slow


class Dense(tf.Module):
    """A layer whose variables TensorFlow calls kernel and bias, whatever they are in."""

    def __init__(self, rows, columns, name=None):
        super().__init__(name)
        self.kernel = tf.Variable(tf.zeros((rows, columns)), name="kernel")
        self.bias = tf.Variable(tf.zeros(columns), name="bias")


class Pooler(tf.Module):
    """google-research/bert's names by ``with_name_scope``."""

    @tf.Module.with_name_scope
    def build(self):
        self.dense = Dense.__new__(Dense)
        tf.Module.__init__(self.dense, "dense")
        with self.dense.name_scope:
            Dense.__init__(self.dense, 36, 36, "dense")


def bert_variables(example_values):
    """Variables of a whole BERT, in TensorFlow 2."""
    return [tf.Variable(tf.zeros(value.shape), name=name) for name, value in example_values.items()]


@pytest.mark.parametrize("source", ["example_folder", "example"])
def test_variables_by_their_names(request, source, example_values):
    variables = bert_variables(example_values)
    report = assign(variables, request.getfixturevalue(source), strict=True)
    assert report.complete
    assert_equal({variable.name.removesuffix(":0"): variable.numpy() for variable in variables}, example_values)


def test_variables_by_names_of_the_callers_own(example_folder, example_values):
    variables = {name: tf.Variable(tf.zeros(value.shape)) for name, value in example_values.items()}
    assign(variables, example_folder, strict=True)
    assert_equal({name: variable.numpy() for name, variable in variables.items()}, example_values)


def test_a_module_whose_variables_have_full_names(example_folder, example_values):
    class Model(tf.Module):
        pass

    model = Model()
    model.parts = bert_variables(example_values)
    report = assign(model, example_folder)
    assert report.complete
    assert_equal({variable.name.removesuffix(":0"): variable.numpy() for variable in model.variables}, example_values)


def test_a_module_goes_by_attributes_where_names_are_not_unique(tmp_path):
    def model():
        made = tf.Module()
        made.first, made.second, made.many = Dense(4, 3), Dense(3, 2), [Dense(2, 2), Dense(2, 5)]
        return made

    source, target = model(), model()
    for number, variable in enumerate(source.variables):
        variable.assign(tf.fill(variable.shape, float(number + 1)))
    path = tf.train.Checkpoint(source).write(str(tmp_path / "ckpt"))
    report = assign(target, path, strict=True)
    assert {"first/kernel", "many/1/bias"} <= {one.variable for one in report.matched}
    for one, other in zip(source.variables, target.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    below = tf.train.Checkpoint(model=source).write(str(tmp_path / "below"))
    assert assign(model(), below).complete
    both = tf.train.Checkpoint(teacher=source, student=model()).write(str(tmp_path / "both"))
    target = model()
    with pytest.raises(WarmStartError, match="nothing would be warm-started"):
        assign(target, both)  # which of the two is not for us to say
    assert assign(target, both, renames={"teacher/": ""}).complete
    for one, other in zip(source.variables, target.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize("several", [False, True])
def test_an_attribute_of_the_users_may_be_called_weights(tmp_path, several):
    def model():
        made = tf.Module()
        scale = tf.Variable(tf.zeros((2, 3)), name="scale")
        made.weights, made.other = [scale] if several else scale, tf.Variable(0.0, name="other")
        return made

    source, target = model(), model()
    for variable in source.variables:
        variable.assign(tf.ones_like(variable))
    report = assign(target, tf.train.Checkpoint(source).write(str(tmp_path / "ckpt")), strict=True)
    assert len(report.matched) == 2
    for variable in target.variables:
        np.testing.assert_array_equal(variable.numpy(), np.ones(variable.shape, np.float32))


def test_attributes_tell_layers_that_keras_has_numbered_otherwise(tmp_path):
    """Four layers were saved, of which the first three are wanted; by number they would be the last three."""
    import keras

    def model(count):
        return keras.Sequential([keras.layers.Input((4,)), *(keras.layers.Dense(4) for _ in range(count))])

    keras.backend.clear_session()
    source = model(4)
    for number, variable in enumerate(source.weights):
        variable.assign(np.full(variable.shape, number + 1.0))
    path = tf.train.Checkpoint(source).write(str(tmp_path / "ckpt"))
    keras.backend.clear_session()
    keras.layers.Dense(1)
    target = model(3)
    assign(target, path, strict=True)
    assert [float(variable.numpy().max()) for variable in target.weights] == [1, 2, 3, 4, 5, 6]


def test_a_folder_of_the_checkpoints_name_is_not_read_in_its_place(tmp_path):
    def save(path, value):
        with tf.Graph().as_default(), tf1.Session() as opened:
            variable = tf1.get_variable("a", initializer=tf.constant(value))
            opened.run(variable.initializer)
            return tf1.train.Saver().save(opened, str(path))

    (tmp_path / "run").mkdir()
    save(tmp_path / "run" / "model", [9.0, 9.0])
    prefix = save(tmp_path / "run", [1.0, 1.0])
    with tf.Graph().as_default(), tf1.Session() as opened:
        variable = tf1.get_variable("a", (2,))
        init_from_checkpoint(f"{prefix}.index", {"a": "a"})
        opened.run(variable.initializer)
        np.testing.assert_array_equal(opened.run(variable), [1.0, 1.0])


def keras_model():
    import keras

    layers = [keras.layers.Input((4,)), keras.layers.Dense(3, name="first"), keras.layers.Dropout(0.1)]
    return keras.Sequential([*layers, keras.layers.Dense(2, name="second")])


def name_below(variable):
    """Without the model's own name, which is in a path of Keras 3 and in no name of Keras 2."""
    return variable.path.partition("/")[2] if hasattr(variable, "path") else variable.name.removesuffix(":0")


def test_a_keras_model_goes_by_its_layers_whatever_number_it_has(tmp_path):
    source, target = keras_model(), keras_model()
    assert source.name != target.name
    values = {name_below(variable): variable.numpy() for variable in source.weights}
    with tf.Graph().as_default(), tf1.Session() as opened:
        for name, value in values.items():
            tf1.get_variable(name, initializer=tf.constant(value))
        opened.run(tf1.global_variables_initializer())
        path = tf1.train.Saver().save(opened, str(tmp_path / "model.ckpt"))
    report = assign(target, path, strict=True)  # its seeds are no weights
    assert len(report.matched) == 4
    assert_equal({name_below(variable): variable.numpy() for variable in target.weights}, values)


def test_a_keras_model_takes_its_own_checkpoint(tmp_path):
    source, target = keras_model(), keras_model()
    path = tf.train.Checkpoint(model=source).write(str(tmp_path / "ckpt"))
    ways = [{}, {"model/": ""}]  # by attributes; or by names:
    ways += [{f"{source.name}/": f"{target.name}/"}] if hasattr(source.weights[0], "path") else []
    for renames in ways:
        for variable in target.weights:
            variable.assign(np.zeros(variable.shape))
        assert assign(target, path, renames=renames).complete
        for one, other in zip(source.weights, target.weights, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())


def numbered_model(layers):
    import keras

    return keras.Sequential([keras.layers.Input((4,)), *(keras.layers.Dense(4) for _ in range(layers))])


def built_after_another(layers):
    """A model whose layers Keras numbers from 1: it made one before."""
    import keras

    keras.backend.clear_session()
    keras.layers.Dense(1).build((1, 2))
    return numbered_model(layers)


@pytest.fixture
def numbered():
    import keras

    keras.backend.clear_session()
    model = numbered_model(4)
    for at, variable in enumerate(model.weights):
        variable.assign(np.full(variable.shape, at + 1.0))
    return model


def save_named(model, path):
    """The checkpoint of a TensorFlow 1 program, by the names of the variables."""
    named = {getattr(one, "path", one.name).removesuffix(":0"): one.numpy() for one in model.weights}
    with tf.Graph().as_default(), tf1.Session() as opened:
        for name, value in named.items():
            tf1.get_variable(name, initializer=tf.constant(value))
        opened.run(tf1.global_variables_initializer())
        return tf1.train.Saver().save(opened, str(path))


@pytest.mark.parametrize(
    "save",
    [
        lambda model, path: tf.train.Checkpoint(model).write(path),
        lambda model, path: tf.train.Checkpoint(model=model).write(path),
        lambda model, path: tf.train.Checkpoint(step=tf.Variable(1), net=tf.train.Checkpoint(body=model)).write(path),
    ],
    ids=["itself", "model=", "deeper"],
)
def test_layers_that_keras_numbers_otherwise_go_by_their_place(numbered, save, tmp_path):
    """dense_1 of this program is the checkpoint's dense: equal names would shift every layer by one."""
    path = save(numbered, str(tmp_path / "ckpt"))
    target = built_after_another(3)
    assert assign(target, path, strict=True).complete
    assert [variable.numpy().max() for variable in target.weights] == [1, 2, 3, 4, 5, 6]


def test_layers_that_only_their_numbers_tell_are_refused_where_these_are_another_programs(numbered, tmp_path):
    path = save_named(numbered, tmp_path / "model.ckpt")
    target = built_after_another(3)
    with pytest.raises(WarmStartError, match="Keras numbers layers in the order they are built") as caught:
        assign(target, path)
    assert "clear_session" in caught.value.hint
    names = [getattr(one, "path", one.name).removesuffix(":0") for one in numbered.weights]
    assign(dict(zip(names, target.weights, strict=False)), path, strict=True)  # as the hint says
    assert [variable.numpy().max() for variable in target.weights] == [1, 2, 3, 4, 5, 6]
    assign(target.weights, path)  # the names are meant
    assert [variable.numpy().max() for variable in target.weights] == [3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("saved", "loaded", "before_saved", "before_loaded"), [(2, 2, 1, 2), (4, 2, 1, 2), (2, 2, 2, 1), (4, 2, 0, 2)]
)
def test_numbers_of_two_programs_that_overlap_are_refused(tmp_path, saved, loaded, before_saved, before_loaded):
    """dense_1 and dense_2 were saved; here they are dense_2 and dense_3."""
    import keras

    def model(layers, before):
        keras.backend.clear_session()
        for _ in range(before):
            keras.layers.Dense(4).build((None, 4))
        return keras.Sequential([keras.Input((4,)), *(keras.layers.Dense(4) for _ in range(layers))], name="m")

    path = save_named(model(saved, before_saved), tmp_path / "model.ckpt")
    target = model(loaded, before_loaded)
    before = [variable.numpy() for variable in target.weights]
    with pytest.raises(WarmStartError, match="Keras numbers layers in the order they are built"):
        assign(target, path)
    for variable, value in zip(target.weights, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert assign(model(loaded, before_saved), path).complete  # built as it was, also if it has fewer layers


def test_a_model_that_is_not_built_has_no_variables(example_folder):
    import keras

    with pytest.raises(BridgeckptError, match=r"Sequential.* has no variables") as caught:
        assign(keras.Sequential([keras.layers.Dense(3)]), example_folder)
    assert "first called" in caught.value.hint


def test_damaged_bytes_leave_every_variable_as_it_was(example, example_values, tmp_path):
    data = bytearray((example / "bert_model.ckpt.data-00000-of-00001").read_bytes())
    data[-40] ^= 1
    (tmp_path / "bert_model.ckpt.data-00000-of-00001").write_bytes(data)
    (tmp_path / "bert_model.ckpt.index").write_bytes((example / "bert_model.ckpt.index").read_bytes())
    variables = bert_variables(example_values)
    with pytest.raises(CheckpointError, match="is damaged"):
        assign(variables, tmp_path)
    assert not any(variable.numpy().any() for variable in variables)


def test_a_value_that_does_not_fit_leaves_every_variable_as_it_was(tmp_path):
    variables = {name: tf.Variable(tf.zeros(2, tf.float16)) for name in ("a", "b")}
    source = {"a": tf.Variable([1.0, 2.0]), "b": tf.Variable([1.0, 1e6])}
    path = tf.train.Checkpoint(**source).write(str(tmp_path / "ckpt"))
    with pytest.raises(PrecisionError, match="too large for float16"):
        assign(variables, path)
    assert not variables["a"].numpy().any()


def test_a_session_is_left_alone_too_when_a_value_does_not_fit(tmp_path):
    """However many values are fed at once."""
    large = {"a": np.ones(1 << 24, np.float32), "b": np.array([1.0, 1e6], np.float32)}
    path = tf.train.Checkpoint(**{name: tf.Variable(value) for name, value in large.items()}).write(str(tmp_path / "x"))
    with tf.Graph().as_default(), tf1.Session() as opened:
        variables = [tf1.get_variable(name, value.shape, tf.float16) for name, value in large.items()]
        opened.run([variable.initializer for variable in variables])
        before = opened.run(variables[0])
        with pytest.raises(PrecisionError):
            assign(variables, path, session=opened)
        np.testing.assert_array_equal(opened.run(variables[0]), before)


def test_integers_are_not_made_floats(tmp_path):
    path = tf.train.Checkpoint(a=tf.Variable([1, 2]), b=tf.Variable([1.0])).write(str(tmp_path / "ckpt"))
    report = assign({"a": tf.Variable([0.0, 0.0]), "b": tf.Variable([0.0])}, path)
    assert [(one.variable, one.reason) for one in report.unmatched] == [
        ("a", "it is int32 in the checkpoint and float32 in the program: only floating dtypes are converted")
    ]


def test_an_eager_program_has_no_initialisers(example):
    with pytest.raises(BridgeckptError, match="runs eagerly") as caught:
        init_from_checkpoint(example, {"bert/": "bert/"})
    assert "bridgeckpt.tf.assign" in caught.value.hint


@pytest.mark.parametrize("wrong", [[1, 2], ["bert/pooler"], [None]])
def test_what_is_no_variable_is_refused(example_folder, wrong):
    with pytest.raises(BridgeckptError, match="is not a variable of TensorFlow"):
        assign(wrong, example_folder)


def test_what_is_no_session_of_the_variables_is_refused(example, example_values):
    variables = bert_variables(example_values)
    with pytest.raises(BridgeckptError, match="session is True"):
        assign(variables, example, session=True)
    with tf.Graph().as_default(), tf1.Session() as opened:
        with pytest.raises(BridgeckptError, match="is not a variable of the session's graph"):
            assign(variables, example, session=opened)
        with tf.Graph().as_default():
            other = tf1.get_variable("bert/pooler/dense/bias", (36,))
            with pytest.raises(BridgeckptError, match="is not a variable of the session's graph"):
                assign([other], example, session=opened)


@pytest.mark.parametrize("wrong", [None, 1, ""])
def test_what_is_no_path_is_refused(example_values, wrong):
    with pytest.raises(BridgeckptError, match="the checkpoint must be a path"):
        assign(bert_variables(example_values), wrong)


def test_names_of_pytorch_are_of_another_layout(example_folder):
    """A square kernel would fit as it is, and be transposed."""
    variable = tf.Variable(tf.zeros((36, 36)))
    with pytest.raises(WarmStartError, match="this is PyTorch's name"):
        assign({"bert.pooler.dense.weight": variable}, example_folder)
    assert not variable.numpy().any()


def test_reading_says_which_values_are_taken(built):
    """Moving averages in place of the weights, for the checkpoint's own names."""
    source = built(head="classifier", ema=True)
    weights = {name: value for name, value in source.variables.items() if not name.endswith("ExponentialMovingAverage")}
    variables = {name: tf.Variable(tf.zeros(value.shape)) for name, value in weights.items()}
    assign(variables, source.prefix, reading={"ema": True}, strict=True)
    averages = {name: source.variables[f"{name}/ExponentialMovingAverage"] for name in weights}
    assert_equal({name: variable.numpy() for name, variable in variables.items()}, averages)
    assert not any((averages[name] == weights[name]).all() for name in weights)
    assign(variables, source.prefix, strict=True)
    assert_equal({name: variable.numpy() for name, variable in variables.items()}, weights)


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        ({"ema": True}, 'convert the weights themselves, without reading={"ema": True}'),
        ({"heads": 7}, "36 / 7, which is not a whole number"),
        ({"hidden_act": "gelo"}, 'choose one with reading={"hidden_act": NAME}'),
    ],
)
def test_a_reading_that_the_checkpoint_contradicts_is_refused(example, example_values, reading, message):
    """Not taken as something else, with a note; and said in the words of the call, not of the command line."""
    variables = bert_variables(example_values)
    with pytest.raises(BridgeckptError) as caught:
        assign(variables, example, reading=reading)
    assert message in str(caught.value)
    assert "--" not in str(caught.value)
    assert not any(variable.numpy().any() for variable in variables)


def test_reading_is_for_tensorflows_checkpoints(example_folder, example_values):
    with pytest.raises(BridgeckptError, match="has PyTorch's names already"):
        assign(bert_variables(example_values), example_folder, reading={"heads": 3})


@pytest.mark.parametrize("source", ["example", "example_folder"])
def test_a_shape_that_contradicts_the_others_is_refused(request, source, example_values):
    shapes = {name: value.shape for name, value in example_values.items()}
    shapes["bert/pooler/dense/kernel"] = (36, 72)
    variables = {name: tf.Variable(tf.zeros(shape)) for name, shape in shapes.items()}
    with pytest.raises(WarmStartError, match=r"bert/pooler/dense/kernel \[36, 72\]") as caught:
        assign(variables, request.getfixturevalue(source))
    (mismatch,) = caught.value.report.mismatched
    assert mismatch.found == (36, 36)


@pytest.mark.parametrize("source", ["example", "example_folder"])
def test_what_is_declared_new_is_left_alone_whatever_there_is(request, source, example_values):
    variables = {name: tf.Variable(tf.zeros(value.shape)) for name, value in example_values.items()}
    report = assign(variables, request.getfixturevalue(source), new="bert/pooler/*", strict=True)
    assert report.new == ("bert/pooler/dense/bias", "bert/pooler/dense/kernel")
    assert not any(variables[name].numpy().any() for name in report.new)
    assert len(report.matched) == 44


@pytest.mark.parametrize("resource", [False, True], ids=["ref", "resource"])
def test_variables_of_a_graph_need_a_session_wherever_they_are_set(example, resource):
    with tf.Graph().as_default():
        variable = tf1.get_variable("bert/pooler/dense/bias", (36,), use_resource=resource)
    with pytest.raises(BridgeckptError, match="set in a session") as caught:
        assign([variable], example)
    assert "session=" in caught.value.hint


def test_a_shape_that_is_known_in_part_is_checked_too(example):
    bias = tf.Variable(tf.zeros(36), name="bert/pooler/dense/bias")
    kernel = tf.Variable(tf.zeros((2, 35)), shape=tf.TensorShape([None, 35]), name="bert/pooler/dense/kernel")
    with pytest.raises(WarmStartError, match=r"kernel is \(None, 35\), and the checkpoint has \[36, 36\]"):
        assign([bias, kernel], example)
    assert not bias.numpy().any()
    kernel = tf.Variable(tf.zeros((2, 36)), shape=tf.TensorShape([None, 36]), name="bert/pooler/dense/kernel")
    assert assign([bias, kernel], example).complete
    assert bias.numpy().any()


def test_names_of_the_callers_own_may_have_an_output(example, example_values):
    variable = tf.Variable(tf.zeros(36))
    assert assign({"bert/pooler/dense/bias:0": variable}, example).complete
    np.testing.assert_array_equal(variable.numpy(), example_values["bert/pooler/dense/bias"])
    with pytest.raises(BridgeckptError, match="two variables are called bert/pooler/dense/bias"):
        assign({"bert/pooler/dense/bias": variable, "bert/pooler/dense/bias:0": tf.Variable(tf.zeros(36))}, example)


def test_two_variables_of_one_name_are_refused(example_folder):
    with pytest.raises(BridgeckptError, match="two variables are called kernel"):
        assign([tf.Variable(1.0, name="kernel"), tf.Variable(2.0, name="kernel")], example_folder)


@pytest.mark.parametrize("name", ["hub_tf2_module", "mg_classifier"])
def test_a_loaded_saved_model_and_a_layer_of_tf_hub(name, tmp_path):
    """Both of TensorFlow 2; the layer is a layer of the Keras that TF-Hub was made for."""
    case = json.loads((FIXTURES / name / "case.json").read_text())
    folder = bridgeckpt.convert(FIXTURES / name / case["source"], tmp_path / "hf").path
    module = FIXTURES / "hub_tf2_module" / "source"
    loaded = tf.saved_model.load(str(module))
    golden = {variable.name: variable.numpy() for variable in loaded.variables}
    for variable in loaded.variables:
        variable.assign(tf.zeros_like(variable))
    report = assign(loaded, folder)
    assert len(report.matched) == 39
    assert [one.variable for one in report.unmatched] == ["Variable"]  # a hub module's own, no weight
    if name == "hub_tf2_module":
        found = {v.name: v.numpy() for v in loaded.variables if v.name != "Variable:0"}
        assert_equal(found, golden)


LAYER = """
import json, sys
import numpy as np
import tensorflow as tf, tensorflow_hub as hub
import bridgeckpt.tf
folder, tf1_module, tf2_module = sys.argv[1:]
told = {}
for path, options in ((tf2_module, {}), (tf1_module, {"signature": "tokens", "tags": {"train"}})):
    layer = hub.KerasLayer(path, trainable=True, **options)
    before = {v.name: v.numpy() for v in layer.variables}
    for v in layer.variables:
        v.assign(tf.zeros_like(v))
    report = bridgeckpt.tf.assign(layer, path)
    back = all(np.array_equal(v.numpy(), before[v.name]) for v in layer.variables)
    report_hf = bridgeckpt.tf.assign(layer, folder)
    told[path] = [len(report.matched), back, len(report_hf.matched)]
print(json.dumps(told))
"""


def test_a_keras_layer_of_tf_hub(tmp_path):
    """In a process of its own, since ``tensorflow_hub`` brings a second Keras."""
    pytest.importorskip("tensorflow_hub")
    modules = [FIXTURES / name / "source" for name in ("hub_tf1_module", "hub_tf2_module")]
    folder = bridgeckpt.convert(modules[1], tmp_path / "hf").path
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LAYER, folder, *modules]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {str(modules[0]): [44, True, 39], str(modules[1]): [39, True, 39]}


def test_a_hub_module_of_tensorflow_1(tmp_path):
    hub = pytest.importorskip("tensorflow_hub")
    if not hasattr(hub, "Module"):
        pytest.skip("this TF-Hub has no hub.Module: 0.15 was the last, and needs TensorFlow 2.15 or older")
    source = FIXTURES / "hub_tf1_module" / "source"
    folder = bridgeckpt.convert(source, tmp_path / "hf").path
    with tf.Graph().as_default():
        module = hub.Module(str(source), trainable=True, tags={"train"})
        with session(tf) as opened:
            golden = {name: opened.run(variable) for name, variable in module.variable_map.items()}
            for path, count in (
                (source, 44),
                (folder, 42),
            ):  # the folder is of a class without a pooler
                for variable in tf1.global_variables():
                    opened.run(variable.initializer, {variable.initializer.inputs[1]: np.zeros(variable.shape)})
                report = assign(module, path, session=opened)
                assert len(report.matched) == count
                set_ = {one.variable: opened.run(module.variable_map[one.variable]) for one in report.matched}
                assert_equal(set_, golden)


def test_a_keras_archive_is_a_source(tmp_path):
    """Of a BERT by KerasHub, for the variables of google-research/bert."""
    case = FIXTURES / "kerashub_archive"
    source = next((case / "source").glob("*.keras"))
    assert zipfile.is_zipfile(source)
    folder = bridgeckpt.convert(case / "source", tmp_path / "hf").path
    state = bridgeckpt.load_state_dict(case / "source")
    layer = "bert/encoder/layer_0/"
    names = {f"{layer}attention/output/LayerNorm/gamma": (24,), f"{layer}intermediate/dense/kernel": (24, 40)}
    shape = state[next(name for name in state if name.endswith("layer.0.intermediate.dense.weight"))].shape
    variables = {name: tf.Variable(tf.zeros(size)) for name, size in names.items() if len(size) == 1}
    variables[f"{layer}intermediate/dense/kernel"] = tf.Variable(tf.zeros(tuple(reversed(shape))))
    for path in (source, folder):
        assert assign(variables, path).complete
    kernel = variables[f"{layer}intermediate/dense/kernel"].numpy()
    np.testing.assert_array_equal(kernel, state["encoder.layer.0.intermediate.dense.weight"].T)

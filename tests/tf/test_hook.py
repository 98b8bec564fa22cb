"""Warm starts in the sessions that train: once, before the first step, and never over a training that goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from paths import ROOT, SUPPORT
from tfbert import graph
from warm import assert_equal, session, values

from bridgeckpt.errors import BridgeckptError, CheckpointError
from bridgeckpt.tf import WarmStartError, WarmStartHook, assign, init_from_checkpoint, scaffold_fn

tf = pytest.importorskip("tensorflow")
tf1 = tf.compat.v1

pytestmark = pytest.mark.slow

SIZES = {"vocab": 225, "positions": 64, "intermediate": 112}  # of examples/tiny-bert
KERNEL = "bert/encoder/layer_1/output/dense/kernel"


@pytest.fixture
def in_a_graph():
    with tf.Graph().as_default():
        yield


def train(source, output, steps, *, kill):
    """Run a training in a process of its own; what it saw."""
    script = SUPPORT / "warm_start_training.py"
    command = [sys.executable, script, source, output, str(steps), *(["kill"] if kill else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(SUPPORT)])}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == (-9 if kill else 0), done.stderr
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    told["states"] = [
        (at, {name: np.array(value, np.float32) for name, value in state.items()}) for at, state in told["states"]
    ]
    return told


def test_a_training_that_is_killed_twice(example_folder, example_values, tmp_path):
    """Before its first step it is started again; after that it goes on where its own checkpoint is."""
    output = tmp_path / "training"
    train(example_folder, output, 0, kill=True)
    # TensorFlow saves a checkpoint at step 0, before any hook of the user's has set a variable.
    cold = tf.train.load_checkpoint(str(output / "model.ckpt-0"))
    assert not (cold.get_tensor(KERNEL) == example_values[KERNEL]).any()
    second = train(example_folder, output, 5, kill=True)
    (first_step, first), (last_step, _) = second["states"]
    assert (first_step, last_step) == (0, 5)
    np.testing.assert_array_equal(first[KERNEL], example_values[KERNEL])
    np.testing.assert_array_equal(first["output_weights"], cold.get_tensor("output_weights"))
    saved = tf.train.load_checkpoint(str(output / "model.ckpt-3"))
    assert not (saved.get_tensor(KERNEL) == example_values[KERNEL]).any()  # every element was trained
    third = train(example_folder, output, 1, kill=False)
    (next_step, restored), _ = third["states"]
    assert next_step == 3
    for name, value in restored.items():
        np.testing.assert_array_equal(value, saved.get_tensor(name), err_msg=name)
    assert second["ran"]
    assert not third["ran"]


def test_a_scaffold_sets_what_is_initialised_and_nothing_that_is_restored(example_folder, example_values, tmp_path):
    reports, found = [], []
    for _ in range(2):
        with tf.Graph().as_default():
            _, outputs = graph(head="classifier", **SIZES)
            step = tf1.train.get_or_create_global_step()
            loss = tf.reduce_mean(tf.square(outputs["logits"]))
            trained = tf1.train.AdamOptimizer(1e-3).minimize(loss, global_step=step)
            scaffold = scaffold_fn(example_folder, new="output_*", report=reports.append)()
            with tf1.train.MonitoredTrainingSession(
                checkpoint_dir=str(tmp_path), scaffold=scaffold, save_summaries_steps=None, log_step_count_steps=None
            ) as opened:
                found.append((int(opened.run(step)), values(tf, opened._tf_sess())[KERNEL]))
                opened.run(trained)
    (first_step, first), (next_step, restored) = found
    assert (first_step, next_step) == (0, 1)
    np.testing.assert_array_equal(first, example_values[KERNEL])
    warm = tf.train.load_checkpoint(str(tmp_path / "model.ckpt-0")).get_tensor(KERNEL)
    np.testing.assert_array_equal(warm, example_values[KERNEL])  # saved before the first step, and after the scaffold
    assert not (restored == first).any()
    assert len(reports) == 1


def test_the_hook_adds_nothing_to_the_graph_and_reports(in_a_graph, example_folder, example_values):
    graph(head="classifier", **SIZES)
    tf1.train.get_or_create_global_step()
    reports = []
    hook = WarmStartHook(example_folder, new=["output_*"], report=reports.append)
    with session(tf) as opened:
        operations = tf1.get_default_graph().get_operations()
        tf1.get_default_graph().finalize()
        before = values(tf, opened)
        hook.begin()
        assert hook.report.complete
        assert not reports  # nothing is set yet
        hook.after_create_session(opened, None)
        found = values(tf, opened)
    assert tf1.get_default_graph().get_operations() == operations
    assert hook.ran
    assert reports == [hook.report]
    assert_equal({name: value for name, value in found.items() if name in example_values}, example_values)
    for name in ("output_weights", "output_bias"):
        np.testing.assert_array_equal(found[name], before[name])
    assert hook.report.new == ("output_weights", "output_bias")


def test_the_hook_sets_a_session_again_that_is_made_again(in_a_graph, example_folder, example_values):
    """A session that TensorFlow makes anew after a failure, when there is no checkpoint yet."""
    graph(head=None, **SIZES)
    tf1.train.get_or_create_global_step()
    hook = WarmStartHook(example_folder)
    hook.begin()
    for _ in range(2):
        with session(tf) as opened:
            hook.after_create_session(opened, None)
            assert_equal(values(tf, opened), example_values)


def test_a_map_says_what_the_hook_sets(in_a_graph, example_folder, example_values):
    graph(head=None, scope="student/", **SIZES)
    tf1.train.get_or_create_global_step()
    hook = WarmStartHook(example_folder, {"bert/embeddings/": "student/bert/embeddings/"})
    with session(tf) as opened:
        hook.after_create_session(opened)
        found = {name.removeprefix("student/"): value for name, value in values(tf, opened).items()}
    assert_equal({name: found[name] for name in found if "embeddings" in name}, example_values)
    assert not (found[KERNEL] == example_values[KERNEL]).any()


def test_variables_say_what_the_hook_sets(in_a_graph, example_folder, example_values):
    graph(head="classifier", **SIZES)
    tf1.train.get_or_create_global_step()
    encoder = [variable for variable in tf1.trainable_variables() if variable.name.startswith("bert/encoder/")]
    hook = WarmStartHook(example_folder, variables=encoder, strict=True)
    with session(tf) as opened:
        hook.after_create_session(opened)
        found = values(tf, opened)
    assert_equal({name: found[name] for name in found if "encoder" in name}, example_values)
    assert len(hook.report.matched) == len(encoder) == 32


def test_a_graph_without_a_global_step_is_refused_with_what_to_do(in_a_graph, example_folder):
    graph(head=None, **SIZES)
    hook = WarmStartHook(example_folder)
    with pytest.raises(WarmStartError, match="no global step") as caught:
        hook.begin()
    assert "get_or_create_global_step" in caught.value.hint


def test_what_does_not_fit_is_refused_before_there_is_a_session(in_a_graph, example_folder, tmp_path):
    graph(head=None, **{**SIZES, "intermediate": 80})
    tf1.train.get_or_create_global_step()
    with pytest.raises(WarmStartError, match=r"intermediate/dense/kernel \[36, 80\]"):
        tf1.train.MonitoredTrainingSession(hooks=[WarmStartHook(example_folder)])
    with pytest.raises(CheckpointError, match="does not exist"):
        tf1.train.MonitoredTrainingSession(hooks=[WarmStartHook(tmp_path / "nothing")])
    with pytest.raises(WarmStartError, match=r"intermediate/dense/kernel \[36, 80\]"):
        scaffold_fn(example_folder)()


@pytest.mark.parametrize("resource", [False, True], ids=["ref", "resource"])
@pytest.mark.parametrize("counted", [False, True])
def test_a_step_that_nothing_counts_is_said_aloud(in_a_graph, example_folder, tmp_path, caplog, resource, counted):
    """A training that starts again could not be told from one that starts."""
    _, outputs = graph(head=None, resource=resource, **SIZES)
    tf1.get_variable_scope().set_use_resource(resource)
    step = tf1.train.get_or_create_global_step()
    loss = tf.reduce_mean(tf.square(outputs["sequence_output"]))
    tf1.train.AdamOptimizer().minimize(loss, global_step=step if counted else None)
    options = {"log_step_count_steps": None, "save_summaries_steps": None}
    with tf1.train.MonitoredTrainingSession(
        checkpoint_dir=str(tmp_path), hooks=[WarmStartHook(example_folder)], **options
    ):
        assert ("nothing in the graph counts the global step" in caplog.text) is not counted


@pytest.mark.parametrize("way", ["function", "scope"])
def test_a_step_may_be_counted_in_other_ways(in_a_graph, example_folder, caplog, way):
    graph(head=None, **SIZES)
    tf1.get_variable_scope().set_use_resource(True)
    step = tf1.train.get_or_create_global_step()
    if way == "function":
        tf.function(lambda: step.assign_add(1))()
    else:
        with tf1.name_scope("save_every_step"):
            step.assign_add(1)
    with tf1.train.MonitoredTrainingSession(hooks=[WarmStartHook(example_folder)], log_step_count_steps=None):
        assert "global step" not in caplog.text


def test_variables_of_a_strategy_in_a_graph_that_is_finalised(in_a_graph, example_folder, example_values):
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        variables = [tf1.get_variable(name, value.shape) for name, value in example_values.items()]
        tf1.train.get_or_create_global_step()
    hook = WarmStartHook(example_folder)
    with tf1.train.MonitoredTrainingSession(hooks=[hook], log_step_count_steps=None) as opened:
        assert hook.ran
        operations = len(tf1.get_default_graph().get_operations())
        raw = opened._tf_sess()
        assert assign(variables, example_folder, session=raw, strict=True).complete
        found = {one.name.removesuffix(":0"): raw.run(one.values[0]) for one in variables}
        assert len(tf1.get_default_graph().get_operations()) == operations
    assert_equal(found, example_values)


@pytest.mark.parametrize(
    ("own", "resource", "partitions"), [(False, False, None), (True, False, 2), (False, True, None)]
)
def test_a_second_checkpoint_over_a_first(
    in_a_graph, example, example_folder, example_values, own, resource, partitions
):
    """Initialisers that TensorFlow has replaced are tensors, of variables that are references."""
    graph(head=None, resource=resource, partitions=partitions, **SIZES)
    first = init_from_checkpoint if own else tf1.train.init_from_checkpoint
    first(str(example / "bert_model.ckpt"), {"bert/": "bert/"})
    with session(tf) as opened:
        for variable in tf1.trainable_variables():
            opened.run(tf1.assign(variable, tf.zeros(variable.shape)))
        assert assign(tf1.trainable_variables(), example_folder, session=opened, strict=True).complete
        assert_equal(values(tf, opened), example_values)


def test_moving_averages_that_stay_cold_are_said_aloud(in_a_graph, example_folder, example_values, caplog):
    graph(head=None, resource=True, **SIZES)
    tf1.train.get_or_create_global_step()
    average = tf1.train.ExponentialMovingAverage(0.9)
    tvars = tf1.trainable_variables()
    average.apply(tvars)
    hook = WarmStartHook(example_folder)
    with session(tf) as opened:
        hook.after_create_session(opened)
        assert "39 moving averages, for example bert/" in caplog.text
        shadow = next(average.average(one) for one in tvars if one.op.name == KERNEL)
        assert not (opened.run(shadow) == example_values[KERNEL]).any()
    with tf.Graph().as_default():
        graph(head=None, resource=True, **SIZES)
        init_from_checkpoint(example_folder, {"bert/": "bert/"})
        average = tf1.train.ExponentialMovingAverage(0.9)
        average.apply(tf1.trainable_variables())
        with session(tf) as opened:
            shadow = next(average.average(one) for one in tf1.trainable_variables() if one.op.name == KERNEL)
            np.testing.assert_array_equal(opened.run(shadow), example_values[KERNEL])


@pytest.mark.parametrize("make", [WarmStartHook, scaffold_fn])
def test_a_map_and_variables_contradict(make, example_folder):
    with pytest.raises(BridgeckptError, match="so variables and scope cannot be given too"):
        make(example_folder, {"bert/": "bert/"}, variables=[], scope="student")


def test_a_plain_session_is_set_by_assign(in_a_graph, example_folder, example_values):
    graph(head=None, partitions=3, **SIZES)
    with session(tf) as opened:
        tf1.get_default_graph().finalize()
        report = assign(tf1.trainable_variables(), example_folder, session=opened, strict=True)
        assert_equal(values(tf, opened), example_values)
    assert len(report.matched) == 39
    with pytest.raises(BridgeckptError, match="session=") as caught:
        assign(tf1.trainable_variables(), example_folder)
    assert "init_from_checkpoint" in str(caught.value)


@pytest.mark.parametrize("resource", [False, True], ids=["ref", "resource"])
def test_variables_that_share_a_tensor_to_start_from_get_values_of_their_own(in_a_graph, tmp_path, resource):
    with tf.Graph().as_default(), tf1.Session() as opened:
        for name, value in (("a", [1.0, 2.0]), ("b", [3.0, 4.0])):
            tf1.get_variable(name, initializer=tf.constant(value))
        opened.run(tf1.global_variables_initializer())
        path = tf1.train.Saver().save(opened, str(tmp_path / "ckpt"))
    zeros = tf.zeros(2)
    variables = [tf1.Variable(zeros, name=name, use_resource=resource) for name in ("a", "b")]
    with session(tf) as opened:
        assign(variables, path, session=opened)
        np.testing.assert_array_equal(opened.run(variables[0]), [1.0, 2.0])
        np.testing.assert_array_equal(opened.run(variables[1]), [3.0, 4.0])


@pytest.mark.parametrize("partitions", [None, 3])
def test_initialisers_read_when_they_are_run_and_each_time(in_a_graph, example_folder, example_values, partitions):
    graph(head=None, partitions=partitions, **SIZES)
    init_from_checkpoint(example_folder, {"bert/": "bert/"})
    with session(tf) as opened:
        variables = tf1.trainable_variables()
        opened.run([variable.assign(tf.zeros_like(variable)) for variable in variables])
        assert not values(tf, opened)[KERNEL].any()
        opened.run(tf1.variables_initializer(variables[::2]))  # of a partitioned one, some parts
        opened.run(tf1.variables_initializer(variables))
        assert_equal(values(tf, opened), example_values)
        first = next(v for v in variables if v.op.name.startswith(KERNEL))
        np.testing.assert_array_equal(opened.run(first.initial_value), example_values[KERNEL][: first.shape[0]])


@pytest.mark.skipif(not hasattr(tf, "estimator"), reason="this TensorFlow has no Estimator: 2.15 was the last")
def test_an_estimator_starts_warm_and_goes_on(example_folder, example_values, tmp_path):
    seen = []

    class Look(tf1.train.SessionRunHook):
        def after_create_session(self, opened, coord):
            step = opened.run(tf1.train.get_global_step())
            seen.append((int(step), opened.run(f"{KERNEL}:0")))

    def model_fn(features, labels, mode):
        _, outputs = graph(head="classifier", **SIZES)
        loss = tf.reduce_mean(tf.square(outputs["logits"])) + 0.0 * tf.reduce_sum(features["x"])
        step = tf1.train.get_or_create_global_step()
        train_op = tf1.train.AdamOptimizer(1e-3).minimize(loss, global_step=step)
        return tf1.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    def input_fn():
        return tf1.data.Dataset.from_tensors(({"x": np.zeros(1, np.float32)}, np.zeros(1, np.int32))).repeat()

    for _ in range(2):
        estimator = tf1.estimator.Estimator(model_fn, str(tmp_path))
        estimator.train(input_fn, hooks=[WarmStartHook(example_folder, new=["output_*"]), Look()], steps=2)
    assert [step for step, _ in seen] == [0, 2]
    np.testing.assert_array_equal(seen[0][1], example_values[KERNEL])
    assert not (seen[1][1] == example_values[KERNEL]).any()

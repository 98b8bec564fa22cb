"""Layer norms in graphs, in many forms, and what only looks like one."""

from __future__ import annotations

import pytest

from bridgeckpt.formats.tensorflow.graphdef import read_graph
from bridgeckpt.sidecar.graph.computations import GraphFact, Unlike, epsilon

pytestmark = pytest.mark.slow

EPSILON = 1e-5


def _centred(tf, x):
    mean, variance = tf.nn.moments(x, [-1], keepdims=True)
    return x - mean, variance


def _fused(tf, x, gamma, beta):
    """As Keras does, which normalises each vector as a channel of a batch."""
    channels = tf.reshape(x, (1, -1, 4, 1))
    ones, zeros = tf.ones(6), tf.zeros(6)
    y, *_ = tf.compat.v1.nn.fused_batch_norm(
        tf.transpose(channels, (0, 2, 3, 1)), ones, zeros, epsilon=2e-3, is_training=True
    )
    return tf.reshape(y, tf.shape(x)) * gamma + beta


LAYER_NORMS = {
    "batch_normalization": lambda tf, x, gamma, beta: tf.nn.batch_normalization(
        x, *tf.nn.moments(x, [-1], keepdims=True), beta, gamma, EPSILON
    ),
    "by a root": lambda tf, x, gamma, beta: (c := _centred(tf, x))[0] / tf.sqrt(c[1] + EPSILON) * gamma + beta,
    "by a power": lambda tf, x, gamma, beta: gamma * (c := _centred(tf, x))[0] * tf.pow(c[1] + EPSILON, -0.5) + beta,
    "by squares": lambda tf, x, gamma, beta: (
        (x - (m := tf.reduce_mean(x, -1, keepdims=True)))
        * tf.math.rsqrt(tf.reduce_mean(x * x, -1, keepdims=True) - m * m + EPSILON)
        * gamma
        + beta
    ),
    "clipped": lambda tf, x, gamma, beta: (
        (c := _centred(tf, x))[0] / tf.sqrt(tf.maximum(c[1] + EPSILON, 0.0)) * gamma + beta
    ),
}

OTHERS = {
    "no shift": lambda tf, x, gamma, beta: (c := _centred(tf, x))[0] / tf.sqrt(c[1] + EPSILON) * gamma,
    "no scale": lambda tf, x, gamma, beta: (c := _centred(tf, x))[0] / tf.sqrt(c[1] + EPSILON) + beta,
    "unbiased": lambda tf, x, gamma, beta: (c := _centred(tf, x))[0] / tf.sqrt(c[1] * 4 / 3 + EPSILON) * gamma + beta,
    "epsilon beside the root": lambda tf, x, gamma, beta: (
        (c := _centred(tf, x))[0] / (tf.sqrt(c[1]) + 1e-3) * gamma + beta
    ),
    "without its mean": lambda tf, x, gamma, beta: (
        x * tf.math.rsqrt(tf.reduce_mean(x * x, -1, keepdims=True) + EPSILON) * gamma + beta
    ),
    "absolute": lambda tf, x, gamma, beta: (
        (c := _centred(tf, x)[0]) / (tf.reduce_mean(tf.abs(c), -1, keepdims=True) + EPSILON) * gamma + beta
    ),
    "gamma plus 1": lambda tf, x, gamma, beta: (
        (c := _centred(tf, x))[0] / tf.sqrt(c[1] + EPSILON) * (gamma + 1.0) + beta
    ),
    "over the batch": lambda tf, x, gamma, beta: tf.nn.batch_normalization(
        x, *tf.nn.moments(x, [0], keepdims=True), beta, gamma, EPSILON
    ),
}


def read(tmp_path, norm):
    """What is read in the scope of a norm that TensorFlow built."""
    tf = pytest.importorskip("tensorflow")
    tf1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        x = tf1.placeholder(tf.float32, (6, 4))
        with tf1.variable_scope("norm", use_resource=True):
            norm(tf, x, tf1.get_variable("gamma", (4,)), tf1.get_variable("beta", (4,)))
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return epsilon(read_graph(path), "norm")


@pytest.mark.parametrize("form", LAYER_NORMS)
def test_a_layer_norm_has_its_epsilon_in_whatever_form(tmp_path, form):
    found = read(tmp_path, LAYER_NORMS[form])
    assert isinstance(found, GraphFact)
    assert found.value == pytest.approx(EPSILON, rel=0.005)


def test_a_fused_norm_has_that_of_its_attribute(tmp_path):
    found = read(tmp_path, _fused)
    assert isinstance(found, GraphFact)
    assert found.value == pytest.approx(2e-3)


@pytest.mark.parametrize("form", OTHERS)
def test_what_is_no_layer_norm_is_said(tmp_path, form):
    found = read(tmp_path, OTHERS[form])
    assert isinstance(found, Unlike)
    assert found.nearest == "a layer norm"

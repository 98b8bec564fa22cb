"""Functions that graphs compute with single numbers: their values against TensorFlow's, their names by ACT2FN."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bridgeckpt.formats.tensorflow.graphdef import read_graph
from bridgeckpt.sidecar.decisions import ACTIVATIONS
from bridgeckpt.sidecar.graph.activation import activations
from bridgeckpt.sidecar.graph.candidates import CANDIDATES, OTHERS, nearest, scale_of
from bridgeckpt.sidecar.graph.computations import GraphFact
from bridgeckpt.sidecar.graph.functions import POINTS, function_between, function_of

pytestmark = pytest.mark.slow

_C = math.sqrt(2 / math.pi)

# A function in TensorFlow, and what it is called; None if it has no name.
FUNCTIONS = {
    "google's gelu": (lambda tf, x: x * 0.5 * (1.0 + tf.tanh(_C * (x + 0.044715 * tf.pow(x, 3)))), "gelu_pytorch_tanh"),
    "folded gelu": (lambda tf, x: 0.5 * x * (1.0 + tf.tanh(x * (_C + 0.035677408136 * x * x))), "gelu_pytorch_tanh"),
    "gelu by a sigmoid": (lambda tf, x: x * tf.sigmoid(2 * _C * (x + 0.044715 * x**3)), "gelu_pytorch_tanh"),
    "gelu by exp": (lambda tf, x: x / (1.0 + tf.exp(-2 * _C * (x + 0.044715 * x**3))), "gelu_pytorch_tanh"),
    "nn.gelu": (lambda tf, x: tf.nn.gelu(x, approximate=True), "gelu_pytorch_tanh"),
    "nn.gelu, erf": (lambda tf, x: tf.nn.gelu(x), "gelu"),
    "gelu of 2018": (lambda tf, x: x * 0.5 * (1.0 + tf.math.erf(x / tf.sqrt(2.0))), "gelu"),
    "gelu by erfc": (lambda tf, x: 0.5 * x * tf.math.erfc(-x * math.sqrt(0.5)), "gelu"),
    "quick gelu": (lambda tf, x: x * tf.sigmoid(1.702 * x), "quick_gelu"),
    "clipped gelu": (lambda tf, x: tf.clip_by_value(tf.nn.gelu(x), -10, 10), "gelu_10"),
    "relu": (lambda tf, x: tf.nn.relu(x), "relu"),
    "relu by maximum": (lambda tf, x: tf.maximum(x, 0), "relu"),
    "relu by where": (lambda tf, x: tf.where(x > 0, x, tf.zeros_like(x)), "relu"),
    "relu by abs": (lambda tf, x: 0.5 * (x + tf.abs(x)), "relu"),
    "relu6": (lambda tf, x: tf.nn.relu6(x), "relu6"),
    "squared relu": (lambda tf, x: tf.square(tf.nn.relu(x)), "relu2"),
    "swish": (lambda tf, x: tf.nn.silu(x), "silu"),
    "swish by hand": (lambda tf, x: x * tf.sigmoid(x), "silu"),
    "mish": (lambda tf, x: x * tf.tanh(tf.nn.softplus(x)), "mish"),
    "mish by log": (lambda tf, x: x * tf.tanh(tf.math.log(1.0 + tf.exp(x))), "mish"),
    "hard swish": (lambda tf, x: x * tf.nn.relu6(x + 3.0) * 0.16666667, "hardswish"),
    "torch's leaky relu": (lambda tf, x: tf.nn.leaky_relu(x, 0.01), "leaky_relu"),
    "tanh": (lambda tf, x: tf.tanh(x), "tanh"),
    "sigmoid": (lambda tf, x: tf.sigmoid(x), "sigmoid"),
    "laplace": (lambda tf, x: 0.5 * (1.0 + tf.math.erf((x - 0.707107) / (0.282095 * 2**0.5))), "laplace"),
    "identity": (lambda tf, x: tf.identity(x), "linear"),
    "custom gradient": (lambda tf, x: tf.custom_gradient(lambda y: (tf.nn.relu(y) ** 2, lambda g: g))(x), "relu2"),
    "dropout": (lambda tf, x: tf.compat.v1.nn.dropout(tf.nn.relu(x), keep_prob=0.9), "relu"),
    "dropout with a rate that is fed": (
        lambda tf, x: tf.nn.dropout(tf.nn.relu(x), rate=tf.compat.v1.placeholder_with_default(0.0, ())),
        "relu",
    ),
    "bfloat16 gelu": (
        lambda tf, x: tf.cast(tf.nn.gelu(tf.cast(x, tf.bfloat16), approximate=True), tf.float32),
        "gelu_pytorch_tanh",
    ),
    "half erf gelu": (lambda tf, x: tf.cast(tf.nn.gelu(tf.cast(x, tf.half)), tf.float32), "gelu"),
    "bfloat16 erf gelu": (lambda tf, x: tf.cast(tf.nn.gelu(tf.cast(x, tf.bfloat16)), tf.float32), "gelu"),
    "elu": (lambda tf, x: tf.nn.elu(x), "elu"),
    "elu by where": (lambda tf, x: tf.where(x > 0, x, tf.exp(tf.minimum(x, 0)) - 1), "elu"),
    "leaky relu": (lambda tf, x: tf.nn.leaky_relu(x, 0.2), None),
    "default leaky relu": (lambda tf, x: tf.nn.leaky_relu(x), None),
    "capped relu": (lambda tf, x: tf.minimum(tf.nn.relu(x), 0.5), None),
    "relu capped at 20": (lambda tf, x: tf.minimum(tf.nn.relu(x), 20.0), None),
    "swish of 1.5 x": (lambda tf, x: x * tf.sigmoid(1.5 * x), None),
    "half a squared relu": (lambda tf, x: 0.5 * tf.square(tf.nn.relu(x)), None),
    "gelu times 1.01": (lambda tf, x: 1.01 * tf.nn.gelu(x), None),
    "gelu with another cube": (lambda tf, x: x * 0.5 * (1 + tf.tanh(_C * (x + 0.05 * x**3))), None),
    "hard shrink": (lambda tf, x: tf.where(tf.abs(x) > 0.05, x, 0.0), None),
    "shifted": (lambda tf, x: x + 0.1, None),
}
_BY_16_BITS = ("bfloat16", "half")


def _evaluate(tmp_path, function):
    """The graph of a function of ``x``, and its values as TensorFlow computes them."""
    tf = pytest.importorskip("tensorflow")
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, name="x")
        output = tf.identity(function(tf, x), name="output")
        values = session.run(output, {x: np.array(POINTS, np.float32)})
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return read_graph(path), values


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_known_by_its_values(tmp_path, name):
    function, expected = FUNCTIONS[name]
    graph, values = _evaluate(tmp_path, function)
    found = function_between(graph, "x", "output")
    assert found is not None
    if "dropout" not in name:
        finite = np.isfinite(values)
        rtol, atol = (0.02, 0.01) if name.startswith(_BY_16_BITS) else (1e-5, 1e-4)
        np.testing.assert_allclose(np.array(found.values)[finite], values[finite], rtol=rtol, atol=atol)
    like = nearest(found)
    assert (like.name if like.is_equal else None) == expected
    assert function_of(graph, "output") == found


def test_candidates_are_those_of_transformers():
    """Each candidate that a config may name computes what transformers computes under that name."""
    torch = pytest.importorskip("torch")
    known = pytest.importorskip("transformers.activations").ACT2FN
    points = torch.tensor(POINTS, dtype=torch.float64)
    assert CANDIDATES.keys() <= {*ACTIVATIONS}
    for name, function in CANDIDATES.items():
        values = known[name](points).numpy()
        np.testing.assert_allclose([function(x) for x in POINTS], values, rtol=1e-6, atol=1e-9, err_msg=name)
    assert not OTHERS.keys() & known.keys()
    # Every name that a user may give is a candidate, or another name of one.
    every = {name: tuple(known[name](points).numpy().round(5)) for name in ACTIVATIONS}
    assert {*every.values()} == {every[name] for name in CANDIDATES}


@pytest.mark.parametrize("factor", [1.0, 0.125, -3.0])
def test_a_scale_is_told(tmp_path, factor):
    graph, _ = _evaluate(tmp_path, lambda tf, x: tf.transpose(x * (4.0 * factor)) / 4.0)
    found = function_between(graph, "x", "output")
    assert found is not None
    assert scale_of(found) == pytest.approx(factor)


# What is no function of each number of one tensor by constants alone.
SEVERAL = {
    "softmax": lambda tf, x: tf.nn.softmax(x),
    "mean": lambda tf, x: x - tf.reduce_mean(x),
    "a weight": lambda tf, x: x * tf.compat.v1.get_variable("alpha", (), use_resource=False),
    "another tensor": lambda tf, x: x + tf.compat.v1.placeholder(tf.float32),
    "a vector": lambda tf, x: x * tf.linspace(1.0, 2.0, len(POINTS)),
    "long": lambda tf, x: [x := tf.tanh(x) for _ in range(60)][-1],
}


@pytest.mark.parametrize("name", SEVERAL)
def test_what_is_no_function_of_one_number_is_none(tmp_path, name):
    tf = pytest.importorskip("tensorflow")
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, (len(POINTS),), name="x")
        tf.identity(SEVERAL[name](tf, x), name="output")
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    assert function_between(read_graph(path), "x", "output") is None


BEHIND = {
    "nothing": (lambda tf, x: x, "relu"),
    "a cap": (lambda tf, x: tf.minimum(x, 0.5), None),
    "a square": (lambda tf, x: tf.square(x), "relu2"),
    "a scale": (lambda tf, x: x * 1.5, None),
    "a dropout": (lambda tf, x: tf.nn.dropout(x, rate=0.1), "relu"),
    "a shape": (lambda tf, x: tf.reshape(tf.expand_dims(x, 0), (-1, 4)), "relu"),
}


@pytest.mark.parametrize("inside", [True, False], ids=["in the scope", "behind the scope"])
@pytest.mark.parametrize("name", BEHIND)
def test_what_is_done_behind_the_scope_belongs_to_the_activation(tmp_path, name, inside):
    """Whether the scope of the layer has a part of the function, or nothing of it."""
    tf = pytest.importorskip("tensorflow")
    tf1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        with tf1.variable_scope("layer"):
            x = tf.nn.bias_add(
                tf.matmul(tf1.placeholder(tf.float32, (3, 4)), tf1.get_variable("kernel", (4, 4), use_resource=False)),
                tf1.get_variable("bias", (4,), use_resource=False),
            )
            x = tf.nn.relu(x) if inside else x
        with tf1.variable_scope("next"):
            x = BEHIND[name][0](tf, x if inside else tf.nn.relu(x))
            tf.matmul(x, tf1.get_variable("kernel", (4, 4), use_resource=False))
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    (found,) = activations(read_graph(path), ["layer"])
    assert found is not None
    assert (found.value if isinstance(found, GraphFact) else None) == BEHIND[name][1]

"""Graph files: constants and attributes against TensorFlow, and the facts that are read from graphs of every kind."""

from __future__ import annotations

import struct
import tracemalloc
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tfbert
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from paths import EXAMPLE, FIXTURES, SAMPLES

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.tensorflow.graphdef import read_graph
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.sidecar.graph.classifier import ALTERED, REDUCED
from bridgeckpt.sidecar.graph.facts import GraphFacts, read_facts

if TYPE_CHECKING:
    from bridgeckpt.mapping.tables.graph import GraphScopes

GRAPH = EXAMPLE / "bert_model.ckpt.meta"
KEYS = ("layer_norm_eps", "hidden_act", "num_attention_heads")
GOOGLE, KERAS = (load_table(name).graph for name in ("bert/google", "bert/google_keras"))


def facts_of(path: Path, scopes: GraphScopes = GOOGLE, scope: str = "") -> GraphFacts:
    return read_facts(read_graph(path), scopes, {"scope": scope})


def built_facts(directory: Path, scopes: GraphScopes = GOOGLE, **options) -> GraphFacts:
    pytest.importorskip("tensorflow")
    built = tfbert.build(directory, **options)
    return facts_of(built.prefix.with_name(f"{built.prefix.name}.meta"), scopes, built.spec.scope)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A graph with constants of every kind, as TensorFlow writes and reads it."""
    tf = pytest.importorskip("tensorflow")
    tf1 = tf.compat.v1
    path = tmp_path_factory.mktemp("graph") / "graph.pb"
    values = {
        "epsilon": (1e-12, tf.float32),
        "third": (0.33333334, tf.float32),
        "largest": (3.4028235e38, tf.float32),
        "double": (0.1, tf.float64),
        "negative": ([-1, -2, 3], tf.int32),
        "equal": ([7, 7, 7, 7], tf.int32),
        "zeros": ([0, 0], tf.int32),
        "long": ([2**40, -1], tf.int64),
        "none": ([], tf.int32),
        "yes": (True, tf.bool),
        "flags": ([True, False, True], tf.bool),
    }
    with tf.Graph().as_default() as graph:
        for name, (value, dtype) in values.items():
            tf1.constant(value, dtype, name=name)
        tf1.constant(list(range(100)), name="many")
        tf1.constant(["text"], name="string")
        tf1.placeholder(tf.float32, name="input")
        _, second = tf.split(tf1.constant([1.0, 2.0]), 2)
        with tf1.control_dependencies([graph.get_operation_by_name("equal")]):
            tf.identity(second, name="second")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path, values


@pytest.mark.slow
def test_constants_are_those_that_tensorflow_wrote(written):
    path, values = written
    graph = read_graph(path)
    for name, (value, _) in values.items():
        assert graph.constant(name) == (tuple(value) if isinstance(value, list) else (value,)), name


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
@example(0.00010272254439769313)  # nine digits
@example(2.0**-96)  # a power of two: the next smaller number is nearer than the next larger
@pytest.mark.slow
def test_a_float_is_the_decimal_of_the_fewest_digits(value):
    tf = pytest.importorskip("tensorflow")
    definition = tf.compat.v1.GraphDef()
    node = definition.node.add(name="norm", op="FusedBatchNormV3")
    node.attr["epsilon"].f = value
    with TemporaryDirectory() as directory:
        path = Path(directory) / "graph.pb"
        path.write_bytes(definition.SerializeToString())
        graph = read_graph(path)
    found = graph.number(graph["norm"], "epsilon")
    assert struct.pack("<f", found) == struct.pack("<f", value)
    digits = len(Decimal(repr(found)).normalize().as_tuple().digits)
    with np.errstate(over="ignore"):  # rounded up past the largest float32
        assert all(np.float32(f"{value:.{fewer}g}") != value for fewer in range(1, digits))


@pytest.mark.slow
def test_what_is_no_small_number_is_no_constant(written):
    graph = read_graph(written[0])
    assert [graph.constant(name) for name in ("many", "string", "input", "absent")] == [None] * 4


@pytest.mark.slow
def test_operands_have_neither_output_numbers_nor_control_edges(written):
    node = read_graph(written[0])["second"]
    assert (node.op, node.inputs, node.operands) == ("Identity", ("split:1", "^equal"), ("split",))


@pytest.mark.slow
def test_every_node_is_indexed(written):
    tf = pytest.importorskip("tensorflow")
    definition = tf.compat.v1.GraphDef.FromString(written[0].read_bytes())
    graph = read_graph(written[0])
    assert [(node.name, node.op, list(node.input)) for node in definition.node] == [
        (node.name, node.op, list(node.inputs)) for node in map(graph.__getitem__, graph)
    ]
    assert len(graph) == len(definition.node)
    assert "equal" in graph
    assert "absent" not in graph


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        ("gelu", "gelu_pytorch_tanh"),
        ("gelu_erf", "gelu"),
        ("gelu_nn", "gelu_pytorch_tanh"),
        ("gelu_nn_erf", "gelu"),
        ("relu", "relu"),
        ("tanh", "tanh"),
        ("swish", "silu"),
        ("linear", "linear"),
    ],
)
@pytest.mark.slow
def test_the_activation_is_read(tmp_path, activation, name):
    facts = built_facts(tmp_path, hidden_act=activation, layers=1, head=None)
    assert facts.values.get("hidden_act") == name
    assert facts.evidence["hidden_act"].startswith("bert/encoder/layer_0/intermediate/dense/")
    assert facts.head is None


@pytest.mark.parametrize("epsilon", [1e-12, 1e-6, 1e-3])
@pytest.mark.parametrize("port", ["google", "keras"])
@pytest.mark.slow
def test_the_epsilon_is_read_fused_or_not(tmp_path, port, epsilon):
    facts = built_facts(tmp_path, GOOGLE if port == "google" else KERAS, port=port, eps=epsilon, layers=1, head=None)
    assert facts.values.get("layer_norm_eps") == epsilon
    fused = port == "keras" and epsilon == 1e-3
    assert ("FusedBatchNorm" in facts.evidence["layer_norm_eps"]) == fused


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("heads", [1, 3, 9])
@pytest.mark.slow
def test_the_heads_are_read(tmp_path, static, heads):
    facts = built_facts(tmp_path, heads=heads, static=static, dropout=True, layers=1, head=None)
    assert facts.values.get("num_attention_heads") == heads


@pytest.mark.parametrize(("head", "expected"), [("classifier", "sequence"), ("token", "token"), ("squad", None)])
@pytest.mark.parametrize("resource", [True, False])
@pytest.mark.slow
def test_the_head_is_told_apart(tmp_path, head, expected, resource):
    facts = built_facts(tmp_path, head=head, resource=resource, dropout=True, static=not resource, scope="my_model/")
    assert facts.head == expected
    if expected:
        assert facts.evidence["head"].startswith("my_model/bert/")


@pytest.mark.slow
def test_a_training_graph_says_the_same_as_a_plain_one(tmp_path):
    options = {"head": "classifier", "layers": 1, "hidden_act": "linear", "eps": 1e-5}
    plain = built_facts(tmp_path / "plain", **options)
    trained = built_facts(tmp_path / "trained", **options, slots="adam", dropout=True, resource=True)
    assert plain.values.get("hidden_act") == "linear"
    assert {**_facts(plain), "evidence": None} == {**_facts(trained), "evidence": None}


def _facts(facts: GraphFacts) -> dict[str, object]:
    return {name: getattr(facts, name) for name in GraphFacts._fields}


def _dense(tf, x):
    return tf.nn.bias_add(tf.matmul(x, tf.constant(np.eye(3, dtype=np.float32))), tf.constant([1.0, 2.0, 3.0]))


@pytest.mark.slow
def test_scopes_that_were_numbered_or_lie_under_another_are_found(tmp_path):
    tf = pytest.importorskip("tensorflow")
    tf1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        with tf1.name_scope("gradients/bert/encoder/layer_0/intermediate/dense"):
            tf.nn.relu(_dense(tf, tf1.placeholder(tf.float32, (2, 3))))
        with tf1.name_scope("tower_0/bert_1/encoder/layer_0/intermediate/dense"):
            tf.nn.gelu(_dense(tf, tf1.placeholder(tf.float32, (2, 3))))
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    facts = facts_of(path)
    assert facts.values.get("hidden_act") == "gelu"
    assert facts.evidence["hidden_act"] == "tower_0/bert_1/encoder/layer_0/intermediate/dense/Gelu/mul_2"


@pytest.mark.slow
def test_what_is_computed_in_no_known_way_stays_unknown(tmp_path):
    """A PReLU learns its slope; a classifier over a mean is of neither class."""
    tf = pytest.importorskip("tensorflow")
    tf1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        with tf1.name_scope("bert/encoder/layer_0/intermediate/dense"):
            x = _dense(tf, tf.zeros((2, 3)))
            tf.maximum(x, x * tf1.get_variable("alpha", (3,), use_resource=False), name="PRelu")
        with tf1.name_scope("bert/encoder"):
            states = tf.zeros((2, 3, 4), name="states") + 1.0
        kernel = tf1.get_variable("output_weights", (3, 4), use_resource=False)
        tf.matmul(tf.reduce_mean(states, axis=1), kernel, transpose_b=True)
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    facts = facts_of(path)
    assert (facts.values, facts.evidence, facts.head, facts.unlike) == ({}, {}, None, REDUCED)
    assert facts.unclear["hidden_act"].startswith("the graph computes it in a way that is not understood (bert/enc")


# What a classifier is put on, of the outputs of the layers and of the pooler; and what the graph shows.
CLASSIFIERS = {
    "pooled": (lambda tf, states, pooled: pooled, "sequence", None),
    "tokens": (lambda tf, states, pooled: states[-1], "token", None),
    "dropout": (lambda tf, states, pooled: tf.nn.dropout(pooled, rate=0.1, name="drop"), "sequence", None),
    "tokens in another shape": (lambda tf, states, pooled: tf.reshape(states[-1], [-1, 4]), "token", None),
    "first token": (lambda tf, states, pooled: states[-1][:, 0], None, REDUCED),
    "activation before": (lambda tf, states, pooled: tf.nn.relu(pooled), "sequence", ALTERED),
    "erf gelu before": (lambda tf, states, pooled: tf.nn.gelu(states[-1]), "token", ALTERED),
    "length of one": (lambda tf, states, pooled: tf.nn.l2_normalize(pooled, axis=-1), "sequence", ALTERED),
    "difference": (lambda tf, states, pooled: tf.abs(pooled - tf.reverse(pooled, [0])), "sequence", ALTERED),
    "sum of layers": (lambda tf, states, pooled: states[0] + states[1], "token", ALTERED),
    "an earlier layer": (lambda tf, states, pooled: tf.identity(states[0]), "token", ALTERED),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_what_a_classifier_is_put_on(tmp_path, name):
    tf = pytest.importorskip("tensorflow")
    tf1 = tf.compat.v1
    put_on, head, unlike = CLASSIFIERS[name]
    with tf.Graph().as_default() as graph:
        states = [tf.zeros((2, 3, 4))]
        for layer in range(2):
            with tf1.name_scope(f"bert/encoder/layer_{layer}/output/LayerNorm"):
                states.append(tf.add(states[-1], 1.0, name="add_1"))
        with tf1.name_scope("bert/pooler/dense"):
            pooled = tf.tanh(states[-1][:, 0])
        kernel = tf1.get_variable("output_weights", (3, 4), use_resource=False)
        features = put_on(tf, states[1:], pooled)
        flat = features if features.shape.rank == 2 else tf.reshape(features, [-1, 4])
        tf.nn.softmax(tf.matmul(flat, kernel, transpose_b=True))
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    facts = facts_of(path)
    assert (facts.head, facts.unlike) == (head, unlike)


def test_the_example_holds_its_facts():
    facts = facts_of(GRAPH)
    assert tuple(map(facts.values.get, KEYS)) == (1e-12, "gelu_pytorch_tanh", 3)
    assert facts.writer is not None
    assert facts.writer.startswith("TensorFlow 2.")


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("golden/t1_pretrain_v2_slots/model.ckpt.meta", (1e-12, "gelu_pytorch_tanh", 4, "TensorFlow 1.15.5")),
        ("real/kerasbert-toy-tf1/bert_model.ckpt.meta", (1e-12, "gelu", 4, "TensorFlow 1.11.0")),
    ],
)
def test_graphs_of_others(sample, expected):
    """Written by google-research/bert and by an older copy of it, whose GELU is the error function."""
    if not (SAMPLES / sample).exists():
        pytest.skip("no samples here")
    facts = facts_of(SAMPLES / sample)
    assert (*map(facts.values.get, KEYS), facts.writer) == expected


def test_a_file_that_is_no_graph_is_refused(tmp_path):
    path = tmp_path / "model.ckpt.meta"
    with pytest.raises(CheckpointError, match=r"cannot read .*No such file"):
        read_graph(path)
    path.write_bytes(GRAPH.read_bytes()[:-100_000])
    with pytest.raises(CheckpointError, match="is not a whole TensorFlow graph") as caught:
        read_graph(path)
    assert caught.value.path == path
    assert "move it away" in str(caught.value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, GRAPH.stat().st_size - 1), to=st.binary(min_size=1, max_size=4), cut=st.booleans())
def test_damage_is_an_error_or_harmless(tmp_path, at, to, cut):
    data = GRAPH.read_bytes()
    damaged = data[:at] + to + (b"" if cut else data[at + len(to) :])
    path = tmp_path / "model.ckpt.meta"
    path.write_bytes(damaged)
    tracemalloc.start()
    try:
        facts_of(path)
    except CheckpointError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 20 * len(data)


@settings(max_examples=200, deadline=None)
@given(
    size=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
    content=st.binary(max_size=16),
    bits=st.integers(0, 2**32 - 1),
)
@pytest.mark.slow
def test_a_hostile_constant_is_none_small_or_an_error(size, content, bits):
    tf = pytest.importorskip("tensorflow")
    definition = tf.compat.v1.GraphDef()
    node = definition.node.add(name="constant", op="Const")
    tensor = node.attr["value"].tensor
    tensor.dtype = bits % 11
    for dim in size:
        tensor.tensor_shape.dim.add(size=dim)
    tensor.tensor_content = content
    with TemporaryDirectory() as directory:
        path = Path(directory) / "graph.pb"
        path.write_bytes(definition.SerializeToString())
        try:
            constant = read_graph(path).constant("constant")
        except CheckpointError:
            return
    assert constant is None or len(constant) <= 64


def test_a_layer_that_was_built_in_another_model_is_found_without_the_scope_of_its_variables():
    graph = read_graph(FIXTURES / "hub_transformers" / "source" / "saved_model" / "1" / "saved_model.pb")
    table = load_table("bert/transformers")
    here = read_facts(graph, table.graph, {"scope": "tf_bert_for_sequence_classification/"})
    assert here.values == {"layer_norm_eps": 1e-5, "hidden_act": "gelu_pytorch_tanh", "num_attention_heads": 3}
    assert read_facts(graph, table.graph, {"scope": "tf_bert_model_7/"}).values == here.values

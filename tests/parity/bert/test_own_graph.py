"""The graph beside a checkpoint: found, freed of dropout, run at other sizes, and asked for the settings it has."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from forward_pass import agree, save

from bridgeckpt.parity.bert.own_graph import OwnGraph
from bridgeckpt.parity.bert.variables import find_bert
from bridgeckpt.parity.recording import record_checkpoint
from bridgeckpt.parity.reference.probes import IDS, MASK, TYPES, Probe
from bridgeckpt.parity.tensorflow.nodes import Nodes, UnusableGraph
from bridgeckpt.parity.tensorflow.stored import TensorFlowVariables

tf = pytest.importorskip("tensorflow")

pytestmark = pytest.mark.slow


def run(prefix, inputs, *, ema=False, depth="coarse"):
    """What the graph beside a checkpoint computes."""
    variables = TensorFlowVariables(tf, prefix)
    bert = find_bert(variables.shapes, str(prefix), ema=ema)
    with OwnGraph(tf, prefix.with_name(f"{prefix.name}.meta"), bert) as graph:
        graph.fill(variables.load)
        return graph.run(Probe({name: inputs[name] for name in (IDS, MASK, TYPES)}, depth))


SPECS = [
    ({}, ["pooler", "mlm_logits", "nsp_logits"]),
    ({"static": False, "resource": True, "dropout": True}, ["pooler", "mlm_logits", "nsp_logits"]),
    ({"port": "keras"}, ["mlm_logits"]),
    ({"port": "keras_all", "static": False, "eps": 1e-12}, ["mlm_logits"]),
    ({"scope": "my/model/", "slots": "adam"}, ["mlm_logits"]),
    ({"slots": "momentum", "resource": True, "head": "nsp"}, ["nsp_logits"]),
    ({"head": "classifier", "dropout": True}, ["logits"]),
    ({"head": "token", "slots": "adam", "dropout": True}, ["token_logits"]),
    ({"head": "squad", "slots": "lamb"}, ["span_logits"]),
    ({"partitions": 2, "head": "mlm"}, ["mlm_logits"]),
    ({"partitions": 3, "resource": True, "head": None}, ["pooler"]),
    ({"dtype": "bfloat16", "head": None, "pooler": False}, []),
    ({"hidden_act": "gelu_nn_erf", "shards": 2}, ["mlm_logits"]),
]


@pytest.mark.parametrize(("spec", "heads"), SPECS, ids=str)
def test_the_graph_computes_what_it_computed_when_it_was_written(built, spec, heads):
    source = built(**spec)
    found = run(source.prefix, source.inputs)
    expected = {"embeddings", *(f"layer.{at}.{part}" for at in (0, 1) for part in ("attention", "output"))}
    assert found.keys() >= {*expected, *heads}
    assert agree(found, source.outputs, source.inputs, 3e-6) >= {*heads}


def test_moving_averages_take_the_place_of_the_weights(built):
    source = built(ema=True)
    assert "mlm_logits" in agree(run(source.prefix, source.inputs, ema=True), source.ema_outputs, source.inputs)
    assert "mlm_logits" in agree(run(source.prefix, source.inputs), source.outputs, source.inputs)


def test_a_training_graph_of_google_research_bert(samples):
    """Its dropout is 0.1, its masked-LM head reads chosen positions, and its inputs are constants [4, 17]."""
    folder = samples / "golden" / "t1_pretrain_v2_slots"
    golden = dict(np.load(folder / "golden.npz"))
    found = run(folder / "model.ckpt", golden)
    assert agree(found, golden, golden) >= {"embeddings", "layer.2.output", "pooler", "mlm_logits", "nsp_logits"}


def test_a_training_graph_with_an_input_pipeline(samples):
    """TensorFlow 1.11: dropout by keep_prob, an iterator over TFRecords, batches of 32."""
    folder = samples / "real" / "kerasbert-toy-tf1"
    author = np.load(folder / "author_graph_reference.npz")
    inputs = {IDS: author["input_ids"], MASK: author["input_mask"], TYPES: author["segment_ids"]}
    found = run(folder / "bert_model.ckpt", {name: values.astype(np.int32) for name, values in inputs.items()})
    np.testing.assert_allclose(found["layer.1.output"], author["sequence_output"], atol=2e-6)
    np.testing.assert_allclose(found["pooler"], author["pooled_output"], atol=2e-6)


def test_a_graph_of_fixed_sizes_is_run_on_smaller_and_more_sequences(built):
    source = built(head="pretraining")
    whole = run(source.prefix, source.inputs)
    cut = {name: np.tile(values[[1, 3]], (5, 1))[:, :14] for name, values in source.inputs.items()}
    found = run(source.prefix, cut)
    for stage, values in found.items():
        expected = np.tile(whole[stage][[1, 3]], (5, *[1] * (values.ndim - 1)))
        expected = expected[:, :14] if values.ndim > 2 else expected
        mask = cut[MASK].astype(bool) if values.ndim > 2 else ...
        np.testing.assert_allclose(values[mask], expected[mask], atol=3e-6, err_msg=stage)


def test_probes_that_do_not_fit_are_left_to_the_forward_pass(samples):
    made = record_checkpoint(samples / "golden" / "t1_pretrain_v2_slots")
    assert {run: set(probes) for run, probes in made.runs.items()} == {
        "graph": {"mixed"},
        "float32": {"mixed", "long", "sweep"},
        "float64": {"mixed", "long", "sweep"},
    }
    assert made.notes == ("the graph in model.ckpt.meta is made for 17 positions and was not run on: long, sweep",)
    for stage, values in made.runs["graph"]["mixed"].items():
        np.testing.assert_allclose(values, made.runs["float64"]["mixed"][stage], atol=6e-6, err_msg=stage)


def test_a_graph_is_run_on_every_probe_and_agrees(built):
    made = record_checkpoint(built(static=False).directory)
    assert {name: set(values) for name, values in made.runs["graph"].items()} == {
        name: set(values) for name, values in made.runs["float64"].items()
    }
    for name, stages in made.runs["graph"].items():
        for stage, values in stages.items():
            np.testing.assert_allclose(values, made.runs["float64"][name][stage], atol=2e-5, err_msg=stage)
    assert made.provenance["how"].startswith("the graph in bert_model.ckpt.meta, and plain TensorFlow")


# Settings


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ("3", "gelu_pytorch_tanh", "1e-12")),
        ({"hidden_act": "gelu_erf"}, ("3", "gelu", "1e-12")),  # its config says "gelu" too
        ({"hidden_act": "gelu_erf", "config": False, "heads": 4, "eps": 1e-10}, ("4", "gelu", "1e-10")),
        ({"hidden_act": "linear", "eps": 1e-6}, ("3", "linear", "1e-06")),
        ({"hidden_act": "swish", "config": False, "port": "keras"}, ("3", "silu", "0.001")),
        ({"hidden_act": "tanh", "config": False, "port": "keras", "eps": 1e-7}, ("3", "tanh", "1e-07")),
        ({"hidden_act": "relu", "partitions": 2, "config": False}, ("3", "relu", "1e-12")),
        ({"hidden_act": "gelu_nn", "dtype": "bfloat16", "eps": 1e-5}, ("3", "gelu_pytorch_tanh", "1e-05")),
    ],
    ids=str,
)
def test_the_graph_decides_the_settings(built, spec, expected):
    made = record_checkpoint(built(**spec).directory)
    settings = made.provenance["settings"]
    assert tuple(settings.values()) == tuple(f"{value} (matches the graph)" for value in expected)
    assert set(made.runs) == {"graph", "float32", "float64"}
    assert made.notes == ()


def test_weights_near_zero_hide_no_setting(samples):
    """The weights are BERT's initial ones, on which erf and tanh agree to the last digit; the graph's is erf."""
    made = record_checkpoint(samples / "real" / "kerasbert-toy-tf1")
    assert made.provenance["settings"]["hidden_act"] == "gelu (matches the graph)"


def test_a_setting_that_the_graph_contradicts_leaves_the_graph_alone(built):
    made = record_checkpoint(built().directory, hidden_act="gelu")
    assert set(made.runs) == {"graph"}
    assert made.provenance["how"] == "the graph in bert_model.ckpt.meta"
    assert any("only the graph was run" in note and "hidden_act as asked" in note for note in made.notes)


def test_a_forward_pass_that_differs_further_up_is_dropped(built, monkeypatch):
    from bridgeckpt.parity.bert import forward

    dense = forward.Forward._dense

    def wrong(self, role, values):
        return dense(self, role, values) * (1.0001 if role == "layer.1.output" else 1)

    monkeypatch.setattr(forward.Forward, "_dense", wrong)
    made = record_checkpoint(built().directory)
    assert set(made.runs) == {"graph"}
    assert any("layer.1.output is computed there in a way that is not known" in note for note in made.notes)


def test_the_graph_says_what_a_classifier_reads(built):
    for head, stage in (("classifier", "logits"), ("token", "token_logits")):
        made = record_checkpoint(built(head=head).directory)
        for of_run in made.runs.values():
            assert {"logits", "token_logits"} & of_run["mixed"].keys() == {stage}
        assert {name for name in made.variables if "logits" in name} == {f"{stage}.kernel", f"{stage}.bias"}


def test_variables_of_no_bert_are_the_graphs_alone(built, tmp_path):
    source = built()
    save({**source.variables, "bert/adapter/kernel": np.ones(3, np.float32)}, tmp_path / "bert_model.ckpt")
    shutil.copy(f"{source.prefix}.meta", tmp_path / "bert_model.ckpt.meta")
    made = record_checkpoint(tmp_path)
    assert set(made.runs) == {"graph"}
    assert any("no BERT has bert/adapter/kernel" in note for note in made.notes)


# Graphs that cannot be run


def copy_of(source, folder):
    """The checkpoint elsewhere, where it may be modified."""
    shutil.copytree(source.directory, folder, dirs_exist_ok=True)
    return folder / f"{source.prefix.name}.meta"


def edited(meta, change):
    """Change the graph in a ``.meta`` file in place."""
    parsed = tf.compat.v1.MetaGraphDef.FromString(meta.read_bytes())
    change(parsed.graph_def)
    meta.write_bytes(parsed.SerializeToString())


def node(graph, name):
    return next(node for node in graph.node if node.name == name)


def set_op(name, op):
    return lambda graph: setattr(node(graph, name), "op", op)


def remove(name):
    return lambda graph: graph.node.remove(node(graph, name))


def rename(graph):
    for each in graph.node:
        if each.name == "bert/pooler/dense/bias":
            each.name = "bert/pooler/dense/offset"
        each.input[:] = [name.replace("bert/pooler/dense/bias", "bert/pooler/dense/offset") for name in each.input]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_op("bert/encoder/layer_0/attention/self/Softmax", "FancySoftmax"), "layer 0 has no softmax"),
        (set_op("bert/encoder/layer_1/attention/self/Softmax", "FancySoftmax"), "cannot take it: .*FancySoftmax"),
        (set_op("attention_mask", "RandomUniform"), None),  # it is fed: what made it does not matter
        (remove("bert/encoder/layer_1/attention/self/Softmax"), "lacks the node of .*layer_1/attention/self/Softmax"),
        (remove("bert/embeddings/LayerNorm/batchnorm/add_1"), "nothing adds bert/embeddings/LayerNorm/beta"),
        (set_op("bert/embeddings/one_hot", "Fancy"), "no ids are looked up in bert/embeddings/token_type_embeddings"),
        (rename, None),  # that stage is not found, and all others are
    ],
)
def test_a_graph_that_cannot_be_run_leaves_the_forward_pass(built, tmp_path, change, reason):
    meta = copy_of(built(head=None), tmp_path)
    edited(meta, change)
    made = record_checkpoint(tmp_path)
    assert {"float32", "float64"} <= set(made.runs)
    if reason is None:
        assert "graph" in made.runs
    else:
        assert "graph" not in made.runs
        assert made.provenance["how"] == "plain TensorFlow operations on the checkpoint's variables"
        (note,) = (note for note in made.notes if "was not run" in note)
        assert note.startswith("the graph in bert_model.ckpt.meta was not run: ")
        assert re.search(reason, note)


def test_a_damaged_graph_or_one_of_another_checkpoint_leaves_the_forward_pass(built, tmp_path):
    meta = copy_of(built(), tmp_path)
    meta.write_bytes(b"\xff" * 100)
    made = record_checkpoint(tmp_path, float64=False)
    assert set(made.runs) == {"float32"}
    assert any("bert_model.ckpt.meta cannot be read" in note for note in made.notes)
    shutil.copy(f"{built(hidden=48).prefix}.meta", meta)
    made = record_checkpoint(tmp_path, float64=False)
    assert set(made.runs) == {"float32"}
    assert any("its variables are not the checkpoint's" in note for note in made.notes)


def test_a_graph_may_be_left_alone(built):
    assert set(record_checkpoint(built().directory, graph=False, float64=False).runs) == {"float32"}


# Where the mask is

MASKS = {
    "floats": lambda ids: tf.compat.v1.placeholder(tf.float32, ids.shape, "given"),
    "bools": lambda ids: tf.cast(tf.compat.v1.placeholder(tf.bool, ids.shape, "given"), tf.float32),
    "long": lambda ids: tf.cast(tf.compat.v1.placeholder(tf.int64, ids.shape, "given"), tf.float32),
    "default of ones": lambda ids: tf.cast(
        tf.compat.v1.placeholder_with_default(tf.ones_like(ids), ids.shape), tf.float32
    ),
    "ones": lambda ids: tf.cast(tf.ones_like(ids), tf.float32),
    "ones of floats": lambda ids: tf.ones(tf.shape(ids)),
    "not padding": lambda ids: tf.cast(tf.not_equal(ids, 0), tf.float32),
    "sign": lambda ids: tf.cast(tf.sign(ids), tf.float32),
    "constants": lambda ids: tf.constant(np.ones(ids.shape if None not in ids.shape else (4, 24), np.float32)),
}


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("kind", MASKS)
def test_the_mask_is_fed_wherever_it_is_made(built, tmp_path, kind, static):
    source = built(static=static)
    meta = copy_of(source, tmp_path)
    parsed = tf.compat.v1.MetaGraphDef.FromString(meta.read_bytes())
    with tf.Graph().as_default() as graph:
        ids = tf.compat.v1.placeholder(tf.int32, (4, 24) if static else (None, None), "ids")
        given = {"input_ids:0": ids, "bert/encoder/Cast:0": MASKS[kind](ids)}
        tf.graph_util.import_graph_def(parsed.graph_def, given, name="")
        parsed.graph_def.CopyFrom(graph.as_graph_def(add_shapes=True))
    meta.write_bytes(parsed.SerializeToString())
    found = run(tmp_path / source.prefix.name, source.inputs)
    assert "mlm_logits" in agree(found, source.outputs, source.inputs, 3e-6)


def test_a_mask_that_is_made_for_each_layer_anew_is_not_fed(built, tmp_path):
    source = built(static=True)
    meta = copy_of(source, tmp_path)

    def split(graph):
        second = graph.node.add()
        second.CopyFrom(node(graph, "bert/encoder/sub"))
        second.name = "another/sub"
        scaled = graph.node.add()
        scaled.CopyFrom(node(graph, "bert/encoder/mul"))
        scaled.name = "another/mul"
        second.input[1] = "another/mask"
        given = graph.node.add(name="another/mask", op="Placeholder")
        given.attr["dtype"].type = 1
        scaled.input[0] = "another/sub"
        (added,) = (each for each in graph.node if each.name == "bert/encoder/layer_1/attention/self/add")
        added.input[1] = "another/mul"

    edited(meta, split)
    made = record_checkpoint(tmp_path, float64=False)
    assert set(made.runs) == {"float32"}
    assert any("layer.1.attention does not read the mask of layer 0" in note for note in made.notes)


def test_the_example_is_run_by_its_graph(example):
    """Its mask gets two axes before it is cast, and its batch is 1."""
    made = record_checkpoint(example)
    assert made.notes == ("the graph in bert_model.ckpt.meta is made for 16 positions and was not run on: long, sweep",)
    assert set(made.provenance["settings"].values()) == {
        "3 (matches the graph)",
        "gelu_pytorch_tanh (matches the graph)",
        "1e-12 (matches the graph)",
    }
    for stage, values in made.runs["graph"]["mixed"].items():
        mask = made.probes["mixed"].mask if values.ndim > 2 else ...
        np.testing.assert_allclose(values[mask], made.runs["float64"]["mixed"][stage][mask], atol=2e-5, err_msg=stage)


# Surgery


def graph_def(build):
    with tf.Graph().as_default() as graph:
        build(tf.compat.v1.placeholder(tf.float32, [None], name="x"))
    return graph.as_graph_def()


def evaluate(definition, target, value):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(definition, name="")
        return session.run(f"{target}:0", {"in:0": value})


@pytest.mark.parametrize("rate", [0.5, "tensor"])
def test_dropout_of_todays_tensorflow_is_taken_out(rate):
    def build(x):
        given = tf.compat.v1.placeholder(tf.float32, (), name="rate") if rate == "tensor" else rate
        tf.multiply(tf.nn.dropout(x + 1, rate=given), 3, name="y")

    nodes = Nodes(graph_def(build))
    with pytest.raises(UnusableGraph, match="no part of a model"):
        nodes.cut_out(["y"], {"x": ("in", 1)})
    nodes.take_out_dropout()
    cut = nodes.cut_out(["y"], {"x": ("in", 1)})
    assert {"rate", "dropout"} & {node.name.split("/")[0] for node in cut.node} <= {"dropout"}
    np.testing.assert_array_equal(evaluate(cut, "y", [1, 2]), [6, 9])


def test_only_what_the_target_needs_is_cut_out_and_branches_stay_branches():
    def build(x):
        with tf.control_dependencies([tf.debugging.assert_greater(tf.reduce_sum(x), 100.0)]):
            hidden = tf.identity(x, name="hidden")
        training = tf.constant(False, name="training")
        tf.compat.v1.disable_control_flow_v2()
        tf.identity(tf.compat.v1.cond(training, lambda: hidden * 0 + 7, lambda: hidden + tf.ones([1])), name="y")
        tf.compat.v1.enable_control_flow_v2()
        tf.raw_ops.Print(input=hidden, data=[hidden], name="aside")

    cut = Nodes(graph_def(build)).cut_out(["y"], {"x": ("in", 1)})
    assert not {"Assert", "Print", "Sum"} & {node.op for node in cut.node}
    assert {"Switch", "Merge"} <= {node.op for node in cut.node}
    np.testing.assert_array_equal(
        evaluate(cut, "y", [1, 2]), [2, 3]
    )  # an assertion that fails orders side effects only

"""What a checkpoint holds beside its BERT: heads of one's own are left out, parts of the encoder refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from paths import FIXTURES
from tfbert import Spec, graph
from tfwrite import save

import bridgeckpt
from bridgeckpt.errors import ParityError, PlanError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.training.state import find_state
from bridgeckpt.parity.bert.beside import with_rest
from bridgeckpt.parity.bert.variables import find_bert
from bridgeckpt.parity.tensorflow.stored import StoredVariables

pytestmark = pytest.mark.slow
tf = pytest.importorskip("tensorflow")

H = 36  # hidden size of the example


@pytest.fixture
def record(example, example_values, tmp_path):
    """Record the example's encoder with further tensors; returns the reference."""

    def run(extra, **options):
        shutil.copy(example / "bert_config.json", tmp_path)
        values = {name: value for name, value in example_values.items() if name.startswith("bert/")}
        values |= {name: np.ones(shape, np.float32) for name, shape in extra.items()}
        save(tmp_path / "model.ckpt", values)
        path = tmp_path / "reference.safetensors"
        bridgeckpt.record_checkpoint(tmp_path / "model.ckpt", path, float64=False, **options)
        return bridgeckpt.read_reference(path)

    return run


@pytest.mark.parametrize(
    "head",
    [
        {"score/kernel": (H, 3), "score/bias": (3,)},
        {"project/logits/W": (H, 5), "project/logits/b": (5,), "crf_loss/transitions": (5, 5)},
    ],
)
def test_a_head_of_ones_own_is_left_out_and_said(head, record):
    reference = record(head)
    assert "layer.1.output" in {stage for values in reference.runs["float32"].values() for stage in values}
    assert not any("logits" in stage for values in reference.runs["float32"].values() for stage in values)
    (note,) = (note for note in reference.notes if "a head that is not known" in note)
    assert all(name in note for name in head)


@pytest.mark.parametrize("name", ["bert/encoder/layer_0/adapter/kernel", "bert/adapter_norm/gamma"])
def test_a_variable_inside_the_encoder_is_refused(name, record):
    with pytest.raises(ParityError, match="would leave out"):
        record({name: (H, H)})


def test_parts_are_found_under_other_names_too():
    source = FIXTURES / "refused" / "bft2_adapters.h5"
    with open_checkpoint(source) as checkpoint:
        variables = StoredVariables(checkpoint)
        training = find_state(variables.shapes, {}, ())
        bert = with_rest(find_bert(variables.shapes, "x", training=training), variables, training)
    assert len(bert.unread) == 8  # of one layer
    assert all("adapter" in name for name in bert.unread)
    assert bert.beside == ()


@pytest.mark.parametrize("partly", [False, True])
def test_weights_that_have_an_average_are_not_beside_it(partly):
    """With the averages, whose names are longer, the weights themselves are not left over."""
    with open_checkpoint(FIXTURES / "hf351_token" / "source") as checkpoint:
        variables = StoredVariables(checkpoint)
        averages = {f"{name}/ExponentialMovingAverage" for name in variables.shapes if not partly or "kernel" in name}
        for name in averages:
            variables.shapes[name] = variables.shapes[name.rpartition("/")[0]]
            variables.dtypes[name] = variables.dtypes[name.rpartition("/")[0]]
        training = find_state(variables.shapes, {}, ())
        bert = with_rest(find_bert(variables.shapes, "x", ema=True, training=training), variables, training)
    assert (bert.unread, bert.beside) == ((), ())
    assert bert.averages.keys() == averages == {name for name in bert.variables.values() if "Average" in name}


@pytest.fixture(scope="module", params=["pooled_output", "sequence_output", "first token", "tanh"])
def with_graph(request, tmp_path_factory):
    """A BERT with a linear head of its own on one of its outputs: its folder, what the head reads, and its logits."""
    folder, tf1 = tmp_path_factory.mktemp("graph"), tf.compat.v1
    with tf.Graph().as_default():
        _, outputs = graph(layers=1, static=False)
        states = outputs["sequence_output"]
        read = {"first token": states[:, 0], "tanh": states}.get(request.param, outputs.get(request.param))
        width = read.shape[-1]
        with tf1.variable_scope("my_head/dense"):
            kernel = tf1.get_variable("kernel", [width, 3], initializer=tf1.random_normal_initializer())
            bias = tf1.get_variable("bias", [3], initializer=tf1.random_normal_initializer())
        (tf.nn.tanh if request.param == "tanh" else tf.nn.sigmoid)(tf.tensordot(read, kernel, 1) + bias)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            tf1.train.Saver().save(session, str(folder / "model.ckpt"))
    (folder / "bert_config.json").write_text(json.dumps(Spec(layers=1).bert_config))
    return folder, request.param


def test_a_linear_head_is_compared_where_a_graph_shows_what_it_reads(with_graph, tmp_path):
    folder, read = with_graph
    classes = {"pooled_output": "BertForSequenceClassification", "sequence_output": "BertForTokenClassification"}
    right = classes.pop(read, "BertModel")
    for wrong in classes.values():
        with pytest.raises(
            PlanError, match=r"the graph (computes one result per|puts it on single tokens|puts an activation)"
        ):
            bridgeckpt.plan(folder, architecture=wrong)
    done = bridgeckpt.convert(folder, tmp_path / "out", architecture=right)
    verdict = bridgeckpt.verify(folder, done.path)
    assert verdict.passed
    compared = {"logits", "token_logits"} & {stage.name for stage in verdict.stages}
    if right == "BertModel":
        assert read == "tanh" or not compared
        assert read == "tanh" or any("a head that is not known" in note for note in verdict.notes)
    else:
        assert compared
        assert any("as the graph computes it" in note for note in done.plan.notes)

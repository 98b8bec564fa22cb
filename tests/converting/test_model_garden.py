"""TensorFlow's Model Garden: which head a checkpoint has, its optimizers, and the samples that it wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from parity import TOLERANCE, load, outputs, worst
from paths import FIXTURES
from tfwrite import tensorflow

import bridgeckpt
from bridgeckpt.errors import ConfigError, PlanError
from bridgeckpt.formats.tensorflow.objectgraph import parse_object_graph

INPUTS = {"input_ids", "attention_mask", "token_type_ids"}

SIZES = {
    "vocab_size": 61,
    "hidden_size": 24,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    "num_hidden_layers": 2,
}

# The class that each sample is of.
SAMPLES = {
    "mg23_encoder": "BertModel",
    "mg_bertencoder_v2": "BertModel",
    "mg_classifier_head": "BertForSequenceClassification",
    "mg_hub_savedmodel/saved_model": "BertForPreTraining",
    "mg_pretrainer_v2_items": "BertForPreTraining",
}


@pytest.mark.parametrize("case", SAMPLES)
@pytest.mark.slow
def test_golden_sample(case, samples, tmp_path):
    source = samples / "golden" / case
    folder = samples / "golden" / Path(case).parts[0]
    golden = dict(np.load(folder / "golden.npz"))
    done = bridgeckpt.convert(source, tmp_path / "out")
    assert done.plan.architecture.name == SAMPLES[case]
    expected = {name: value for name, value in golden.items() if name not in INPUTS}
    found = outputs(load(tmp_path / "out"), golden)
    found["layers"] = found["hidden_states"][1:]
    shares = worst(found, expected, golden["attention_mask"])
    assert max(shares.values()) <= TOLERANCE, shares


@pytest.mark.parametrize(
    ("case", "slots"),
    [("mg_classifier", 82), ("mg23_classifier", 82), ("mg_span_labeler", 82), ("mg_averages", 41)],
)
def test_state_of_every_optimizer_is_a_slot_of_its_weight(case, slots):
    plan = bridgeckpt.plan(FIXTURES / case / "source")
    assert plan.ledger.source_counts()["average" if case == "mg_averages" else "slot"] == slots
    weights = {slot.weight for slot in plan.checkpoint.slots.values()}
    assert weights <= {name for name, state in plan.ledger.sources.items() if state in ("mapped", "excluded")}


def test_a_classifier_of_2020_may_be_one_of_tokens():
    plan = bridgeckpt.plan(FIXTURES / "mg23_token_classifier" / "source")
    assert plan.architecture.name == "BertForSequenceClassification"
    assert any('architecture="BertForTokenClassification"' in warning for warning in plan.warnings)


@pytest.mark.parametrize("case", ["mg_span_labeler", "mg_token_classifier", "mg_classifier", "mg23_span_labeler"])
def test_the_objects_tell_the_head(case):
    told = json.loads((FIXTURES / case / "case.json").read_text())["architecture"]
    plan = bridgeckpt.plan(FIXTURES / case / "source")
    assert plan.architecture.name == told
    assert any(note.startswith(f"{told}: ") for note in plan.notes)


def test_a_pooler_that_the_head_does_not_read_is_ignored_with_its_reason():
    plan = bridgeckpt.plan(FIXTURES / "mg_classifier_own_pooler" / "source")
    ignored = [name for name, state in plan.ledger.sources.items() if state == "ignored" and "pooler" in name]
    assert len(ignored) == 2
    assert all("it has its own" in plan.ledger.reasons[name] for name in ignored)


def named(folder, **variables):
    """A checkpoint of zeros under these keys, each with its own name."""
    tf = tensorflow()
    made = {key: tf.Variable([0.0], name=name) for key, name in variables.items()}
    return tf.train.Checkpoint(**made).save(str(folder / "ckpt"))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("embedding_projection/kernel", "the embeddings are narrower"),
        ("funnel_transformer_encoder_1/word_embeddings/embeddings", "FunnelTransformerEncoder shortens"),
        ("f_net/word_embeddings/embeddings", "FNet mixes"),
        ("sparse_mixer/word_embeddings/embeddings", "SparseMixer mixes"),
    ],
)
@pytest.mark.slow
def test_what_no_class_computes_is_refused_by_name(tmp_path, more, reason):
    prefix = named(tmp_path, a="transformer/layer_0/self_attention_layer_norm/gamma", b=more)
    with pytest.raises(PlanError, match=reason) as caught:
        bridgeckpt.plan(prefix)
    assert [problem.kind for problem in caught.value.problems] == ["refused"]


def test_a_norm_before_attention_is_refused(tmp_path):
    source = FIXTURES / "mg_encoder_v2" / "source"
    shutil.copytree(source, tmp_path / "copy")
    params = tmp_path / "copy" / "params.yaml"
    params.write_text(params.read_text().replace("norm_first: false", "norm_first: true"))
    with pytest.raises(ConfigError, match="norm_first = true"):
        bridgeckpt.plan(tmp_path / "copy")


def test_the_activation_of_params_yaml():
    plan = bridgeckpt.plan(FIXTURES / "mg_encoder_v1_relu" / "source")
    assert plan.configuration is not None
    assert plan.configuration.values["hidden_act"] == "relu"


def test_every_size_is_solved_without_a_config():
    plan = bridgeckpt.plan(FIXTURES / "mg_pretrainer" / "source")
    assert not list((FIXTURES / "mg_pretrainer" / "source").glob("*.[jy]*"))
    assert {key: plan.sizes.values[key] for key in SIZES} == SIZES


@pytest.mark.slow
def test_state_of_a_keras_optimizer_is_no_second_model(tmp_path):
    tf = tensorflow()
    weight = "transformer/layer_0/self_attention_layer_norm/gamma"
    holder = tf.Module()
    holder._variables = [tf.Variable(0, name="iteration"), tf.Variable([0.0], name=f"Adam/m/{weight}")]
    holder.other = [tf.Variable([0.0], name=f"Adam/m/{weight}_2")]
    root = tf.train.Checkpoint(model=tf.Variable([0.0], name=weight), optimizer=holder)
    view = bridgeckpt.open_checkpoint(root.save(str(tmp_path / "ckpt"))).by_variable()
    assert {name: tuple(slot) for name, slot in view.slots.items()} == {f"Adam/m/{weight}": (weight, "m")}


@pytest.mark.slow
def test_the_objects_of_a_checkpoint(tmp_path):
    tf = tensorflow()
    dense, model = tf.Module(), tf.Module()
    dense.kernel = tf.Variable([0.0])
    model.first = dense
    model.second = dense
    objects = bridgeckpt.open_checkpoint(tf.train.Checkpoint(model=model).save(str(tmp_path / "ckpt"))).objects
    assert {"model", "model/first", "model/second", "model/first/kernel", "model/second/kernel"} <= objects


def test_a_graph_of_objects_in_a_circle_ends():
    def node(*children):
        proto = b"".join(
            b"\x0a" + bytes([4 + len(name)]) + b"\x08" + bytes([to]) + b"\x12" + bytes([len(name)]) + name
            for name, to in children
        )
        return b"\x0a" + bytes([len(proto)]) + proto

    graph = parse_object_graph(node((b"a", 1), (b"x", 9)) + node((b"back", 0), (b"self", 1)))
    assert graph.objects == {"a", "x", "a/back", "a/back/a", "a/back/x", "a/self", "a/self/back", "a/self/self"}

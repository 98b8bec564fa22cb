"""Dialects of Keras models: KerasHub and KerasNLP, keras-bert, bert-for-tf2, Model Garden saved by tf-keras.

That each computes what its code computed is in test_fixtures.py. Here: what is refused and why, what the files say of
the model, heads that a user put on top, and the published samples.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from parity import TOLERANCE, assert_parity, load, outputs, worst
from paths import FIXTURES

import bridgeckpt
from bridgeckpt.converting.inspection import inspect
from bridgeckpt.errors import PlanError

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def golden_of(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The inputs with their outputs, and the outputs alone."""
    golden = dict(np.load(folder / "golden.npz"))
    return golden, {name: value for name, value in golden.items() if name not in INPUTS}


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("name", ["model.h5", "tf_ckpt"])
@pytest.mark.slow
def test_the_sample_of_bert_for_tf2(name, samples, tmp_path):
    folder = samples / "golden" / "bft2_bert"
    done = bridgeckpt.convert(folder / name, tmp_path / "out")
    assert done.plan.table.name == "bert/bert_for_tf2"
    assert any("has no pooler" in note for note in done.plan.notes)
    golden, expected = golden_of(folder)
    assert_parity(tmp_path / "out", golden, expected, add_pooling_layer=False)


@pytest.mark.parametrize("name", ["model_weights.h5", "model_full.h5"])
@pytest.mark.slow
def test_the_sample_of_keras_bert(name, samples, tmp_path):
    folder = samples / "golden" / "kerasbert_pretrain"
    done = bridgeckpt.convert(folder / name, tmp_path / "out")
    assert (done.plan.table.name, done.plan.architecture.name) == ("bert/keras_bert", "BertForPreTraining")
    golden, expected = golden_of(folder)
    found = outputs(load(tmp_path / "out"), golden)
    for head in ("mlm", "nsp"):  # keras-bert ends in probabilities
        found[f"{head}_probabilities"] = softmax(found[f"{head}_logits"])
    assert max(worst(found, expected, golden["attention_mask"]).values()) <= TOLERANCE


@pytest.mark.parametrize("name", ["preset", "preset/model.weights.h5"])
@pytest.mark.slow
def test_the_sample_of_keras_hub(name, samples, tmp_path):
    folder = samples / "golden" / "kh_bert_backbone"
    done = bridgeckpt.convert(folder / name, tmp_path / "out")
    assert (done.plan.table.name, done.plan.architecture.name) == ("bert/keras_hub", "BertModel")
    assert_parity(tmp_path / "out", *golden_of(folder))


def test_the_state_of_a_keras_3_optimizer_is_told_by_its_names():
    """It is in a list, and named after weights whose slashes have become underscores."""
    plan = bridgeckpt.plan(FIXTURES / "kerashub_checkpoint" / "source")
    tensors, slots = plan.checkpoint.tensors, plan.checkpoint.slots
    assert {slot.name for slot in slots.values()} == {"momentum", "velocity"}
    assert {slot.weight for slot in slots.values()} == {
        source for one in plan.ledger.assignments for source in one.sources
    }
    for name, slot in slots.items():
        assert name == f"adamw/{slot.weight.replace('/', '_')}_{slot.name}"
        assert tensors[name].shape == tensors[slot.weight].shape
    assert plan.ledger.source_counts()["slot"] == 82


def test_a_published_model_that_no_class_computes_is_refused_by_what_it_computes(samples):
    with pytest.raises(PlanError, match='Encoder-1-MultiHeadSelfAttention with activation = "gelu"'):
        bridgeckpt.plan(samples / "real" / "kerasbert-h5-e" / "test_bert_fit.h5")


def test_the_masked_lm_head_of_keras_hub_is_refused_with_the_reason():
    with pytest.raises(
        PlanError, match="erf and adds 1e-5 to the variance over an encoder with tanh and 1e-12"
    ) as caught:
        bridgeckpt.plan(FIXTURES / "kerashub_masked_lm" / "source" / "masked_lm.weights.h5")
    assert [problem.kind for problem in caught.value.problems] == ["refused"]
    assert 'architecture="BertModel"' in str(caught.value)


def test_the_tensors_of_a_refused_head_are_accounted_for_in_a_class_without_it():
    path = FIXTURES / "kerashub_masked_lm" / "source" / "masked_lm.weights.h5"
    plan = bridgeckpt.plan(path, architecture="BertModel")
    excluded = {name for name, state in plan.ledger.sources.items() if state == "excluded"}
    assert {name.split("/")[1] for name in excluded} == {"masked_lm_head"}
    assert len(excluded) == 5


@pytest.mark.parametrize(("name", "reason"), [("bft2_adapters.h5", "adapter-BERT"), ("bft2_albert.h5", "ALBERT")])
def test_variants_of_bert_for_tf2_are_refused_by_name(name, reason):
    with pytest.raises(PlanError, match=reason) as caught:
        bridgeckpt.plan(FIXTURES / "refused" / name)
    assert "bert/bert_for_tf2 cannot convert" in str(caught.value)
    assert {problem.kind for problem in caught.value.problems} == {"refused"}
    assert inspect(FIXTURES / "refused" / name).refusal is not None


def test_a_head_of_the_users_own_is_not_guessed_at(tmp_path):
    path = FIXTURES / "bft2_classifier" / "source" / "weights.h5"
    with pytest.raises(PlanError) as caught:
        bridgeckpt.plan(path)
    assert {problem.kind for problem in caught.value.problems} == {"unmapped"}
    names = {name for problem in caught.value.problems for name in problem.tensors}
    assert names == {"dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"}


TABLE = """
schema = 1
title  = "bert-for-tf2 with the two dense layers of its examples"
model  = "bert/model"
use    = "bert/bert_for_tf2"

[group.pooler]
tf   = "dense/"
pt   = "bert.pooler."
rows = [
  { tf = "kernel", pt = "dense.weight", layout = "hidden pooled -> pooled hidden" },
  { tf = "bias",   pt = "dense.bias",   layout = "pooled" },
]

[group.classifier]
tf   = "dense_1/"
pt   = "classifier."
rows = [
  { tf = "kernel", pt = "weight", layout = "hidden labels -> labels hidden" },
  { tf = "bias",   pt = "bias",   layout = "labels" },
]
"""


@pytest.mark.slow
def test_a_head_of_the_users_own_is_converted_by_a_table_of_theirs(tmp_path):
    table = tmp_path / "mine.toml"
    table.write_text(TABLE)
    path = FIXTURES / "bft2_classifier" / "source" / "weights.h5"
    done = bridgeckpt.convert(path, tmp_path / "out", mapping=table, architecture="BertForSequenceClassification")
    assert done.plan.sizes.axes["labels"] == 5
    assert_parity(tmp_path / "out", *golden_of(FIXTURES / "bft2_classifier"))


def test_a_whole_model_of_keras_bert_says_its_heads_activation_and_epsilon(tmp_path):
    done = bridgeckpt.convert(FIXTURES / "kerasbert_whole" / "source" / "model.h5", tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["num_attention_heads"] == 3
    assert config["layer_norm_eps"] == pytest.approx(1e-14)
    assert config["hidden_act"] == "gelu_pytorch_tanh"
    assert done.plan.sizes.origin["num_attention_heads"] == "model_config"
    assert any("before 0.83" in warning for warning in done.plan.warnings), "which gelu it was is a guess: it is said"


def test_an_asked_activation_leaves_no_doubt_to_say():
    plan = bridgeckpt.plan(FIXTURES / "kerasbert_old" / "source", hidden_act="gelu")
    assert list(plan.configuration.assumed) == ["layer_norm_eps"]


def test_the_weights_of_keras_bert_alone_need_to_be_told_the_heads(tmp_path):
    shutil.copy(FIXTURES / "kerasbert_encoder" / "source" / "encoder.h5", tmp_path)
    with pytest.raises(PlanError, match="number of attention heads is unknown"):
        bridgeckpt.plan(tmp_path / "encoder.h5")
    assert bridgeckpt.plan(tmp_path / "encoder.h5", heads=3).architecture.name == "BertModel"


@pytest.mark.parametrize("case", ["kerashub_backbone", "kerashub_archive", "kerashub_whole_h5", "kerashub_classifier"])
def test_what_the_config_of_keras_hub_says_is_checked_and_handed_on(case, tmp_path):
    facts = json.loads((FIXTURES / case / "case.json").read_text())
    done = bridgeckpt.convert(FIXTURES / case / facts["source"], tmp_path / "out")
    sizes = done.plan.sizes
    assert set(sizes.origin.values()) <= {"config.json", "task.json", "model_config"}, sizes.origin
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["hidden_dropout_prob"] == 0.1
    assert not any("not handed on" in note for note in done.plan.notes)


def test_a_config_of_another_model_is_a_problem(tmp_path):
    shutil.copytree(FIXTURES / "kerashub_backbone" / "source", tmp_path / "preset")
    path = tmp_path / "preset" / "config.json"
    path.write_text(path.read_text().replace('"hidden_dim": 24', '"hidden_dim": 36'))
    with pytest.raises(PlanError, match=r"hidden_size = 36 \(config.json\), but the checkpoint makes it 24"):
        bridgeckpt.plan(tmp_path / "preset")


def test_the_class_is_told_by_the_layers_where_names_are_alike():
    token = bridgeckpt.plan(FIXTURES / "tfkeras_token_classifier" / "source" / "model.weights.h5")
    sequence = bridgeckpt.plan(FIXTURES / "kerashub_classifier" / "source")
    assert token.architecture.name == "BertForTokenClassification"
    assert sequence.architecture.name == "BertForSequenceClassification"


def test_a_gap_in_the_numbers_of_the_layers_is_not_the_end_of_them():
    """Keras 2 numbers every layer of its kind that it walks over: transformer_encoder, transformer_encoder_2."""
    path = FIXTURES / "kerasnlp_classifier" / "source" / "classifier.weights.h5"
    with h5py.File(path) as file:
        layers = [name for name in file["_backbone/_layer_checkpoint_dependencies"] if "encoder" in name]
    assert "transformer_encoder_1" not in layers, "the fixture has the gap"
    assert bridgeckpt.plan(path).sizes.values["num_hidden_layers"] == len(layers) == 2


def test_the_copies_of_shared_embeddings_are_compared():
    plan = bridgeckpt.plan(FIXTURES / "tfkeras_pretrainer_legacy" / "source" / "model.h5")
    assert set(plan.copies.values()) == {"bert_encoder_v2_1/word_embeddings/embeddings"}, "stored with each layer"


def test_a_layer_of_a_whole_model_may_have_a_prefix(tmp_path):
    """bert4keras' ``prefix`` stands before the name of every layer of one model."""
    path = tmp_path / "model.h5"
    shutil.copy(FIXTURES / "b4k_whole" / "source" / "model.h5", path)
    with h5py.File(path, "r+") as file:
        description = json.loads(file.attrs["model_config"])
        for layer in description["config"]["layers"]:
            layer["name"] = layer["config"]["name"] = f"Student-{layer['name']}"
        file.attrs["model_config"] = json.dumps(description)
    values = bridgeckpt.plan(path).configuration.values
    assert (values["num_attention_heads"], values["hidden_act"]) == (3, "gelu_pytorch_tanh")

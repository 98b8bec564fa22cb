"""What transformers' TensorFlow BERT classes wrote, beyond that it converts: repeated variables, classes, own files."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest
from paths import FIXTURES

import bridgeckpt
from bridgeckpt.errors import ConfigError, PlanError


@pytest.fixture
def source(tmp_path):
    """A copy of a fixture's source."""

    def copied(case):
        folder = tmp_path / "source"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(FIXTURES / case / "source", folder)
        return folder

    return copied


def stating(folder, **values):
    """The folder, with other values in its config; a version of None takes it out."""
    config = {**json.loads((folder / "config.json").read_text()), **values}
    kept = {key: value for key, value in config.items() if (key, value) != ("transformers_version", None)}
    (folder / "config.json").write_text(json.dumps(kept))
    return folder


# A tied variable is stored with each layer that uses it


def copies(folder):
    """The datasets of the word embeddings in a tf_model.h5."""
    with h5py.File(folder / "tf_model.h5") as file:
        found = []
        file.visititems(lambda name, _: found.append(name) if name.endswith("word_embeddings/weight:0") else None)
    return found


def test_a_repeated_variable_is_told_and_stored_once(source):
    folder = source("hf440_masked_lm")
    plan = bridgeckpt.plan(folder)
    words = "tf_bert_for_masked_lm/bert/embeddings/word_embeddings/weight:0"
    assert len(copies(folder)) == 2
    assert plan.ledger.sources[words.removesuffix(":0")] == "mapped"
    assert plan.ledger.sources[f"mlm___cls/{words}"] == "copy"
    assert plan.ledger.reasons[f"mlm___cls/{words}"] == f"the same variable as {words.removesuffix(':0')}"
    assert sum(plan.ledger.source_counts().values()) == len(bridgeckpt.open_checkpoint(folder))


@pytest.mark.parametrize("at", [0, -1], ids=["first", "last"])
def test_copies_that_differ_are_refused_before_anything_is_written(at, source, tmp_path):
    folder = source("hf440_masked_lm")
    with h5py.File(folder / "tf_model.h5", "r+") as file:
        file[copies(folder)[1]][at, at] += 1
    with pytest.raises(bridgeckpt.CheckpointError, match="twice, and not the same both times") as caught:
        bridgeckpt.convert(folder, tmp_path / "out")
    for name in copies(folder):
        assert name in str(caught.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(bridgeckpt.CheckpointError, match="twice"):
        bridgeckpt.load_state_dict(folder)


# The class


def naming(folder, architectures):
    """The folder, with another class in its config."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": architectures}))
    return folder


@pytest.mark.parametrize("named", [["BertForMaskedLM"], None])
def test_the_class_is_the_scopes_where_the_tensors_fit_no_other(named, source):
    plan = bridgeckpt.plan(naming(source("hf200_sequence"), named))
    assert plan.architecture.name == "BertForSequenceClassification"
    assert any("although config.json says BertForMaskedLM" in warning for warning in plan.warnings) == (
        named is not None
    )


@pytest.mark.parametrize("named", ["BertForTokenClassification", "TFBertForTokenClassification"])
@pytest.mark.parametrize("taken", ["BertForSequenceClassification", "BertForTokenClassification"])
def test_two_classes_that_fit_the_tensors_are_refused_until_one_is_said(named, taken, source):
    folder = naming(source("hf200_sequence"), [named])
    with pytest.raises(PlanError) as caught:
        bridgeckpt.plan(folder)
    (problem,) = caught.value.problems
    assert problem.kind == "class"
    assert "BertForSequenceClassification by the names of its variables" in problem.subject
    assert "BertForTokenClassification by config.json" in problem.subject
    assert problem.settings == ("architecture",)
    plan = bridgeckpt.plan(folder, architecture=taken)
    assert plan.architecture.name == taken
    assert not any("although" in warning for warning in plan.warnings)


# Its own config and tokenizer


def test_the_config_is_handed_on(source, tmp_path):
    folder = source("hf440_next_sentence")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "task_specific_params": {"a": 1}, "hidden_act": "relu"}))
    bridgeckpt.convert(folder, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["task_specific_params"] == {"a": 1}
    assert written["hidden_act"] == "relu"
    assert written["layer_norm_eps"] == config["layer_norm_eps"] == 1e-5
    assert "transformers_version" not in written


@pytest.mark.parametrize(
    ("key", "said", "computed"),
    [
        ("position_embedding_type", "relative_key", "absolute"),
        ("tie_word_embeddings", False, True),
        ("chunk_size_feed_forward", 3, 0),
        ("return_dict", False, True),
        ("add_cross_attention", True, False),
        ("pad_token_id", 10**6, None),
    ],
)
def test_what_tensorflow_always_computes_with_is_written_whatever_the_config_says(source, key, said, computed):
    folder = stating(source("hf440_next_sentence"), **{key: said})
    plan = bridgeckpt.plan(folder)
    assert plan.configuration.values[key] == computed
    assert any(f"{key} = {json.dumps(computed)} is written, not {json.dumps(said)}" in text for text in plan.warnings)
    assert not plan.unproven


@pytest.mark.parametrize(
    ("version", "causal", "unproven"), [("4.40.2", True, ()), ("4.11.3", False, ()), (None, False, ("is_decoder",))]
)
def test_a_causal_mask_came_with_a_version(source, version, causal, unproven):
    folder = stating(source("hf440_lm_head"), is_decoder=True, transformers_version=version)
    plan = bridgeckpt.plan(folder)
    assert plan.configuration.values["is_decoder"] is causal
    assert plan.unproven == unproven
    assert any("is_decoder" in warning for warning in plan.warnings) is not causal


@pytest.mark.parametrize("value", [{"load_in_8bit": True}, {}])
def test_what_tells_pytorch_how_to_load_a_model_is_not_written(source, value):
    folder = stating(source("hf440_next_sentence"), quantization_config=value)
    plan = bridgeckpt.plan(folder)
    assert "quantization_config" not in plan.configuration.values
    assert len(plan.warnings) == bool(value)


@pytest.mark.parametrize(("key", "value"), [("is_decoder", "no"), ("pad_token_id", "0"), ("eos_token_id", [1, None])])
def test_flags_and_ids_of_other_types_are_errors(source, key, value):
    with pytest.raises(ConfigError, match=f"{key} = .* is expected"):
        bridgeckpt.plan(stating(source("hf440_next_sentence"), **{key: value}))


def test_numbers_and_flags_are_written_with_the_types_that_transformers_5_asks_for(source):
    folder = stating(source("hf440_next_sentence"), is_decoder=None, use_cache=1, initializer_range=0)
    values = bridgeckpt.plan(folder).configuration.values
    assert (values["is_decoder"], values["use_cache"]) == (False, True)
    assert isinstance(values["initializer_range"], float)


def test_gelu_is_the_error_function(source):
    plan = bridgeckpt.plan(source("hf440_next_sentence"))
    assert plan.configuration.values["hidden_act"] == "gelu"
    assert plan.configuration.provenance["hidden_act"] == "read from the config"


@pytest.mark.slow
def test_the_tokenizer_is_handed_on_byte_for_byte(source, tmp_path):
    folder = source("hf440_next_sentence")
    bridgeckpt.convert(folder, tmp_path / "out")
    names = {"special_tokens_map.json", "tokenizer_config.json", "vocab.txt"}
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names} == {
        name: (folder / name).read_bytes() for name in names
    }
    assert not (tmp_path / "out" / "tokenizer.json").exists()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("word3 WORD3")["input_ids"] == [2, 8, 1, 3]  # cased, as it was


def test_a_tokenizer_is_made_where_there_is_only_a_vocabulary_or_the_casing_is_asked_for(source, tmp_path):
    folder = source("hf200_pretraining")
    bridgeckpt.convert(folder, tmp_path / "bare")
    assert (tmp_path / "bare" / "tokenizer.json").is_file()
    folder = source("hf440_next_sentence")
    bridgeckpt.convert(folder, tmp_path / "asked", lowercase=True)
    assert json.loads((tmp_path / "asked" / "tokenizer_config.json").read_text())["do_lower_case"] is True


def test_a_folder_with_handed_on_files_can_be_replaced(source, tmp_path):
    folder = source("hf440_lm_head")
    bridgeckpt.convert(folder, tmp_path / "out")
    assert (tmp_path / "out" / "generation_config.json").is_file()
    bridgeckpt.convert(folder, tmp_path / "out", force=True)


# Pytorch's own safetensors are no source


def test_weights_of_pytorch_beside_a_config_are_no_tensorflow_checkpoint(source, tmp_path):
    folder = source("hf440_safetensors")
    bridgeckpt.convert(folder, tmp_path / "out")
    with pytest.raises(bridgeckpt.BridgeckptError, match="is a PyTorch folder"):
        bridgeckpt.convert(tmp_path / "out", tmp_path / "again")
    assert bridgeckpt.diff(folder, tmp_path / "out").same


def test_values_are_those_that_h5py_reads(source):
    folder = source("hf351_model")
    state = bridgeckpt.load_state_dict(folder)
    with h5py.File(folder / "tf_model.h5") as file:
        stored = file["bert/tf_bert_model/bert/encoder/layer_._1/intermediate/dense/kernel:0"][()]
    np.testing.assert_array_equal(state["encoder.layer.1.intermediate.dense.weight"], stored.T)


# A model of transformers by rules takes nothing but its config's word


def test_what_the_config_says_cannot_be_asked_for_otherwise(samples):
    with pytest.raises(bridgeckpt.PlanError, match="heads= and hidden_act= cannot be given here"):
        bridgeckpt.plan(samples / "golden" / "hf_electra_disc", heads=4, hidden_act="relu")

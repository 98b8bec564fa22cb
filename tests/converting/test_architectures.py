"""TensorFlow classes of transformers 4, other than BERT's: converted by the general rules and run in PyTorch.

``fixtures/make_architectures.py`` ran each model with weights drawn from their names and kept what it computed, but not
the weights: the file that ``save_pretrained`` wrote is written again here, from its layout.
"""

from __future__ import annotations

import json

import pytest
from architectures import FOLDER, configured, differences, write_source

import bridgeckpt
from bridgeckpt.errors import PlanError

pytestmark = pytest.mark.slow  # its classes are those of transformers

CASES = sorted(path.stem for path in FOLDER.glob("*.json"))
TOLERANCE = 3e-5
# Where the two classes of transformers differ for the same weights: the tanh approximation for the error function.
TOLERANCES = {"OpenAIGPTLMHeadModel": 1e-3}
# What cannot be converted, and what the refusal says.
REFUSED = dict.fromkeys(("EfficientFormerForImageClassification", "TransfoXLLMHeadModel"), "has no PyTorch class")


@pytest.mark.parametrize("case", [case for case in CASES if case not in REFUSED])
def test_it_converts_and_computes_what_tensorflow_computed(case, tmp_path):
    done = bridgeckpt.convert(write_source(case, tmp_path / "source"), tmp_path / "out")
    assert done.plan.table.name == "transformers/general"
    assert done.plan.architecture.name == case
    shares = differences(case, tmp_path / "out")
    assert shares
    assert {name: share for name, share in shares.items() if not share <= TOLERANCES.get(case, TOLERANCE)} == {}
    assert (case in TOLERANCES) == any("TFOpenAIGPT" in warning for warning in done.plan.warnings)


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_cannot_be_settled_is_refused(case, tmp_path):
    with pytest.raises(PlanError, match=REFUSED[case]):
        bridgeckpt.plan(write_source(case, tmp_path / "source"))


def test_a_class_that_is_asked_for(tmp_path):
    plan = bridgeckpt.plan(write_source("ElectraForMaskedLM", tmp_path / "source"), architecture="ElectraModel")
    assert plan.architecture.name == "ElectraModel"
    excluded = [name for name, state in plan.ledger.sources.items() if state == "excluded"]
    assert excluded
    assert all("electra/electra" not in name and "generator" in name for name in excluded)


def test_a_config_of_another_size_is_refused(tmp_path):
    source = write_source("ElectraModel", tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "intermediate_size": 44}))
    with pytest.raises(PlanError, match=r"is \[44, 24\]"):
        bridgeckpt.plan(source)


def test_a_tensor_that_the_class_lacks_and_a_parameter_that_is_missing(tmp_path):
    source = write_source("ElectraModel", tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    with pytest.raises(PlanError, match=r"unmapped .*layer_._1"):
        bridgeckpt.plan(source)
    (source / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(PlanError, match=r"missing .*encoder.layer.2"):
        bridgeckpt.plan(source)


# Flags that TensorFlow's classes do not read: what they computed without them, they compute with them.
UNREAD = {
    "AlbertForMaskedLM": {"tie_word_embeddings": False, "chunk_size_feed_forward": 2},
    "CamembertForMaskedLM": {"transformers_version": "4.11.3", "is_decoder": True},
    "ConvBertModel": {"is_decoder": True, "add_cross_attention": True},
    "DebertaForMaskedLM": {"legacy": False},
    "DebertaV2ForMaskedLM": {"legacy": False},
    "FlaubertModel": {"is_encoder": False},
    "GPT2LMHeadModel": {"scale_attn_by_inverse_layer_idx": True, "scale_attn_weights": False},
    "HubertModel": {"feat_proj_layer_norm": False, "conv_pos_batch_norm": True},
    "MarianMTModel": {"share_encoder_decoder_embeddings": False},
    "OPTForCausalLM": {"enable_bias": False, "layer_norm_elementwise_affine": False},
    "ResNetForImageClassification": {"downsample_in_bottleneck": True},
    "RoFormerForMaskedLM": {"is_decoder": True, "add_cross_attention": True},
    "ViTModel": {"qkv_bias": False, "pooler_act": "relu"},
    "Wav2Vec2Model": {"add_adapter": True},
    "XLNetLMHeadModel": {"tie_word_embeddings": False},
}


@pytest.mark.parametrize("case", UNREAD)
def test_a_flag_that_tensorflow_does_not_read_is_told_and_changes_nothing(case, tmp_path):
    done = bridgeckpt.convert(configured(write_source(case, tmp_path / "source"), **UNREAD[case]), tmp_path / "out")
    flags = UNREAD[case].keys() - {"transformers_version"}
    told = {warning.partition(" = ")[0] for warning in done.plan.warnings if "is written, not" in warning}
    assert flags <= told
    assert not done.plan.unproven
    assert max(differences(case, tmp_path / "out").values()) <= TOLERANCE


def test_a_flag_of_a_model_inside_the_model(tmp_path):
    source = write_source("EncoderDecoderModel", tmp_path / "source")
    encoder = json.loads((source / "config.json").read_text())["encoder"]
    done = bridgeckpt.convert(configured(source, encoder={**encoder, "chunk_size_feed_forward": 2}), tmp_path / "out")
    assert any(warning.startswith("encoder.chunk_size_feed_forward = 0 is written") for warning in done.plan.warnings)
    assert max(differences("EncoderDecoderModel", tmp_path / "out").values()) <= TOLERANCE


@pytest.mark.parametrize(
    ("case", "flags"),
    [
        ("CTRLLMHeadModel", {"layer_norm_epsilon": 1e-3}),
        ("LayoutLMForMaskedLM", {"is_decoder": True}),
        ("HubertModel", {"layer_norm_eps": 1e-3}),
        ("LxmertModel", {"layer_norm_eps": 1e-5}),
        ("MT5ForConditionalGeneration", {"tie_word_embeddings": True}),
        ("PegasusForConditionalGeneration", {"normalize_before": False, "transformers_version": "4.1.1"}),
        ("ResNetForImageClassification", {"hidden_act": "gelu"}),
        ("SamModel", {"mask_decoder_config": {"layer_norm_eps": 1e-3}}),
        ("Wav2Vec2Model", {"layer_norm_eps": 1e-3}),
        ("MPNetForMaskedLM", {"relative_attention_num_buckets": 33}),
    ],
)
def test_a_config_that_pytorch_does_not_compute_is_refused(case, flags, tmp_path):
    with pytest.raises(PlanError, match=rf"refused +{next(iter(flags))}(\.\w+)? = "):
        bridgeckpt.plan(configured(write_source(case, tmp_path / "source"), **flags))


@pytest.mark.parametrize(
    ("case", "flags", "key"),
    [
        ("GPT2LMHeadModel", {"transformers_version": None}, "activation_function"),
        ("XLNetModel", {"transformers_version": None, "ff_activation": "gelu"}, "ff_activation"),
        ("RobertaModel", {"transformers_version": None, "is_decoder": True}, "is_decoder"),
    ],
)
def test_what_depends_on_the_version_is_open_where_the_config_does_not_say_it(case, flags, key, tmp_path):
    plan = bridgeckpt.plan(configured(write_source(case, tmp_path / "source"), **flags))
    assert plan.unproven == (key,)
    assert any(warning.startswith(f"{key} = ") for warning in plan.warnings)


def test_gpt2_of_the_versions_that_always_computed_gelu_by_the_error_function(tmp_path):
    source = configured(write_source("GPT2Model", tmp_path / "source"), transformers_version="4.10.3")
    assert bridgeckpt.plan(source).configuration.values["activation_function"] == "gelu"


def test_a_tied_mt5_is_converted_as_the_t5_that_it_is(tmp_path):
    source = configured(write_source("MT5ForConditionalGeneration", tmp_path / "source"), tie_word_embeddings=True)
    with pytest.raises(PlanError, match="architecture=T5ForConditionalGeneration") as caught:
        bridgeckpt.plan(source)
    assert set(caught.value.settings) >= {"architecture", "config"}
    config = json.loads((source / "config.json").read_text())
    copy = tmp_path / "t5.json"
    copy.write_text(json.dumps({**config, "model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}))
    plan = bridgeckpt.plan(source, config=copy, architecture="T5ForConditionalGeneration")
    assert plan.architecture.name == "T5ForConditionalGeneration"


@pytest.mark.parametrize(("version", "end"), [("4.30.2", 2), ("4.40.2", 4)])
def test_the_end_of_a_text_was_the_token_of_the_highest_id_before_a_version(version, end, tmp_path):
    source = write_source("CLIPTextModel", tmp_path / "source")
    plan = bridgeckpt.plan(configured(source, eos_token_id=4, transformers_version=version))
    assert plan.configuration.values["eos_token_id"] == end
    assert any("eos_token_id" in warning for warning in plan.warnings) is (end == 2)

"""A config that no class can be built from is an error of the package, whatever the code of the class raises."""

from __future__ import annotations

import json

import architectures
import pytest

import bridgeckpt
from bridgeckpt.errors import BridgeckptError, ConfigError
from bridgeckpt.planning.by_rules.target import load_target

pytestmark = pytest.mark.slow

CASES = {
    "FlaubertModel": [("n_heads", 7), ("n_layers", 10**9)],  # an assertion; layers without end
    "BartModel": [("pad_token_id", 10**6), ("decoder_attention_heads", 0)],
    "RobertaModel": [("hidden_size", 0), ("num_hidden_layers", "two"), ("num_labels", 10**9)],
    "ViTModel": [("patch_size", 0), ("image_size", []), ("num_attention_heads", 7)],
    "SwinForImageClassification": [("depths", [10**7, 2]), ("depths", [-1]), ("depths", None)],
    "CLIPModel": [
        ("text_config", []),
        ("vision_config", {"patch_size": 0}),
        ("vision_config", {"num_hidden_layers": 10**8}),
    ],
    "FunnelModel": [("block_sizes", [2]), ("block_sizes", 3), ("block_repeats", [1, 1, 1, 1, 1])],
    "T5Model": [("d_model", "x"), ("feed_forward_proj", None), ("num_heads", {})],
    "GPT2Model": [("n_inner", -5), ("vocab_size", 10**18), ("activation_function", "gelu_of_1999")],
    "Wav2Vec2Model": [("conv_dim", [4]), ("conv_stride", "2"), ("num_feat_extract_layers", 9)],
}


@pytest.mark.parametrize(("case", "key", "value"), [(case, *one) for case, damages in CASES.items() for one in damages])
def test_whatever_a_class_raises_is_an_error_that_says_what_to_do(case, key, value, tmp_path):
    source = architectures.write_source(case, tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(BridgeckptError) as caught:
        bridgeckpt.plan(source)
    assert "config=FILE" in str(caught.value)
    assert bridgeckpt.inspect(source).checkpoint.tensors  # which says why it cannot be converted


@pytest.mark.parametrize("key", ["num_hidden_layers", "vocab_size", "hidden_size", "num_attention_heads"])
@pytest.mark.parametrize("value", [-1, 0, 10**9, None, "x", [], {}, 1.5, 1e400])
def test_a_damaged_number_never_ends_as_another_error(key, value):
    config = json.loads((architectures.FOLDER / "ElectraModel.json").read_text())["config"]
    try:
        load_target({**config, key: value}, "ElectraModel", "the config", 40)
    except ConfigError as error:
        assert "the config" in str(error)


def test_a_model_of_many_layers_is_built_if_the_checkpoint_has_many_tensors():
    config = json.loads((architectures.FOLDER / "ElectraModel.json").read_text())["config"]
    with pytest.raises(ConfigError, match="many more layers than the 40 tensors"):
        load_target({**config, "num_hidden_layers": 400}, "ElectraModel", "the config", 40)
    target = load_target({**config, "num_hidden_layers": 400}, "ElectraModel", "the config", 6400)
    assert len(target.shapes) > 6400

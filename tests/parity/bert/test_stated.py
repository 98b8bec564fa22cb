"""What the proof reads of a model's settings: where converting finds them, in the same order, by code of its own."""

from __future__ import annotations

import json
import shutil

import pytest
from paths import FIXTURES

import bridgeckpt
from bridgeckpt.errors import ConfigError, ParityError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.parity.bert.described import described
from bridgeckpt.parity.bert.graph_heads import with_heads_of_graph
from bridgeckpt.parity.bert.settings import read_settings
from bridgeckpt.parity.bert.variables import find_bert
from bridgeckpt.parity.request import GivenSettings

H5 = FIXTURES / "hf351_model" / "source" / "tf_model.h5"
SAVED = FIXTURES / "hub_transformers" / "source" / "saved_model" / "1"


def bert_of(source):
    with open_checkpoint(source) as checkpoint:
        view = checkpoint.by_variable(without=":0")
        return find_bert({name: of.shape for name, of in view.tensors.items()}, str(source))


def description(heads, **values):
    layer = {"class_name": "TFBertModel", "config": {"model_type": "bert", "num_attention_heads": heads, **values}}
    return json.dumps({"class_name": "Functional", "config": {"layers": [layer]}})


def settings(tmp_path, texts=None, config=None, given=None, **asked):
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    return read_settings(tmp_path, bert_of(H5), given, GivenSettings(**asked), texts)


def test_the_description_inside_the_file_is_believed_before_a_config_beside(tmp_path):
    found = settings(tmp_path, {"model_config": description(3)}, {"num_attention_heads": 2, "layer_norm_eps": 1e-5})
    assert (found.heads, found.origins["heads"]) == (3, "model_config")
    assert (found.layer_norm_eps, found.origins["layer_norm_eps"]) == (1e-5, "config.json")
    assert "num_attention_heads = 3, as model_config says, although config.json says 2" in found.notes


def test_a_config_that_is_given_is_believed_before_the_description(tmp_path):
    file = tmp_path / "other.json"
    file.write_text('{"num_attention_heads": 2}')
    found = settings(tmp_path, {"model_config": description(3, hidden_act="relu")}, given=file)
    assert (found.heads, found.hidden_act) == (2, "relu")
    assert settings(tmp_path, {"model_config": description(3)}, given=file, heads=6).heads == 6


def test_a_config_of_another_model_beside_is_not_read(tmp_path):
    found = settings(tmp_path, None, {"model_type": "roberta", "num_attention_heads": 2})
    assert found.heads == 0
    assert found.notes == ('config.json is not read: it is the config of another model ("roberta")',)
    (tmp_path / "my_bert_config.json").write_text('{"num_attention_heads": 3}')
    assert settings(tmp_path).heads == 3
    with pytest.raises(ParityError, match='"model_type": "roberta"'):
        settings(tmp_path, given=tmp_path / "config.json")


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        (description(3, hidden_act="gelu", layer_norm_eps=1e-12), {"num_attention_heads": 3, "hidden_act": "gelu"}),
        (
            {"class_name": "Text>BertEncoder", "config": {"num_attention_heads": 3, "inner_activation": "Text>gelu"}},
            {"num_attention_heads": 3, "hidden_act": "gelu"},
        ),
        ({"class_name": "BertEncoderV2", "config": {"num_attention_heads": 3, "inner_activation": "<lambda>"}}, {}),
        ({"class_name": "TFRobertaModel", "config": {"num_attention_heads": 3}}, None),
        ("{", None),
    ],
)
def test_descriptions_of_several_codes(text, stated):
    found, name = described({"config.json": text if isinstance(text, str) else json.dumps(text)})
    assert (name == "") == (stated is None)
    assert found.items() >= (stated or {}).items()


def test_two_models_that_differ_say_nothing():
    two = json.dumps({"a": json.loads(description(2)), "b": json.loads(description(3))})
    assert described({"model_config": two}) == ({}, "")


def test_layer_norm_before_attention_is_refused(tmp_path):
    text = json.dumps({"class_name": "BertEncoder", "config": {"num_attention_heads": 3, "norm_first": True}})
    with pytest.raises(ParityError, match="norm_first"):
        settings(tmp_path, {"model_config": text})


@pytest.mark.parametrize("config", [{"num_attention_heads": 0}, {"num_attention_heads": 5}])
def test_heads_that_cannot_be_are_refused(tmp_path, config):
    with pytest.raises((ConfigError, ParityError)):
        settings(tmp_path, {"model_config": description(5)}, config)


class TestSavedModels:
    def test_its_metadata_states_what_converting_reads(self):
        planned = bridgeckpt.plan(SAVED)
        with open_checkpoint(SAVED) as checkpoint:
            stated, name = described(checkpoint.descriptions)
        assert name == "keras_metadata.pb"
        assert stated["num_attention_heads"] == planned.sizes.values["num_attention_heads"]

    def test_without_metadata_the_graph_shows_the_heads(self, tmp_path):
        bert = bert_of(SAVED)
        unknown = read_settings(tmp_path, bert)
        assert unknown.heads == 0
        found = with_heads_of_graph(unknown, bert, SAVED / "saved_model.pb")
        assert found.heads == bridgeckpt.plan(SAVED).sizes.values["num_attention_heads"]
        assert found.origins["heads"] == "the scale of the scores in saved_model.pb"

    def test_a_graph_that_shows_none_says_none(self, tmp_path):
        bert, unknown = bert_of(SAVED), read_settings(tmp_path, bert_of(SAVED))
        assert with_heads_of_graph(unknown, bert, None).heads == 0
        (tmp_path / "saved_model.pb").write_bytes(b"no graph")
        assert with_heads_of_graph(unknown, bert, tmp_path / "saved_model.pb").heads == 0


@pytest.mark.slow
def test_a_recording_finds_the_heads_in_the_metadata(tmp_path):
    source = tmp_path / "model"
    shutil.copytree(SAVED, source)
    made = bridgeckpt.record_checkpoint(source, float64=False, graph=False)
    assert made.provenance["settings"]["heads"] == "3 (keras_metadata.pb)"

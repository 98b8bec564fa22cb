"""Keras' description inside a file says heads, activation and class, at any depth, before a config beside it does."""

from __future__ import annotations

import json
import shutil

import h5py
import pytest
from paths import FIXTURES

import bridgeckpt
from bridgeckpt.errors import ConfigError, PlanError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.descriptions import described_objects, plain
from bridgeckpt.formats.tensorflow.keras_metadata import read_keras_metadata
from bridgeckpt.formats.tensorflow.saved_model import SavedModel
from bridgeckpt.planning.plan import draft


def layer(heads, name="tf_bert_model", kind="TFBertModel", **values):
    """A layer as a functional model describes it."""
    config = {"model_type": "bert", "num_attention_heads": heads, "hidden_act": "gelu", "do_sample": False, **values}
    return {"class_name": kind, "name": name, "config": config, "inbound_nodes": [[["input_ids", 0, 0, {}]]]}


def functional(*layers):
    dense = {"class_name": "Dense", "config": {"name": "dense", "units": 2, "activation": "softmax"}, "name": "dense"}
    return {"class_name": "Functional", "config": {"name": "model", "layers": [*layers, dense]}}


@pytest.fixture
def described(tmp_path):
    """A function that writes transformers' weights of a BertModel with a description, and without a config."""

    def write(description, config=None):
        source = tmp_path / "source"
        shutil.copytree(FIXTURES / "hf351_model" / "source", source, dirs_exist_ok=True)
        own = json.loads((source / "config.json").read_text())
        (source / "config.json").unlink()
        if config is not None:
            (source / "config.json").write_text(json.dumps(own | config))
        with h5py.File(source / "tf_model.h5", "a") as file:
            file.attrs["model_config"] = json.dumps(description)
        return source

    return write


def heads(plan):
    return plan.sizes.values["num_attention_heads"], plan.sizes.origin["num_attention_heads"]


@pytest.mark.parametrize(
    "description",
    [
        functional(layer(3)),
        functional(layer(3), layer(3, "bert", "Custom>TFBertMainLayer")),
        functional({"class_name": "TFBertMainLayer", "config": {"name": "bert", "config": layer(3)["config"]}}),
        {"class_name": "Sequential", "config": [functional(layer(3))]},
        functional({"class_name": "TimeDistributed", "config": {"layer": layer(3)}}),
    ],
)
def test_the_heads_of_a_model_inside_another(described, description):
    plan = draft(described(description))
    assert heads(plan) == (3, "model_config")
    assert not [problem for problem in plan.problems if problem.kind == "heads"]


def test_only_what_the_computation_needs_is_taken(described):
    plan = bridgeckpt.plan(described(functional(layer(3, hidden_dropout_prob=0.5, hidden_act="relu"))))
    assert plan.configuration.values["hidden_act"] == "relu"
    assert plan.configuration.provenance["hidden_act"] == "read from model_config"
    assert plan.configuration.values["hidden_dropout_prob"] == 0.1
    assert not plan.configuration.values.keys() & {"do_sample", "name", "class_name"}


def test_a_config_beside_that_contradicts_the_description_is_refused_until_one_is_said(described):
    source = described(functional(layer(3)), config={"num_attention_heads": 2})
    with pytest.raises(PlanError) as caught:
        bridgeckpt.plan(source)
    (problem,) = caught.value.problems
    assert problem.kind == "conflict"
    assert problem.subject == "num_attention_heads = 3 by model_config; 2 by config.json"
    assert problem.settings == ("config", "heads")


def test_a_config_that_is_given_is_believed_before_the_description(described):
    source = described(functional(layer(3)), config={"num_attention_heads": 2})
    plan = bridgeckpt.plan(source, config=source / "config.json")
    assert heads(plan) == (2, "config.json")
    assert any("although model_config says 3" in warning for warning in plan.warnings)
    assert heads(bridgeckpt.plan(source, heads=6))[0] == 6


def test_two_models_that_differ_are_told_apart_by_their_scope(described):
    two = functional(layer(2, "other"), layer(3))
    source = described(two)
    scope = bridgeckpt.plan(source, heads=1).wildcards["scope"]
    assert heads(draft(described(functional(layer(2, "other"), layer(3, scope.strip("/"))))))[0] == 3
    with pytest.raises(PlanError, match="the number of attention heads is unknown"):
        bridgeckpt.plan(described(functional(layer(2, "one"), layer(3, "other"))))


@pytest.mark.parametrize("broken", ["", "[1]", "{", '{"class_name": 1, "config": 2}', '{"class_name": "TFBertModel"}'])
def test_what_is_no_description_says_nothing(broken):
    assert described_objects(broken, "here") == []


def test_a_size_in_a_description_that_is_none_is_refused(described):
    with pytest.raises(ConfigError, match=r"model_config of .*\n  num_attention_heads = 0"):
        bridgeckpt.plan(described(functional(layer(0))))


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ({"class_name": "function", "config": "gelu"}, "gelu"),
        ("Text>gelu", "gelu"),
        ("<lambda>", None),
        ([1], None),
        ({"class_name": "Zeros", "config": {}}, None),
        (3, 3),
    ],
)
def test_a_function_is_a_word(written, value):
    assert plain(written) == value


class TestSavedModels:
    def test_the_metadata_of_keras_2(self):
        saved = SavedModel(FIXTURES / "hub_transformers" / "source" / "saved_model" / "1")
        found = described_objects(read_keras_metadata(saved), "here")
        assert found[0].class_name == "TFBertForSequenceClassification"
        assert found[0].config["num_attention_heads"] == 3

    def test_it_is_read_where_there_is_no_graph(self, tmp_path):
        source = tmp_path / "model"
        shutil.copytree(FIXTURES / "hub_tf2_classifier" / "source", source)
        (source / "saved_model.pb").rename(source / "saved_model.pbtxt")
        plan = bridgeckpt.plan(source)
        assert plan.configuration.values["hidden_act"] == "relu"
        assert plan.graph is None

    def test_a_damaged_one_says_nothing(self, tmp_path):
        source = tmp_path / "model"
        shutil.copytree(FIXTURES / "hub_tf2_classifier" / "source", source)
        (source / "keras_metadata.pb").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
        assert open_checkpoint(source).descriptions == {}
        assert bridgeckpt.plan(source).configuration.values["hidden_act"] == "relu"

    def test_before_tensorflow_2_5_it_is_in_the_object_graph(self, tmp_path):
        def field(number, payload):
            size, head = len(payload), bytes([number << 3 | 2])
            return head + bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14]) + payload

        metadata = json.dumps(layer(3)).encode()
        user = field(4, field(1, b"_tf_keras_model") + field(3, metadata))
        (tmp_path / "saved_model.pb").write_bytes(field(2, field(7, field(1, user) + field(1, field(4, b"")))))
        (found,) = described_objects(read_keras_metadata(SavedModel(tmp_path)), "here")
        assert (found.class_name, found.config["num_attention_heads"]) == ("TFBertModel", 3)


def test_the_class_of_model_garden_in_an_archive(tmp_path):
    from zipfile import ZIP_STORED, ZipFile

    with ZipFile(FIXTURES / "tfkeras_archive" / "source" / "encoder.keras") as old:
        members = {name: old.read(name) for name in old.namelist()}

    def written(**values):
        description = json.loads(members["config.json"])
        description["config"] |= values
        with ZipFile(tmp_path / "model.keras", "w", ZIP_STORED) as new:
            for name, content in members.items():
                new.writestr(name, json.dumps(description) if name == "config.json" else content)
        return tmp_path / "model.keras"

    plan = bridgeckpt.plan(written(inner_activation="relu"))
    assert plan.configuration.values["hidden_act"] == "relu"
    assert not any(text.startswith("hidden_act") for text in plan.warnings)
    with pytest.raises(ConfigError, match="norm_first = true"):
        bridgeckpt.plan(written(norm_first=True))

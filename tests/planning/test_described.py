"""What Keras' description says of a head decides which class takes it, or that none does."""

from __future__ import annotations

import json
import shutil
import zipfile

import h5py
import numpy as np
import pytest
from paths import FIXTURES

import bridgeckpt
from bridgeckpt.errors import ConfigError, PlanError
from bridgeckpt.formats.networks import networks_of
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.sidecar.described.heads import read_head
from bridgeckpt.sidecar.described.layers import DescribedFacts

BERT = {"model_type": "bert", "num_attention_heads": 3, "hidden_act": "gelu", "layer_norm_eps": 1e-5}
HIDDEN, LABELS = 24, 5
SEQUENCE, TOKEN = "BertForSequenceClassification", "BertForTokenClassification"


def layer(name, kind, *reads, **config):
    """A layer that reads outputs of others: each is a name, or a name and the number of an output."""
    refs = [(one, 0) if isinstance(one, str) else one for one in reads]
    return {
        "class_name": kind,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": [[[one, 0, output, {}] for one, output in refs]] if refs else [],
    }


def bert(**config):
    return layer("tf_bert_model", "TFBertModel", "input_ids", **BERT, **config)


def dense(*reads, **config):
    return layer("classifier", "Dense", *reads, units=LABELS, **{"activation": "linear", **config})


@pytest.fixture
def built(tmp_path):
    """A function that writes transformers' BertModel with a layer called classifier on it, as Keras describes both."""

    def write(*layers, extra=()):
        source = tmp_path / "model.h5"
        shutil.copy(FIXTURES / "hf351_model" / "source" / "tf_model.h5", source)
        described = [layer("input_ids", "InputLayer"), *layers]
        description = {"class_name": "Functional", "config": {"name": "model", "layers": described}}
        with h5py.File(source, "a") as file:
            file.attrs["model_config"] = json.dumps(description)
            group = file.create_group("classifier")
            shapes = {"classifier/kernel:0": (HIDDEN, LABELS), "classifier/bias:0": (LABELS,)}
            for name, shape in shapes.items():
                group[name] = np.full(shape, 0.5, np.float32)
            group.attrs["weight_names"] = [name.encode() for name in shapes]
            file.attrs["layer_names"] = [*file.attrs["layer_names"], b"classifier"]
        return source

    return write


POOLED, TOKENS = ("tf_bert_model", 1), ("tf_bert_model", 0)
OF_A_CLASS = {
    "the pooler": (SEQUENCE, [dense(POOLED)]),
    "the pooler, after a dropout": (SEQUENCE, [layer("d", "Dropout", POOLED, rate=0.1), dense("d")]),
    "probabilities": (SEQUENCE, [dense(POOLED, activation="softmax")]),
    "probabilities by a layer": (
        SEQUENCE,
        [dense(POOLED), layer("p", "Activation", "classifier", activation="sigmoid")],
    ),
    "tokens": (TOKEN, [dense(TOKENS)]),
}
OF_NO_CLASS = {
    "a mean": ([layer("mean", "GlobalAveragePooling1D", TOKENS), dense("mean")], "classifier reads mean"),
    "a maximum": ([layer("max", "GlobalMaxPooling1D", TOKENS), dense("max")], "classifier reads max"),
    "the first token": ([layer("get", "SlicingOpLambda", TOKENS), dense("get")], "classifier reads get"),
    "a lambda": ([layer("lambda", "Lambda", POOLED), dense("lambda")], r"classifier reads lambda \(Lambda\)"),
    "several": ([layer("all", "Concatenate", POOLED, TOKENS), dense("all")], "classifier reads all"),
    "a sum": ([layer("add", "Add", POOLED, TOKENS), dense("add")], "classifier reads the sum of tf_bert_model"),
    "an activation before": ([layer("a", "ReLU", TOKENS), dense("a")], r"classifier reads a \(ReLU\)"),
    "an activation": ([dense(POOLED, activation="tanh")], "classifier has the activation tanh"),
    "an activation after": (
        [dense(POOLED), layer("a", "Activation", "classifier", activation="tanh")],
        r"classifier is followed by a \(Activation\)",
    ),
    "an input": ([dense("input_ids")], "classifier reads an input"),
}


@pytest.mark.parametrize("case", OF_A_CLASS)
def test_a_head_of_a_class_needs_no_guess(case, built):
    name, layers = OF_A_CLASS[case]
    source = built(bert(), *layers)
    with pytest.raises(PlanError, match="a head of your own") as caught:
        bridgeckpt.plan(source)
    advised = [other for other in (SEQUENCE, TOKEN) if f'architecture="{other}" takes it' in str(caught.value)]
    assert advised == [name]
    plan = bridgeckpt.plan(source, architecture=name)
    assert not [warning for warning in plan.warnings if "no graph shows" in warning]
    assert any("as Keras' description has it" in note for note in plan.notes)


@pytest.mark.parametrize("case", OF_NO_CLASS)
def test_a_head_of_no_class_is_not_taken(case, built):
    layers, said = OF_NO_CLASS[case]
    source = built(bert(), *layers)
    for architecture in ({}, {"architecture": SEQUENCE}, {"architecture": TOKEN}):
        with pytest.raises(PlanError, match=said):
            bridgeckpt.plan(source, **architecture)
    assert bridgeckpt.plan(source, architecture="BertModel").ledger.source_counts()["excluded"] == 2


def test_what_a_layer_of_the_program_computes_is_not_known(built):
    source = built(bert(), layer("mine", "MyDropout", POOLED), dense("mine"))
    assert any("no graph shows" in warning for warning in bridgeckpt.plan(source, architecture=SEQUENCE).warnings)


def test_more_outputs_have_other_numbers(built):
    """With them, number 0 is the embeddings."""
    source = built(bert(output_hidden_states=True), dense(TOKENS))
    assert any("no graph shows" in warning for warning in bridgeckpt.plan(source, architecture=TOKEN).warnings)


POOLER = FIXTURES / "b4k_whole" / "source" / "model.h5"


def test_a_pooler_that_no_class_has_is_converted_where_the_class_can_be_loaded_without_it(tmp_path):
    source = tmp_path / "model.h5"
    shutil.copy(POOLER, source)
    with h5py.File(source, "a") as file:
        description = json.loads(file.attrs["model_config"])
        (pooler,) = [one for one in description["config"]["layers"] if one["name"] == "Pooler-Dense"]
        pooler["config"]["activation"] = "relu"
        file.attrs["model_config"] = json.dumps(description)
    with pytest.raises(PlanError, match=r'architecture="BertModel", if it is named'):
        bridgeckpt.plan(source)
    (warning,) = bridgeckpt.plan(source, architecture="BertModel").warnings
    assert 'Pooler-Dense with activation = "relu"' in warning
    assert "add_pooling_layer=False" in warning


@pytest.fixture
def hub(tmp_path):
    """A function that writes a KerasHub backbone, alone or as a layer of a model with a head, with a description."""

    def write(*layers, prefix="", head=False):
        source = tmp_path / "model.keras"
        weights = tmp_path / "model.weights.h5"
        with (
            h5py.File(FIXTURES / "kerashub_backbone" / "source" / "model.weights.h5") as old,
            h5py.File(weights, "w") as new,
        ):
            old.copy("layers", new.require_group(prefix) if prefix else new)
            if head:
                new["layers/dense/vars/0"] = np.full((HIDDEN, LABELS), 0.5, np.float32)
                new["layers/dense/vars/1"] = np.full((LABELS,), 0.5, np.float32)
        with zipfile.ZipFile(source, "w") as archive:
            archive.write(weights, "model.weights.h5")
            description = {"class_name": "Functional", "config": {"name": "model", "layers": list(layers)}}
            archive.writestr("config.json", json.dumps(description))
        return source

    return write


BACKBONE = {"num_layers": 2, "num_heads": 3}
NESTED = "layers/bert_backbone"
ENCODERS = ("transformer_layer_0", "transformer_layer_1")


@pytest.mark.parametrize(("output", "name"), [(0, SEQUENCE), (1, TOKEN)])
def test_the_outputs_of_a_backbone_in_another_model(output, name, hub):
    backbone = layer("b", "BertBackbone", "token_ids", **BACKBONE)
    source = hub(layer("token_ids", "InputLayer"), backbone, dense(("b", output)), prefix=NESTED, head=True)
    assert bridgeckpt.plan(source).architecture.name == name
    with pytest.raises(PlanError, match=f'architecture="{name}" is the class of such heads'):
        bridgeckpt.plan(source, architecture=TOKEN if name == SEQUENCE else SEQUENCE)


def test_the_first_token_of_a_backbone_is_no_pooled_output(hub):
    backbone = layer("b", "BertBackbone", "token_ids", **BACKBONE)
    first = layer("get", "GetItem", ("b", 1))
    source = hub(layer("token_ids", "InputLayer"), backbone, first, dense("get"), prefix=NESTED, head=True)
    with pytest.raises(PlanError, match="classifier reads get"):
        bridgeckpt.plan(source, architecture=SEQUENCE)


def flat(**changes):
    """The layers of a backbone, with the changed config of some."""
    gelu = {"class_name": "function", "config": "keras_hub>gelu_approximate", "module": "builtins"}
    encoder = {"num_heads": 3, "activation": gelu, "layer_norm_epsilon": 1e-12, "normalize_first": False}
    everything = slice_of(None), 0, slice_of(None)
    layers = [
        layer("token_ids", "InputLayer"),
        layer("segment_ids", "InputLayer"),
        layer("token_embedding", "ReversibleEmbedding", "token_ids"),
        layer("position_embedding", "PositionEmbedding", "token_embedding"),
        layer("segment_embedding", "Embedding", "segment_ids"),
        layer("embeddings_add", "Add", "token_embedding", "position_embedding", "segment_embedding"),
        layer("embeddings_layer_norm", "LayerNormalization", "embeddings_add", epsilon=1e-12),
        layer("transformer_layer_0", "TransformerEncoder", "embeddings_layer_norm", "token_ids", **encoder),
        layer("transformer_layer_1", "TransformerEncoder", "transformer_layer_0", "token_ids", **encoder),
        layer("get_item", "GetItem", "transformer_layer_1"),
        layer("pooled_dense", "Dense", "get_item", activation="tanh"),
    ]
    layers[-2]["inbound_nodes"] = [{"args": [tensor("transformer_layer_1"), list(everything)], "kwargs": {}}]
    for one in layers:
        one["config"] |= changes.get(one["name"], {})
    return layers


def tensor(name):
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}


def slice_of(stop):
    return {"class_name": "__slice__", "config": {"start": None, "stop": stop, "step": None}}


def test_the_layers_of_a_backbone(hub):
    plan = bridgeckpt.plan(hub(*flat()))
    assert plan.configuration.values["hidden_act"] == "gelu_pytorch_tanh"
    assert plan.sizes.values["num_attention_heads"] == 3
    relu = {name: {"activation": "relu"} for name in ENCODERS}
    assert bridgeckpt.plan(hub(*flat(**relu))).configuration.values["hidden_act"] == "relu"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"transformer_layer_1": {"activation": "relu"}}, 'hidden_act = "relu" in transformer_layer_1'),
        ({"transformer_layer_1": {"layer_norm_epsilon": 0.01}}, "layer_norm_eps = 0.01 in transformer_layer_1"),
        ({"transformer_layer_0": {"normalize_first": True}}, "transformer_layer_0 with normalize_first = true"),
        ({"pooled_dense": {"activation": "relu"}}, 'pooled_dense with activation = "relu"'),
    ],
)
def test_a_layer_of_a_backbone_that_a_program_changed(change, said, hub):
    with pytest.raises(PlanError, match=said):
        bridgeckpt.plan(hub(*flat(**change)))


def test_a_function_of_keras_that_transformers_computes_otherwise(hub):
    """Keras' leaky_relu has a slope of 0.2, PyTorch's 0.01."""
    relu = {name: {"activation": "leaky_relu"} for name in ENCODERS}
    with pytest.raises((PlanError, ConfigError), match="transformers has no activation"):
        bridgeckpt.plan(hub(*flat(**relu)))


@pytest.mark.parametrize(
    ("kind", "flags", "output", "read"),
    [
        ("BertEncoderV2", {}, 3, "sequence"),
        ("BertEncoderV2", {}, 4, "token"),
        ("BertEncoderV2", {}, 2, "token"),  # the last of all layers
        ("BertEncoder", {"dict_outputs": True}, 3, "sequence"),
        ("BertEncoder", {"dict_outputs": False}, 1, "sequence"),
        ("BertEncoder", {"dict_outputs": False}, 0, "token"),
    ],
)
def test_the_outputs_of_model_garden(kind, flags, output, read):
    """By key: those of the layers, then pooled_output, then sequence_output."""
    assert head_of(kind, flags, output).kind == read


def test_an_output_of_model_garden_that_no_head_is_put_on():
    head = head_of("BertEncoderV2", {}, 1)
    assert (head.kind, head.is_certain) == (None, True)
    assert "reads encoder" in head.how
    assert head_of("BertEncoder", {}, 1).is_certain is False, "its outputs are not known"
    assert head_of("BertEncoderV2", {"return_attention_scores": True}, 3) is None


def head_of(kind, flags, output):
    """What a head reads that is put on an output of an encoder with three layers."""
    layers = [layer("ids", "InputLayer"), layer("encoder", kind, "ids", num_layers=3, **flags)]
    text = json.dumps({"class_name": "Functional", "config": {"layers": [*layers, dense(("encoder", output))]}})
    facts = DescribedFacts("config.json", tuple(networks_of(text, "config.json")))
    return read_head(facts, load_table("bert/keras_model_garden"), {"scope": ""}, "layers/dense/vars/0")

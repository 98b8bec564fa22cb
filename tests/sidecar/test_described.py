"""Every layer in Keras' description counts: settings that differ, other wiring and other parts are refused by name."""

from __future__ import annotations

import json
import shutil

import h5py
import pytest
from paths import FIXTURES

import bridgeckpt
from bridgeckpt.errors import PlanError
from bridgeckpt.formats.networks import Ref, networks_of

B4K, KERAS_BERT = "b4k_whole", "kerasbert_whole"


@pytest.fixture
def edited(tmp_path):
    """A function that copies the file of a whole model and edits the layers in its description, by their names."""

    def edit(fixture, change):
        source = tmp_path / f"{len(list(tmp_path.iterdir()))}.h5"
        shutil.copy(FIXTURES / fixture / "source" / "model.h5", source)
        with h5py.File(source, "a") as file:
            text = file.attrs["model_config"]
            description = json.loads(text if isinstance(text, str) else text.decode())
            config = description["config"]
            change({layer["name"]: layer for layer in config["layers"]}, config["layers"])
            file.attrs["model_config"] = json.dumps(description)
        return source

    return edit


def sets(name, **values):
    return lambda layers, _: layers[name]["config"].update(values)


def calls(name, **arguments):
    return lambda layers, _: layers[name]["inbound_nodes"][0][0][3].update(arguments)


def rewires(name, *reads):
    def change(layers, _):
        layers[name]["inbound_nodes"] = [[[one, 0, 0, {}] for one in reads]]

    return change


def inserts(name, kind, before, **config):
    """Another layer between a layer and what it reads."""

    def change(layers, listed):
        reads = layers[before]["inbound_nodes"][0][0][0]
        added = {"name": name, "class_name": kind, "config": {"name": name, **config}}
        listed.append({**added, "inbound_nodes": [[[reads, 0, 0, {}]]]})
        layers[before]["inbound_nodes"] = json.loads(
            json.dumps(layers[before]["inbound_nodes"]).replace(f'["{reads}",', f'["{name}",')
        )

    return change


REFUSED = {
    "an activation of one layer": (B4K, sets("Transformer-1-FeedForward", activation=["relu"]), "hidden_act"),
    "an epsilon of one layer": (KERAS_BERT, sets("Encoder-2-FeedForward-Norm", epsilon=1e-3), "Encoder-2-FeedForward"),
    "the epsilon of the embeddings": (B4K, sets("Embedding-Norm", epsilon=1e-3), "layer_norm_eps = 0.001"),
    "the heads of one layer": (B4K, sets("Transformer-1-MultiHeadSelfAttention", heads=6), "num_attention_heads = 6"),
    "the activation of the pooler": (
        KERAS_BERT,
        sets("NSP-Dense", activation="relu"),
        'NSP-Dense with activation = "r',
    ),
    "a scale that is left out": (
        B4K,
        sets("Transformer-1-MultiHeadSelfAttention", attention_scale=False),
        "Transformer-1-MultiHeadSelfAttention with attention_scale = false",
    ),
    "attention to the tokens before": (
        KERAS_BERT,
        sets("Encoder-2-MultiHeadSelfAttention", history_only=True),
        "history_only = true",
    ),
    "a mask": (B4K, calls("Transformer-0-MultiHeadSelfAttention", a_bias=True), "is called with a_bias"),
    "another token for the pooler": (KERAS_BERT, sets("Extract", index=1), "Extract with index = 1"),
    "a layer in between": (
        B4K,
        inserts("lambda_1", "Lambda", "Transformer-1-MultiHeadSelfAttention", function=["4wEAAA=="]),
        r"Transformer-1-MultiHeadSelfAttention reads lambda_1 \(Lambda\)",
    ),
    "an activation in between": (
        KERAS_BERT,
        inserts("activation_1", "Activation", "Encoder-2-FeedForward", activation="tanh"),
        r"Encoder-2-FeedForward reads activation_1 \(Activation\)",
    ),
    "a sum that is none": (
        B4K,
        lambda layers, _: layers["Transformer-1-FeedForward-Add"].update(class_name="Multiply"),
        r"Transformer-1-FeedForward-Norm reads Transformer-1-FeedForward-Add \(Multiply\)",
    ),
    "a residual more": (
        B4K,
        rewires(
            "Transformer-1-FeedForward-Add",
            "Transformer-1-MultiHeadSelfAttention-Norm",
            "Transformer-1-FeedForward-Dropout",
            "Embedding-Norm",
        ),
        "Transformer-1-FeedForward-Norm reads",
    ),
    "a layer that is left out": (
        KERAS_BERT,
        rewires("Encoder-2-FeedForward", "Embedding-Norm"),
        r"Encoder-2-FeedForward reads Embedding-Norm",
    ),
    "a pooler on an earlier layer": (
        B4K,
        rewires("Pooler", "Transformer-0-FeedForward-Norm"),
        r"Pooler reads Transformer-0-FeedForward-Norm",
    ),
    "a head with an activation": (KERAS_BERT, sets("NSP", activation="tanh"), 'NSP with activation = "tanh"'),
    "a head on another activation": (KERAS_BERT, sets("MLM-Dense", activation="relu"), "hidden_act"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_class_computes_is_refused_and_named(case, edited):
    fixture, change, said = REFUSED[case]
    with pytest.raises(PlanError, match=said) as caught:
        bridgeckpt.plan(edited(fixture, change))
    assert {problem.kind for problem in caught.value.problems} == {"refused"}


def test_a_head_that_no_class_computes_is_left_out_where_the_caller_says_so(edited):
    source = edited(KERAS_BERT, sets("MLM-Dense", activation="relu"))
    with pytest.raises(PlanError, match='architecture="BertModel"'):
        bridgeckpt.plan(source)
    assert bridgeckpt.plan(source, architecture="BertModel").configuration.values["hidden_act"] == "gelu_pytorch_tanh"


@pytest.mark.parametrize("function", [["<lambda>"], "Custom>gelu"])
def test_a_function_of_the_programs_own_is_told_and_not_proven(edited, function):
    source = edited(B4K, sets("Transformer-1-FeedForward", activation=function))
    plan = bridgeckpt.plan(source)
    assert list(plan.unproven) == ["hidden_act"]
    assert any("a function of the program's own in Transformer-1-FeedForward" in warning for warning in plan.warnings)
    assert not bridgeckpt.plan(source, hidden_act="gelu").unproven


UNCHANGED = {
    "another dropout": (B4K, sets("Transformer-1-FeedForward-Dropout", rate=0.5)),
    "a dropout more": (KERAS_BERT, inserts("more", "SpatialDropout1D", "Encoder-2-FeedForward", rate=0.5)),
    "an activation that is none": (
        B4K,
        inserts("none", "Activation", "Transformer-1-FeedForward", activation="linear"),
    ),
    "the same word for one function": (
        KERAS_BERT,
        lambda layers, _: [
            layer["config"].update(activation={"class_name": "function", "config": "gelu"})
            for name, layer in layers.items()
            if name == "Encoder-2-FeedForward"
        ],
    ),
    "a softmax": (KERAS_BERT, sets("NSP", activation="softmax")),
    "what is not trained": (B4K, sets("Transformer-1-FeedForward", trainable=False)),
}


@pytest.mark.parametrize("case", UNCHANGED)
def test_what_changes_nothing_is_converted_as_before(case, edited):
    fixture, change = UNCHANGED[case]
    plan, before = bridgeckpt.plan(edited(fixture, change)), bridgeckpt.plan(FIXTURES / fixture / "source" / "model.h5")
    assert plan.configuration.values == before.configuration.values
    assert plan.warnings == before.warnings


class TestNetworks:
    def test_keras_3_and_keras_2_write_calls_differently(self):
        tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": ["a", 0, 1]}}
        new = {"args": [[tensor, tensor]], "kwargs": {"mask": None}}
        old = [["a", 0, 1, {"y": ["a", 0, 1], "constant": ["_CONSTANT_VALUE", -1, 2, None]}]]
        for call in (new, old):
            layers = [{"class_name": "Input", "config": {"name": "a"}}, {"class_name": "Add", "config": {"name": "b"}}]
            layers[1]["inbound_nodes"] = [call]
            text = json.dumps({"class_name": "Functional", "config": {"layers": layers, "output_layers": ["b", 0, 0]}})
            (network,) = networks_of(text, "here")
            assert network.layers["b"].calls == ((Ref("a", 0, 1), Ref("a", 0, 1)),)
            assert network.outputs == (Ref("b", 0, 0),)

    def test_a_sequential_model_is_a_chain(self):
        layers = [{"class_name": "Dense", "config": {"name": name}} for name in "abc"]
        (network,) = networks_of(json.dumps({"class_name": "Sequential", "config": {"layers": layers}}), "here")
        assert [layer.calls for layer in network.layers.values()] == [
            (),
            ((Ref("a", 0, 0),),),
            ((Ref("b", 0, 0),),),
        ]

    @pytest.mark.parametrize("text", ["", "[1]", '{"class_name": "Functional", "config": {"layers": [1]}}'])
    def test_what_describes_no_network(self, text):
        assert networks_of(text, "here") == []

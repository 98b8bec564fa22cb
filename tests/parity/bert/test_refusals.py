"""Models that go by a BERT's names and compute something else: refused, as converting them is."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest
from paths import CASES, FIXTURES

import bridgeckpt
from bridgeckpt.errors import BridgeckptError, ConfigError, ParityError, PlanError
from bridgeckpt.parity.bert.refusals import refuse_config, refuse_variants
from bridgeckpt.parity.recording import record_checkpoint


def described(activation, *inside):
    """Keras' description of a model whose attention has this activation; the layer may stand in inner models."""
    model = {"config": {"layers": [{"config": {"name": "Encoder-1-MultiHeadSelfAttention", "activation": activation}}]}}
    for name in inside:
        model = {"config": {"layers": [{"config": {"name": name, **model["config"]}}]}}
    return {"model_config": json.dumps(model)}


@pytest.mark.parametrize("activation", ["gelu", "relu", {"class_name": "function", "config": "gelu"}])
@pytest.mark.parametrize("inside", [(), ("model_1",)])
def test_attention_with_an_activation(activation, inside):
    with pytest.raises(
        ParityError, match=r"Encoder-1-MultiHeadSelfAttention has the activation .elu on query"
    ) as caught:
        refuse_variants([], described(activation, *inside), "x.h5")
    assert "bridgeckpt.record(fn, inputs, path)" in str(caught.value.hint)


@pytest.mark.parametrize("activation", [None, "linear"])
def test_attention_without_one(activation):
    refuse_variants([], described(activation), "x.h5")
    refuse_variants([], {}, "x.h5")
    refuse_variants([], {"model_config": "{"}, "x.h5")


@pytest.mark.parametrize(
    "name",
    [
        "bert/encoder/layer_0/attention/output/adapter-down/kernel",
        "my/bert/encoder/layer_11/output/adapter-up/bias",
        "bert/embeddings/extra_word_embeddings/embeddings",
        "Embedding-Task/embeddings",
        "Embedding-Task_1/embeddings",
        "encoder/embedding_projection/kernel",
        "funnel_transformer_encoder/transformer/layer_0/self_attention/query/kernel",
        "f_net/layer_0/kernel",
        "sparse_mixer_1/layer/kernel",
        "Encoder-1-FeedForward-Adapter/Encoder-1-FeedForward-Adapter_W1",
        "Embedding-Norm_1/dense_25/kernel",
        "Embedding-Relative-Position/embeddings",
        "Student-Embedding-Mapping/kernel",
        "Discriminator-Dense/kernel",
        "Student-Attention-UniLM-Mask",
        "Attention-LM-Mask",
    ],
)
def test_a_variable_of_another_model(name):
    with pytest.raises(ParityError, match=f"as {name} shows"):
        refuse_variants(["bert/embeddings/word_embeddings", name], {}, "x")


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (
            {"name": "Transformer-0-MultiHeadSelfAttention", "return_attention_scores": True},
            "adds its attention scores",
        ),
        ({"name": "Student-Embedding-Position", "hierarchical": 0.4}, "is hierarchical"),
    ],
)
def test_layers_that_compute_something_else(layer, says):
    texts = {"model_config": json.dumps({"config": {"layers": [{"config": layer}]}})}
    with pytest.raises(ParityError, match=f"{layer['name']} {says}"):
        refuse_variants([], texts, "x.h5")
    plain = {key: value if key == "name" else None for key, value in layer.items()}
    refuse_variants([], {"model_config": json.dumps({"config": {"layers": [{"config": plain}]}})}, "x.h5")


def test_the_variables_of_a_bert():
    names = [
        "bert/embeddings/word_embeddings",
        "bert/encoder/layer_0/output/dense/kernel",
        "cls/predictions/output_bias",
    ]
    refuse_variants(names, {}, "x")


def test_a_config_of_another_model():
    refuse_config({"norm_first": False, "embedding_size": None}, "params.yaml")
    refuse_config({"hidden_size": 768, "embedding_size": 768}, "params.yaml")
    with pytest.raises(ParityError, match="LayerNorm before attention"):
        refuse_config({"norm_first": True}, "params.yaml")
    with pytest.raises(ConfigError, match='not the config of a BERT: "embedding_size" is a key of ALBERT'):
        refuse_config({"embedding_size": 128}, "config.json")


# --- whatever converting refuses as not computable, recording refuses -------------------------------------------------


def whole(folder, change):
    """A whole model of keras-bert, changed."""
    shutil.copy(FIXTURES / "kerasbert_whole" / "source" / "model.h5", folder)
    with h5py.File(folder / "model.h5", "r+") as file:
        change(file)
    return folder / "model.h5"


def attention_activation(folder):
    def change(file):
        text = file.attrs["model_config"]
        model = json.loads(text)
        for layer in model["config"]["layers"]:
            if layer["config"]["name"].endswith("MultiHeadSelfAttention"):
                layer["config"]["activation"] = "gelu"
        file.attrs["model_config"] = json.dumps(model)

    return whole(folder, change)


def task_embedding(folder):
    def change(file):
        weights = file["model_weights"]
        layer = weights.create_group("Embedding-Task")
        layer.create_dataset("Embedding-Task/embeddings:0", data=np.ones((2, 36), np.float32))
        layer.attrs["weight_names"] = [b"Embedding-Task/embeddings:0"]
        weights.attrs["layer_names"] = [*weights.attrs["layer_names"], b"Embedding-Task"]

    return whole(folder, change)


def norm_first(folder):
    shutil.copytree(FIXTURES / "mg_encoder_v2" / "source", folder / "source")
    params = folder / "source" / "params.yaml"
    params.write_text(params.read_text().replace("norm_first: false", "norm_first: true"))
    assert "norm_first: true" in params.read_text()
    return folder / "source"


def config_of_albert(folder):
    shutil.copytree(FIXTURES / "bft2_h5" / "source", folder / "source")
    config = folder / "source" / "bert_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "num_hidden_groups": 1}))
    return folder / "source"


def extra_tokens(folder):
    shutil.copytree(FIXTURES / "bft2_h5" / "source", folder / "source")
    with h5py.File(folder / "source" / "weights.h5", "r+") as file:
        layer = next(
            group for group in file.values() if "weight_names" in group.attrs and len(group.attrs["weight_names"])
        )
        words = next(name for name in layer.attrs["weight_names"] if b"word_embeddings" in name)
        extra = words.replace(b"/word_embeddings/", b"/extra_word_embeddings/")
        layer.create_dataset(extra.decode(), data=layer[words.decode()][:3])
        layer.attrs["weight_names"] = [*layer.attrs["weight_names"], extra]
    return folder / "source"


def committed(name):
    return lambda _: FIXTURES / "refused" / name


VARIANTS = {
    **{path.name: committed(path.name) for path in sorted((FIXTURES / "refused").iterdir())},
    **{
        make.__name__: make
        for make in (attention_activation, task_embedding, norm_first, config_of_albert, extra_tokens)
    },
}


@pytest.mark.parametrize("make", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.slow
def test_what_cannot_be_converted_is_not_recorded_either(make, tmp_path):
    pytest.importorskip("tensorflow")
    source = make(tmp_path)
    with pytest.raises(BridgeckptError, match=r"refused|no class of transformers computes|not the config of a"):
        bridgeckpt.plan(source)
    with pytest.raises(BridgeckptError, match=r"no class of transformers|is no plain BERT|not the config of a"):
        record_checkpoint(source, heads=3, float64=False)


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
@pytest.mark.slow
def test_a_head_that_cannot_be_converted_is_not_recorded_either(folder):
    pytest.importorskip("tensorflow")
    case = json.loads((folder / "case.json").read_text())
    source, told = folder / case["source"], {name: case["options"].get(name) for name in ("heads", "hidden_act")}
    try:
        bridgeckpt.plan(source)
    except PlanError as error:
        if any(problem.kind == "refused" for problem in error.problems):
            made = record_checkpoint(source, float64=False, **told)
            assert not any(stage.startswith("mlm") for stage in made.runs["float32"]["mixed"])
            assert any("not computed: what is made of" in note for note in made.notes)


def test_the_sample_of_keras_bert_with_such_an_attention(samples):
    pytest.importorskip("tensorflow")
    with pytest.raises(ParityError, match="has the activation gelu on query, key, value"):
        record_checkpoint(samples / "real" / "kerasbert-h5-e", float64=False)

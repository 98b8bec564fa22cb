"""The forward pass in plain TensorFlow, against graphs of others: tfbert's, and google-research/bert's (samples)."""

from __future__ import annotations

import json

import numpy as np
import pytest
from forward_pass import LIMIT, agree, distances, forward, save

from bridgeckpt.errors import ConfigError, ParityError
from bridgeckpt.parity.bert.stages import stages
from bridgeckpt.parity.bert.variables import find_bert
from bridgeckpt.parity.recording import record_checkpoint
from bridgeckpt.parity.reference.probes import IDS, MASK

tf = pytest.importorskip("tensorflow")

pytestmark = pytest.mark.slow

SPECS = [
    ({}, ["pooler", "mlm_logits", "nsp_logits"]),
    ({"port": "keras"}, ["pooler", "mlm_logits", "nsp_logits"]),
    ({"port": "keras_dense"}, ["pooler", "mlm_logits"]),
    ({"port": "keras_all"}, ["pooler", "mlm_logits"]),
    ({"scope": "my/model/", "slots": "lamb"}, ["mlm_logits"]),
    ({"head": "nsp", "slots": "adam"}, ["nsp_logits"]),
    ({"head": "mlm", "dtype": "bfloat16"}, ["mlm_logits"]),
    ({"head": "classifier", "slots": "contrib_adamw", "labels": 5}, ["logits"]),
    ({"head": "token", "pooler": False}, ["token_logits"]),
    ({"head": "squad", "slots": "momentum"}, ["span_logits"]),
    ({"head": None, "partitions": 3, "types": 5}, ["pooler"]),
    ({"hidden_act": "relu", "slots": "adamw"}, ["mlm_logits"]),
    ({"hidden_act": "swish"}, ["mlm_logits"]),
    ({"layers": 12, "hidden": 24, "head": None}, ["layer.11.output"]),
]


@pytest.mark.parametrize(("spec", "heads"), SPECS, ids=str)
def test_every_stage_is_what_another_graph_computes(built, spec, heads):
    source = built(meta=False, **spec)
    found = forward(source.directory, source.prefix, source.inputs)
    compared = agree(found, source.outputs, source.inputs)
    assert compared >= {*heads, "embeddings", "layer.0.output", "layer.1.output"}
    double = forward(source.directory, source.prefix, source.inputs, "float64")
    agree(double, source.outputs, source.inputs)
    for stage, values in double.items():
        assert values.dtype == np.float64
        assert 0 < np.abs(values - found[stage]).max() < LIMIT, stage


@pytest.mark.parametrize(
    ("case", "prefix", "heads"),
    [
        ("t1_pretrain_sharded", "model.ckpt", {"mlm_logits", "nsp_logits"}),
        ("t1_pretrain_v2_slots", "model.ckpt", {"mlm_logits", "nsp_logits"}),
        ("t1_ema", "model.ckpt", {"mlm_logits", "nsp_logits"}),
        ("t1_squad", "model.ckpt-3", {"span_logits"}),
        ("t1_classifier2_noslots", "model.ckpt-3", {"logits"}),
    ],
)
def test_google_research_bert(samples, case, prefix, heads):
    folder = samples / "golden" / case
    golden = dict(np.load(folder / "golden.npz"))
    for dtype in ("float32", "float64"):
        assert agree(forward(folder, folder / prefix, golden, dtype), golden, golden) >= heads | {"pooler"}


def test_moving_averages_of_google_research_bert(samples):
    folder = samples / "golden" / "t1_ema"
    golden = dict(np.load(folder / "golden.npz"))
    found = forward(folder, folder / "model.ckpt", golden, ema=True)
    assert "mlm_logits" in agree(found, golden, golden, prefix="ema_")
    assert distances(found, golden, golden[MASK].astype(bool))["mlm_logits"] > 0.1  # not the weights themselves


def test_stages_inside_a_layer_are_what_their_names_say(built):
    source = built(meta=False)
    found = forward(source.directory, source.prefix, source.inputs)
    variables = {name: values.astype(np.float64) for name, values in source.variables.items()}
    place, states = "bert/encoder/layer_1/", source.outputs["hidden_states"][1].astype(np.float64)
    for name in ("query", "key", "value"):
        expected = states @ variables[f"{place}attention/self/{name}/kernel"]
        np.testing.assert_allclose(
            found[f"layer.1.{name}"], expected + variables[f"{place}attention/self/{name}/bias"], atol=1e-5
        )
    split = [found[f"layer.1.{name}"].reshape(4, 24, 3, 12) for name in ("query", "key", "value")]
    scores = np.einsum("bqhd,bkhd->bhqk", split[0], split[1]) / 12**0.5
    scores = np.exp(np.where(source.inputs[MASK][:, None, None, :] == 1, scores, -np.inf))
    context = np.einsum("bhqk,bkhd->bqhd", scores / scores.sum(-1, keepdims=True), split[2]).reshape(4, 24, 36)
    np.testing.assert_allclose(found["layer.1.context"], context, atol=1e-5)
    wide = found["layer.1.attention"] @ variables[f"{place}intermediate/dense/kernel"]
    wide = wide + variables[f"{place}intermediate/dense/bias"]
    gelu = 0.5 * wide * (1 + np.tanh((2 / np.pi) ** 0.5 * (wide + 0.044715 * wide**3)))
    np.testing.assert_allclose(found["layer.1.intermediate"], gelu, atol=1e-5)
    logits = (
        found["transform"] @ variables["bert/embeddings/word_embeddings"].T + variables["cls/predictions/output_bias"]
    )
    np.testing.assert_allclose(found["mlm_logits"], logits, atol=1e-5)


def test_the_order_of_stages_is_that_of_the_definition(built):
    source = built(meta=False)
    found = list(forward(source.directory, source.prefix, source.inputs))
    assert found == [stage for stage in stages(2, "fine") if stage in found]
    assert len(found) == 1 + 2 * 7 + 1 + 1 + 2


@pytest.mark.parametrize(
    "wrong",
    [{"hidden_act": "gelu"}, {"hidden_act": "relu"}, {"layer_norm_eps": 1e-3}, {"layer_norm_eps": 1e-5}, {"heads": 4}],
    ids=str,
)
def test_a_wrong_setting_shows(built, wrong):
    source = built(meta=False)
    found = forward(source.directory, source.prefix, source.inputs, **wrong)
    mask = source.inputs[MASK].astype(bool)
    assert distances(found, source.outputs, mask)["layer.1.output"] > 10 * LIMIT


@pytest.mark.parametrize(
    ("act", "name"),
    [("gelu_erf", "gelu"), ("gelu", "gelu_new"), ("swish", "silu"), ("linear", "linear"), ("tanh", "tanh")],
)
def test_activations_go_by_the_names_of_transformers(built, act, name):
    source = built(meta=False, hidden_act=act)
    agree(forward(source.directory, source.prefix, source.inputs, hidden_act=name), source.outputs, source.inputs)


# What is run, and what is kept of it


def test_each_probe_is_run_as_deep_as_it_says(built):
    made = record_checkpoint(built(meta=False).directory)
    single, double = made.runs["float32"], made.runs["float64"]
    assert {name: len(run) for name, run in single.items()} == {"mixed": 19, "long": 8, "sweep": 1}
    assert {name: len(run) for name, run in double.items()} == {"mixed": 8, "long": 8, "sweep": 1}
    assert single["long"]["layer.0.output"].shape == (1, 16, 36)
    assert single["sweep"]["embeddings"].shape == (*made.probes["sweep"].inputs[IDS].shape, 8)


def test_a_sweep_in_pieces_is_the_sweep(built, monkeypatch):
    source = built(meta=False).directory
    whole = record_checkpoint(source, float64=False).runs["float32"]["sweep"]["embeddings"]
    # Sequences have 24 positions: one at a time.
    monkeypatch.setattr("bridgeckpt.parity.reference.probes._ROWS_AT_ONCE", 30)
    pieces = record_checkpoint(source, float64=False).runs["float32"]["sweep"]["embeddings"]
    np.testing.assert_allclose(pieces, whole, atol=1e-5)


def test_a_classifier_is_recorded_both_ways_where_nothing_tells(built):
    made = record_checkpoint(built(meta=False, head="classifier").directory, float64=False)
    assert {"logits", "token_logits"} <= made.runs["float32"]["mixed"].keys()
    assert any("reads the pooler or every position" in note for note in made.notes)


def test_settings_say_where_they_are_from(built):
    source = built(meta=False).directory
    made = record_checkpoint(source, float64=False)
    assert made.provenance["settings"] == {
        "heads": "3 (bert_config.json)",
        "hidden_act": "gelu_pytorch_tanh (bert_config.json)",
        "layer_norm_eps": "1e-12 (assumed)",
    }
    assert made.assumed.keys() == {"hidden_act", "layer_norm_eps"}
    assert made.notes == ()
    asked = record_checkpoint(source, float64=False, heads=3, hidden_act="gelu", layer_norm_eps=1e-6)
    assert set(asked.provenance["settings"].values()) == {"3 (as asked)", "gelu (as asked)", "1e-06 (as asked)"}
    assert asked.assumed == {}
    assert len(asked.notes) == 1, "the user's word is no proof: it is said"
    assert "hidden_act = gelu, layer_norm_eps = 1e-06: that is the user's word" in asked.notes[0]
    keras = record_checkpoint(built(meta=False, port="keras").directory, float64=False)
    assert keras.provenance["settings"]["layer_norm_eps"] == "0.001 (assumed)"


def test_a_config_elsewhere_is_read(built, tmp_path):
    source = built(meta=False, config=False)
    config = {**source.spec.bert_config, "hidden_act": "relu", "layer_norm_eps": 1e-7}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for given in (tmp_path, tmp_path / "config.json"):
        made = record_checkpoint(source.directory, float64=False, config=given)
        assert made.provenance["settings"]["hidden_act"] == "relu (config.json)"
        assert made.provenance["settings"]["layer_norm_eps"] == "1e-07 (config.json)"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"hidden_size": 48}, "is of another model: its hidden_size is 48, and the checkpoint's 36"),
        ({"num_attention_heads": 5}, "36 features cannot be divided among 5 heads"),
        ({"num_attention_heads": "3"}, "cannot be divided among 3 heads"),
        ({"hidden_act": "snake"}, 'no activation is called "snake"'),
        ({"layer_norm_eps": 2}, "not between 0 and 1"),
        ([1], "holds no JSON object"),
        ("{", "is not JSON"),
    ],
)
def test_a_config_that_cannot_be_is_refused(built, tmp_path, config, message):
    source = built(meta=False, config=False)
    if isinstance(config, dict):
        config = {**source.spec.bert_config, **config}
    (tmp_path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(ConfigError, match=message):
        record_checkpoint(source.directory, config=tmp_path)


def test_a_number_of_heads_that_nothing_says_is_asked_for(built):
    source = built(meta=False, config=False)
    with pytest.raises(ParityError, match=r"(?s)how many attention heads share the 36 features.*heads=N"):
        record_checkpoint(source.directory)
    assert record_checkpoint(source.directory, heads=3, float64=False).runs


def test_values_that_are_not_finite_are_an_error_that_names_the_stage(built, tmp_path):
    source = built(meta=False)
    variables = dict(source.variables)
    variables["bert/encoder/layer_1/attention/output/dense/bias"] = np.full(36, np.inf, np.float32)
    save(variables, tmp_path / "model.ckpt")
    with pytest.raises(ParityError, match=r"layer\.1\.attention is not finite"):
        record_checkpoint(tmp_path, tmp_path / "r.safetensors", heads=3)
    assert not (tmp_path / "r.safetensors").exists()


def test_variables_that_no_bert_has_are_not_left_out_in_silence(built, tmp_path):
    variables = {**built(meta=False).variables, "bert/encoder/layer_0/adapter/kernel": np.ones((2, 2), np.float32)}
    save(variables, tmp_path / "model.ckpt")
    with pytest.raises(ParityError, match=r"(?s)leave out bert/encoder/layer_0/adapter/kernel.*bridgeckpt\.record"):
        record_checkpoint(tmp_path, heads=3)


def test_heads_of_other_kinds_are_mentioned(built, tmp_path):
    save({**built(meta=False).variables, "cls/other/kernel": np.ones(2, np.float32)}, tmp_path / "model.ckpt")
    assert any("cls/other/kernel" in note for note in record_checkpoint(tmp_path, heads=3, float64=False).notes)


# Finding the variables


def shapes(layers=2, root="bert/", **more):
    """The shapes of an encoder's variables, by name."""
    found = {
        f"{root}embeddings/word_embeddings": [11, 6],
        f"{root}embeddings/position_embeddings": [7, 6],
        f"{root}embeddings/token_type_embeddings": [2, 6],
        f"{root}embeddings/LayerNorm/gamma": [6],
        f"{root}embeddings/LayerNorm/beta": [6],
    }
    for layer in range(layers):
        place = f"{root}encoder/layer_{layer}/"
        for name in ("attention/self/query", "attention/self/key", "attention/self/value", "attention/output/dense"):
            found |= {f"{place}{name}/kernel": [6, 6], f"{place}{name}/bias": [6]}
        found |= {f"{place}intermediate/dense/kernel": [6, 9], f"{place}intermediate/dense/bias": [9]}
        found |= {f"{place}output/dense/kernel": [9, 6], f"{place}output/dense/bias": [6]}
        for name in ("attention/output", "output"):
            found |= {f"{place}{name}/LayerNorm/gamma": [6], f"{place}{name}/LayerNorm/beta": [6]}
    return found | more


def test_sizes_follow_from_the_shapes():
    bert = find_bert(shapes(12), "x")
    assert (bert.layers, bert.hidden, bert.rows, bert.epsilon, bert.scope) == (12, 6, (11, 7, 2), 1e-12, "")
    assert len(bert.variables) == 5 + 12 * 16


def test_slots_and_averages_are_no_weights():
    found = shapes()
    slots = ("adam_m", "adam_v", "lamb_m", "lamb_v", "Adam", "Adam_1", "AdamW", "AdamW_1", "Momentum")
    found |= {f"{name}/{slot}": shape for name, shape in shapes().items() for slot in slots}
    bert = find_bert(found, "x")
    assert bert.variables == find_bert(shapes(), "x").variables
    assert bert.unread == ()
    with pytest.raises(ParityError, match="no moving average of a variable of this BERT"):
        find_bert(found, "x", ema=True)


def test_one_of_several_is_chosen_by_scope():
    found = shapes(root="student/bert/") | shapes(3, root="teacher/bert/") | shapes(1, root="twin/")
    with pytest.raises(ParityError, match=r'holds 3 BERTs, under "student/", "teacher/", "twin/"'):
        find_bert(found, "x")
    for scope, layers in (("teacher", 3), ("teacher/", 3), ("student/bert", 2), ("twin", 1)):
        assert find_bert(found, "x", scope=scope).layers == layers
    with pytest.raises(ParityError, match='no BERT under "uncle"'):
        find_bert(found, "x", scope="uncle")


@pytest.mark.parametrize("prefix", ["", "student/"])
def test_heads_lie_under_the_scope_or_at_the_root(prefix):
    head = {f"{prefix}cls/squad/output_weights": [2, 6], f"{prefix}cls/squad/output_bias": [2]}
    bert = find_bert(shapes(root="student/bert/") | head, "x")
    assert bert.variables["span_logits.kernel"] == f"{prefix}cls/squad/output_weights"


def test_what_is_missing_or_of_a_wrong_shape_is_named():
    found = shapes()
    del found["bert/encoder/layer_1/output/dense/bias"]
    with pytest.raises(ParityError, match="has no variable bert/encoder/layer_1/output/dense/bias"):
        find_bert(found, "x")
    with pytest.raises(ParityError, match=r"layer_1/intermediate/dense/kernel is \[9, 6\], .* would be \[6, 9\]"):
        find_bert(shapes() | {"bert/encoder/layer_1/intermediate/dense/kernel": [9, 6]}, "x")
    with pytest.raises(ParityError, match=r"(?s)holds no BERT.*bridgeckpt\.record\(fn, inputs, path\)"):
        find_bert({"conv/kernel": [3, 3]}, "x")
    twice = {f"bert/encoder/layer_0/output/dense_{at}/kernel": [9, 6] for at in (1, 2)}
    with pytest.raises(ParityError, match="holds 3 layers where a BERT has one"):
        find_bert(shapes() | twice, "x")

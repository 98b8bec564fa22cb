"""The whole mapping language through planning and copying: lists, stacks, splits, padding, unit axes, counters.

The expected tensors are made with numpy by hand, from a checkpoint that TensorFlow wrote.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

import bridgeckpt
from bridgeckpt.errors import PlanError

pytestmark = pytest.mark.slow

MODEL = """
schema = 1
model  = "toy"
[dims]
hidden   = "hidden_size"
out      = "out_size"
heads    = "num_attention_heads"
dim      = "hidden_size / num_attention_heads"
vocab    = "vocab_size"
pad      = "*"
qkv      = 3
[indices]
layer = "num_hidden_layers"
[architectures]
ToyModel = { groups = ["embeddings", "layer", "stack"], drop_prefix = "toy." }
[config.options]
heads          = "num_attention_heads"
hidden_act     = "hidden_act"
layer_norm_eps = "layer_norm_eps"
[config.defaults]
hidden_act = "relu"
layer_norm_eps = 1e-5
"""

DIALECT = """
schema = 1
title  = "a toy"
detect = "toy/block_1/query"
[slots]
exp_avg = "{tf}/m"
[group.embeddings]
tf   = "toy/"
pt   = "toy.embeddings."
rows = [
  { tf = "table", pt = "weight", layout = "(vocab + pad) hidden -> vocab hidden", fill = 7 },
  { tf = "unit",  pt = "unit",   layout = "1 hidden 1 -> hidden" },
]
[group.layer]
tf   = "toy/block_{layer + 1}/"
pt   = "toy.layer.{layer}."
rows = [
  { tf = ["query", "key", "value"], pt = "qkv.weight", layout = "[qkv] hidden heads dim -> (qkv heads dim) hidden" },
  { tf = "fused", pt = ["q.bias", "k.bias", "v.bias"],  layout = "(heads qkv dim) -> [qkv] (heads dim)" },
  { tf = "dense{#2}/kernel", pt = "second.weight",      layout = "hidden out -> out hidden" },
  { tf = "dense{#1}/kernel", pt = "first.weight",       layout = "hidden out -> out hidden" },
]
[group.stack]
tf   = "toy/"
pt   = "toy.layer.{layer}."
rows = [
  { tf = "stacked", pt = "stacked.weight", layout = "layer hidden out -> [layer] out hidden" },
]
[[ignored]]
tf     = "step"
reason = "a counter"
"""

HIDDEN, OUT, HEADS, VOCAB, PAD, LAYERS = 6, 5, 3, 11, 2, 2
CONFIG = {
    "hidden_size": HIDDEN,
    "out_size": OUT,
    "num_attention_heads": HEADS,
    "vocab_size": VOCAB,
    "num_hidden_layers": LAYERS,
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A folder with the tables, a checkpoint and its config; and the variables in it."""
    tf = pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("toy")
    (folder / "model.toml").write_text(MODEL)
    (folder / "dialect.toml").write_text(DIALECT)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    generator = np.random.default_rng(0)

    def draw(*shape):
        return generator.standard_normal(shape, dtype=np.float32)

    variables = {
        "step": np.int64(3),
        "toy/table": draw(VOCAB + PAD, HIDDEN),
        "toy/table/m": draw(VOCAB + PAD, HIDDEN),
        "toy/unit": draw(1, HIDDEN, 1),
        "toy/stacked": draw(LAYERS, HIDDEN, OUT),
    }
    for layer in range(LAYERS):
        block = f"toy/block_{layer + 1}/"
        variables |= {f"{block}{name}": draw(HIDDEN, HEADS, HIDDEN // HEADS) for name in ("query", "key", "value")}
        variables[f"{block}fused"] = draw(3 * HIDDEN)
        # Keras numbers over the whole model: 9 and 10, so that the order of the digits is not the order of the numbers.
        variables |= {f"{block}dense_{number}/kernel": draw(HIDDEN, OUT) for number in (9 + layer, 10 + layer)}
    tf.raw_ops.SaveV2(
        prefix=str(folder / "toy.ckpt"),
        tensor_names=list(variables),
        shape_and_slices=[""] * len(variables),
        tensors=list(variables.values()),
    )
    return folder, variables


def test_every_construct_gives_the_tensors_that_numpy_gives(toy):
    folder, variables = toy
    found = bridgeckpt.load_state_dict(folder / "toy.ckpt", mapping=folder / "dialect.toml")
    expected = {"embeddings.weight": variables["toy/table"][:VOCAB], "embeddings.unit": variables["toy/unit"].ravel()}
    for layer in range(LAYERS):
        block = f"toy/block_{layer + 1}/"
        three = [variables[block + name].reshape(HIDDEN, HIDDEN).T for name in ("query", "key", "value")]
        expected[f"layer.{layer}.qkv.weight"] = np.concatenate(three)
        fused = variables[f"{block}fused"].reshape(HEADS, 3, HIDDEN // HEADS)
        expected |= {f"layer.{layer}.{name}.bias": fused[:, at].ravel() for at, name in enumerate("qkv")}
        expected[f"layer.{layer}.first.weight"] = variables[f"{block}dense_{9 + layer}/kernel"].T
        expected[f"layer.{layer}.second.weight"] = variables[f"{block}dense_{10 + layer}/kernel"].T
        expected[f"layer.{layer}.stacked.weight"] = variables["toy/stacked"][layer].T
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_the_ledger_counts_each_tensor_once(toy):
    folder, variables = toy
    planned = bridgeckpt.plan(folder, mapping=folder / "dialect.toml")
    assert planned.ledger.source_counts() == {"mapped": len(variables) - 2, "slot": 1, "ignored": 1}
    assert planned.ledger.target_counts() == {"written": 2 + LAYERS * 7}


def test_writing_a_folder_gives_the_same(toy, tmp_path):
    from safetensors.numpy import load_file

    folder, _ = toy
    bridgeckpt.convert(folder, tmp_path / "out", mapping=folder / "dialect.toml", checksums=True)
    stored = load_file(tmp_path / "out" / "model.safetensors")
    for name, value in bridgeckpt.load_state_dict(folder, mapping=folder / "dialect.toml").items():
        np.testing.assert_array_equal(stored[name], value, err_msg=name)


def test_one_of_a_list_that_is_missing(toy, tmp_path):
    folder, _ = toy
    text = DIALECT.replace('"key", "value"]', '"kay", "value"]')
    (folder / "broken.toml").write_text(text)
    with pytest.raises(PlanError) as caught:
        bridgeckpt.plan(folder, mapping=folder / "broken.toml")
    kinds = {problem.kind: problem for problem in caught.value.problems}
    assert kinds["missing"].subject == "toy/block_{1..2}/kay"
    assert "toy/block_{1..2}/key [6, 3, 2]" in kinds["unmapped"].details
    assert len(caught.value.problems) == 2


def test_heads_that_do_not_divide_the_features_are_named_with_their_origin(example):
    with pytest.raises(bridgeckpt.PlanError) as caught:
        bridgeckpt.plan(example, heads=5)
    (problem,) = caught.value.problems
    assert "hidden_size = 36 (bert_config.json), num_attention_heads = 5 (heads=5)" in problem.details
    assert problem.settings == ("heads",)
    assert "the number of heads that was given" in problem.hint

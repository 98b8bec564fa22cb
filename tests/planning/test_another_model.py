"""A model of other names, axes, config keys and tokens than BERT's is a table, and no code of the engine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import bridgeckpt
from bridgeckpt.converting.huggingface_folder import load_command
from bridgeckpt.errors import ConfigError, PlanError

MODEL = """schema = 1
model = "toy"

[dims]
words = "n_vocab"
places = "n_positions"
width = "n_embd"
heads = "n_head"
head_width = "n_embd / n_head"
classes = "*"

[indices]
block = "n_layer"

[roles]
vocabulary = "words"
positions = "places"
labels = "classes"

[architectures]
ToyForSorting = { groups = ["base", "block", "sorter"] }
ToyModel = { groups = ["base", "block"], optional = ["summary"], load_without = { summary = "summarize=False" } }

[config]
files = "hparams.json"
kept = ["activation_function"]
defaults = { activation_function = "gelu" }

[config.options]
heads = "n_head"
hidden_act = "activation_function"

[tokenizer]
kind = "wordpiece"
files = "words.txt"
normalizer = "basic"
longest_word = 5
single = "<s> $A"
pair = "<s> $A <s> $B"
inputs = "input_ids"

[tokenizer.special]
unk_token = "<unk>"
bos_token = "<s>"
pad_token = "<pad>"
"""

DIALECT = """schema = 1
title = "a toy"
detect = "model/wte"

[group.base]
tf = "model/"
pt = "toy."
rows = [
  { tf = "wte", pt = "wte", layout = "words width" },
  { tf = "wpe", pt = "wpe", layout = "places width" },
]

[group.block]
tf = "model/h{block}/"
pt = "toy.h.{block}."
rows = [{ tf = "attn", pt = "attn", layout = "width (heads head_width) -> (heads head_width) width" }]

[group.sorter]
optional = true
tf = "model/sorter"
pt = "sorter"
rows = [{ tf = "", pt = "", layout = "width classes -> classes width" }]

[group.summary]
optional = true
tf = "model/summary"
pt = "toy.summary"
rows = [{ tf = "", pt = "", layout = "width" }]

[config.words.activation_function]
gelu = "gelu_new"
"""


@pytest.fixture
def toy(tmp_path):
    """A checkpoint of the toy, with its config, its vocabulary and its tables."""
    (tmp_path / "model.toml").write_text(MODEL)
    (tmp_path / "mine.toml").write_text(DIALECT)
    shapes = {"wte": (7, 6), "wpe": (4, 6), "h0/attn": (6, 6), "h1/attn": (6, 6), "sorter": (6, 3)}
    source = tmp_path / "source"
    source.mkdir()
    tensors = {f"model/{name}": np.arange(np.prod(shape), dtype="f4").reshape(shape) for name, shape in shapes.items()}
    save_file(tensors, source / "model.safetensors")
    (source / "hparams.json").write_text(json.dumps({"n_head": 2, "n_layer": 2, "activation_function": "gelu"}))
    (source / "words.txt").write_text("<pad>\n<unk>\n<s>\na\nb\nc\n")
    return source


def convert(source: Path, **options) -> dict[str, object]:
    """The config that is written."""
    out = source.parent / "out"
    bridgeckpt.convert(source, out, mapping=source.parent / "mine.toml", force=True, **options)
    return json.loads((out / "config.json").read_text())


def test_its_own_keys_axes_and_tokens_are_written(toy):
    pytest.importorskip("tokenizers")
    config = convert(toy)
    assert config["architectures"] == ["ToyForSorting"]
    assert {key: config[key] for key in ("n_vocab", "n_positions", "n_embd", "n_head", "n_layer")} == {
        "n_vocab": 7,
        "n_positions": 4,
        "n_embd": 6,
        "n_head": 2,
        "n_layer": 2,
    }
    assert config["activation_function"] == "gelu_new"
    assert config["id2label"] == {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}
    assert config["pad_token_id"] == 0
    assert not config.keys() & {"num_attention_heads", "hidden_act", "layer_norm_eps", "vocab_size"}
    settings = json.loads((toy.parent / "out" / "tokenizer_config.json").read_text())
    assert (settings["model_max_length"], settings["bos_token"]) == (4, "<s>")


def test_options_set_its_keys(toy):
    config = convert(toy, heads=3, hidden_act="relu")
    assert (config["n_head"], config["activation_function"]) == (3, "relu")


def test_an_option_that_it_has_not_is_refused(toy):
    with pytest.raises(ConfigError, match="layer_norm_eps=1e-05 cannot be given"):
        convert(toy, layer_norm_eps=1e-5)


def test_the_heads_are_asked_for_where_nothing_tells(toy):
    (toy / "hparams.json").unlink()
    with pytest.raises(PlanError, match="the number of attention heads is unknown"):
        convert(toy)


def test_a_vocabulary_with_more_tokens_than_rows_is_refused(toy):
    (toy / "words.txt").write_text("<pad>\n<unk>\n<s>\n" + "".join(f"{word}\n" for word in "abcde"))
    with pytest.raises(PlanError, match=r"words\.txt has 8 tokens, the embedding table only 7 rows"):
        convert(toy)


def test_rows_without_a_token_are_a_note(toy):
    (toy / "words.txt").write_text("<pad>\n<unk>\n<s>\na\nb\n")
    notes = bridgeckpt.plan(toy, mapping=toy.parent / "mine.toml").notes
    assert "words.txt has 5 tokens, and the embedding table 7 rows: the others have no token" in notes


def test_how_it_is_loaded_without_an_optional_group(toy):
    plan = bridgeckpt.plan(toy, mapping=toy.parent / "mine.toml", architecture="ToyModel")
    assert any(note.endswith("if ToyModel is loaded without summarize=False") for note in plan.notes)
    assert load_command(plan, Path("out")) == 'transformers.ToyModel.from_pretrained("out", summarize=False)'

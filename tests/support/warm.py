"""What the tests of warm starts share: graphs for a config, values that TensorFlow reads, the original function."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from tfbert import graph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ACTIVATIONS = {"gelu": "gelu_erf", "gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "relu": "relu"}
# What a graph of google-research/bert has on top for each class; None is nothing.
HEADS = {
    "BertForPreTraining": "pretraining",
    "BertForMaskedLM": "mlm",
    "BertLMHeadModel": "mlm",
    "BertForNextSentencePrediction": "nsp",
    "BertForSequenceClassification": "classifier",
    "BertForTokenClassification": "token",
    "BertForQuestionAnswering": "squad",
    "BertModel": None,
}


def original() -> Callable[..., Any]:
    """``get_assignment_map_from_checkpoint`` as google wrote it, for TensorFlow 1: ``bert-tensorflow`` on PyPI."""
    contrib = ModuleType("tensorflow.contrib")
    contrib.layers = ModuleType("tensorflow.contrib.layers")  # imported beside the function, never used by it
    stand_ins = {"tensorflow.contrib": contrib, "tensorflow.contrib.layers": contrib.layers}
    sys.modules.update(stand_ins)
    try:
        from bert import modeling
    finally:
        for name in stand_ins:
            del sys.modules[name]
    return modeling.get_assignment_map_from_checkpoint


def graph_for(folder: Path, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A graph of google-research/bert for the config of a Hugging Face folder; its inputs and outputs."""
    config = json.loads((folder / "config.json").read_text())
    sizes = {
        "vocab": config["vocab_size"],
        "hidden": config["hidden_size"],
        "layers": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "intermediate": config["intermediate_size"],
        "positions": config["max_position_embeddings"],
        "types": config["type_vocab_size"],
        "labels": len(config.get("id2label", ())) or 2,
        "head": HEADS[config["architectures"][0]],
        "hidden_act": _ACTIVATIONS[config["hidden_act"]],
        "eps": config["layer_norm_eps"],
        "static": False,
    }
    return graph(**{**sizes, **options})


@contextmanager
def session(tf: Any) -> Iterator[Any]:
    """A session of the default graph, its initialisers run."""
    with tf.compat.v1.Session() as opened:
        opened.run(tf.compat.v1.global_variables_initializer())
        yield opened


def values(tf: Any, opened: Any) -> dict[str, np.ndarray]:
    """The trainable variables in a session; partitioned ones as the whole."""
    found: dict[str, np.ndarray] = {}
    for variable in tf.compat.v1.trainable_variables():
        value, piece = opened.run(variable), variable._save_slice_info
        if piece is None:
            found[variable.op.name] = value
            continue
        whole = found.setdefault(piece.full_name, np.full(piece.full_shape, np.nan, value.dtype))
        whole[tuple(slice(at, at + size) for at, size in zip(piece.var_offset, piece.var_shape, strict=True))] = value
    return found


def read_by_tensorflow(tf: Any, prefix: Any) -> dict[str, np.ndarray]:
    """Every numeric tensor of a checkpoint."""
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Every value found is the expected one, bit for bit."""
    assert found
    for name, value in found.items():
        assert value.dtype == expected[name].dtype, name
        np.testing.assert_array_equal(value, expected[name], err_msg=name)

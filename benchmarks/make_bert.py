"""Writes a google-research/bert checkpoint of any size with TensorFlow. A separate process returns its memory."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

Variable = tuple[str, tuple[int, ...]]  # name and shape


def variables(hidden: int, layers: int, vocab: int, intermediate: int, positions: int) -> Iterator[Variable]:
    """Name and shape of every variable of BERT with both pre-training heads."""

    def dense(name: str, inputs: int, outputs: int) -> Iterator[Variable]:
        yield f"{name}/kernel", (inputs, outputs)
        yield f"{name}/bias", (outputs,)

    def norm(name: str) -> Iterator[Variable]:
        yield f"{name}/LayerNorm/beta", (hidden,)
        yield f"{name}/LayerNorm/gamma", (hidden,)

    yield "bert/embeddings/word_embeddings", (vocab, hidden)
    yield "bert/embeddings/position_embeddings", (positions, hidden)
    yield "bert/embeddings/token_type_embeddings", (2, hidden)
    yield from norm("bert/embeddings")
    for number in range(layers):
        layer = f"bert/encoder/layer_{number}"
        for part in ("query", "key", "value"):
            yield from dense(f"{layer}/attention/self/{part}", hidden, hidden)
        yield from dense(f"{layer}/attention/output/dense", hidden, hidden)
        yield from norm(f"{layer}/attention/output")
        yield from dense(f"{layer}/intermediate/dense", hidden, intermediate)
        yield from dense(f"{layer}/output/dense", intermediate, hidden)
        yield from norm(f"{layer}/output")
    yield from dense("bert/pooler/dense", hidden, hidden)
    yield from dense("cls/predictions/transform/dense", hidden, hidden)
    yield from norm("cls/predictions/transform")
    yield "cls/predictions/output_bias", (vocab,)
    yield "cls/seq_relationship/output_weights", (2, hidden)
    yield "cls/seq_relationship/output_bias", (2,)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for name in ("hidden", "layers", "heads", "vocab", "intermediate", "positions", "shards"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--slots", action="store_true")
    options = parser.parse_args()

    import tensorflow as tf

    folder: Path = options.folder
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    shapes = list(variables(options.hidden, options.layers, options.vocab, options.intermediate, options.positions))
    if options.slots:
        shapes = [(f"{name}{slot}", shape) for name, shape in shapes for slot in ("", "/adam_m", "/adam_v")]
    names = ["global_step", *(name for name, _ in shapes)]
    prefix = str(folder / "bert_model.ckpt")
    parts = [f"{prefix}-part-{number}" for number in range(options.shards)]
    for number, part in enumerate(parts):
        tensors: list[object] = [np.int64(1)] if number == 0 else []
        in_shard = shapes[number :: options.shards]
        tensors += [rng.standard_normal(shape, np.float32) * np.float32(0.02) for _, shape in in_shard]
        kept = ["global_step"] * (number == 0) + [name for name, _ in in_shard]
        tf.raw_ops.SaveV2(prefix=part, tensor_names=kept, shape_and_slices=[""] * len(kept), tensors=tensors)
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=prefix, delete_old_dirs=False)
    if len(names) != len(tf.train.list_variables(prefix)):
        raise SystemExit("the checkpoint does not hold all variables")
    config = {
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": options.hidden,
        "initializer_range": 0.02,
        "intermediate_size": options.intermediate,
        "max_position_embeddings": options.positions,
        "num_attention_heads": options.heads,
        "num_hidden_layers": options.layers,
        "type_vocab_size": 2,
        "vocab_size": options.vocab,
    }
    (folder / "bert_config.json").write_text(json.dumps(config))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{number}" for number in range(options.vocab - 5))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")


if __name__ == "__main__":
    main()

"""The TensorFlow side of ``silent.py configs``: makes tiny models with configs drawn at random, and runs them.

Runs in an environment of its own, with transformers 4 and TensorFlow. Each line of its input is ``{"seed": N, "folder":
PATH}``, and each line of its output says what was drawn. The keys that are varied are those of the config class itself.
"""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from inspect import getdoc, getmodule, getsource, signature
from pathlib import Path
from re import findall, search
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "fixtures"))
import make_architectures as made
import numpy as np
import tensorflow as tf
import transformers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.random import Generator as Random

ATTEMPTS = 8  # draws until TensorFlow builds and runs one
DRAWN = 5  # about as many keys of the model differ
ACTIVATIONS = ("gelu", "gelu_new", "gelu_fast", "gelu_10", "relu", "silu", "swish", "tanh", "mish", "quick_gelu")
EPSILONS = (1e-12, 1e-5, 1e-3, 0.05)
# Keys of every config that say nothing about the model, or what the fixtures' inputs rely on.
KEPT = {
    *("architectures", "model_type", "transformers_version", "_name_or_path", "id2label", "label2id", "num_labels"),
    *("return_dict", "output_hidden_states", "output_attentions", "torchscript", "torch_dtype", "problem_type"),
    *("is_encoder_decoder", "use_cache", "task_specific_params", "_attn_implementation_autoset", "use_bfloat16"),
    *(
        "vocab_size",
        "type_vocab_size",
        "image_size",
        "num_channels",
        "pruned_heads",
        "visual_feat_dim",
        "tf_legacy_loss",
    ),
}
# Keys of every config that say something about the model. The others are about generation, and varied seldom.
OF_MODELS = ("tie_word_embeddings", "is_decoder", "add_cross_attention", "chunk_size_feed_forward", "pad_token_id")
SELDOM = 0.1
# Further models, as CASES of make_architectures.py.
MORE: dict[str, dict[str, Any]] = {
    "BertModel": {},
    "MistralForCausalLM": {"num_key_value_heads": 3, "head_dim": 8, "sliding_window": 5},
    "SwiftFormerForImageClassification": {"depths": [1, 1, 1, 1], "embed_dims": [8, 12, 16, 24], "image_size": 64},
    "GroupViTModel": {
        "text_config": made.TOWERS["text_config"],
        "vision_config": {
            **made.TOWERS["vision_config"],
            "depths": [1, 1, 1],
            "num_group_tokens": [6, 4, 0],
            "num_output_groups": [6, 4, 0],
        },
        "projection_dim": 20,
        "projection_intermediate_dim": 24,
    },
}


def cases() -> dict[str, dict[str, Any]]:
    """Every class of TensorFlow with what its config needs, by name."""
    made.CASES.update(MORE)
    return dict(sorted(made.every_case().items()))


def arguments_of(kind: Any, options: dict[str, Any]) -> dict[str, Any]:
    """What the config of a class is made with."""
    known = {} if "encoder" in options else kind.config_class().to_dict()
    return {**{key: value for key, value in made.SMALL.items() if key in known}, **deepcopy(options)}


def words_of(key: str, *texts: str) -> list[str]:
    """The words that a documentation or a class gives for ``key``."""
    words: list[str] = []
    for text in texts:
        entry = search(rf"\n\s*{key} \((.*?)(?=\n\s*\w+ \(|\Z)", text, 16)
        words += findall(r'`?"([a-z_0-9-]+)"`?', entry[1]) if entry else []
        for line in text.split("\n"):
            if f"config.{key}" in line or f"self.{key} " in line:
                words += findall(r'"([a-z_0-9-]+)"', line)
    return list(dict.fromkeys(words))


def alternatives(key: str, value: object, texts: tuple[str, ...]) -> tuple[float, list[Any]]:
    """How often a key is varied, and the values that it may have then."""
    if isinstance(value, bool):
        return 0.3, [not value]
    if isinstance(value, str):
        words = words_of(key, *texts)
        is_function = value in ACTIVATIONS or "act" in key
        return 0.4, [word for word in (ACTIVATIONS if is_function else words) if word != value]
    if isinstance(value, int) or (value is None and key.endswith("_token_id")):
        if key.endswith("_token_id"):
            return 0.3, [number for number in range(5) if number != value]
        return (0.1, [value + 1, *([value - 1] if value else []), 2 * value]) if 0 <= value < 1000 else (0, [])
    if isinstance(value, float):
        if 0 < value <= 1e-3:
            return 0.4, [one for one in EPSILONS if one != value]
        return 0.1, [value * 2, value / 2, value + 0.5]
    if isinstance(value, list) and value and all(isinstance(one, bool) for one in value):
        return 0.3, [[not one for one in value]]
    return 0, []


def draw(config: dict[str, Any], own: set[str], texts: tuple[str, ...], rng: Random, share: float) -> Iterator[Any]:
    """Keys and values that differ; those of an inner config as a dict."""
    for key, value in config.items():
        if isinstance(value, dict) and "model_type" in value:
            if inner := dict(draw(value, own, texts, rng, share)):
                yield key, inner
        elif key not in KEPT:
            often, values = alternatives(key, value, texts)
            if values and rng.random() < often * share * (1 if key in own else SELDOM):
                yield key, values[rng.integers(len(values))]


def inner_classes(config: Any) -> list[Any]:
    return [type(config), *(type(one) for one in vars(config).values() if hasattr(one, "model_type"))]


def merged(arguments: dict[str, Any], drawn: dict[str, Any]) -> dict[str, Any]:
    """The arguments with what was drawn, also in inner configs."""
    inner = {key: {**arguments.get(key, {}), **value} for key, value in drawn.items() if isinstance(value, dict)}
    return {**arguments, **drawn, **inner}


def make(case: str, options: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:
    """Draw configs until TensorFlow builds and runs one; then save it. Says what was drawn."""
    kind = getattr(transformers, f"TF{case}")
    rng, why = np.random.default_rng(seed), ""
    arguments = arguments_of(kind, options)
    base = kind.config_class(**deepcopy(arguments))
    texts = (*(getdoc(one) or "" for one in inner_classes(base)), getsource(getmodule(kind)))
    known = base.to_dict()
    inner = [value for value in known.values() if isinstance(value, dict)]
    own = {key for one in (known, *inner) for key in one} - {*transformers.PretrainedConfig().to_dict()} | {*OF_MODELS}
    expected = sum(alternatives(key, known[key], texts)[0] for key in own - KEPT if key in known)
    share = min(1.0, DRAWN / max(1.0, expected))
    for attempt in range(ATTEMPTS):
        drawn = dict(draw(known, own, texts, rng, share / (1 + attempt / 3)))
        try:
            config = kind.config_class(**deepcopy(merged(arguments, drawn)))  # some take their arguments apart
            save(kind, config, rng, folder)
        except Exception as error:  # noqa: BLE001 - whatever TensorFlow raises for a config, another is drawn
            why = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:200]
        else:
            return {"case": case, "drawn": drawn}
    return {"case": case, "failed": why, "drawn": drawn}


def save(kind: Any, config: Any, rng: Random, folder: Path) -> None:
    tf.keras.backend.clear_session()
    inputs = inputs_of(kind, config, rng)
    model = kind(config)
    model(**made.tensors(inputs), training=False)
    for weight in model.weights:
        if weight.trainable or weight.name.endswith(made.STATISTICS):
            weight.assign(made.drawn(weight.name, tuple(weight.shape)))
    outputs = model(**made.tensors(inputs), training=False)
    arrays = {f"in.{name}": value for name, value in inputs.items()}
    for name, value in outputs.items():
        if tf.is_tensor(value) and value.dtype == tf.float32:
            arrays[f"out.{name}"] = value.numpy()
    if not all(np.isfinite(value).all() for name, value in arrays.items() if name.startswith("out.")):
        raise ValueError("an output is not finite")
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, safe_serialization=bool(rng.random() < 0.3))  # tf_model.h5 was the default
    np.savez(folder / "truth.npz", **arrays)


def inputs_of(kind: Any, config: Any, rng: Random) -> dict[str, np.ndarray]:
    """The inputs of the fixtures, with padding where the mask is 0, ends of texts, and what a decoder attends to."""
    inputs, taken = made.inputs_of(kind, config), signature(kind.call).parameters
    if "decoder_input_ids" not in taken or "Sequence" in kind.__name__:
        inputs.pop("decoder_input_ids", None)
    both = {"pixel_values", "input_ids"}
    if both <= taken.keys() and len(inputs.keys() & both) == 1 and hasattr(config, "vision_config"):
        size = config.vision_config.image_size
        ids = rng.integers(5, 60, (2, made.LENGTH))
        inputs = {"pixel_values": rng.standard_normal((2, 3, size, size)).astype(np.float32), "input_ids": ids}
        if "decoder_input_ids" in taken:
            inputs["decoder_input_ids"] = ids[:, :7]
    if "visual_feats" in taken and "visual_feats" not in inputs:
        inputs["visual_feats"] = rng.standard_normal((made.BATCH, 4, config.visual_feat_dim)).astype(np.float32)
        inputs["visual_pos"] = rng.random((made.BATCH, 4, 4)).astype(np.float32)
    ids, mask = inputs.get("input_ids"), inputs.get("attention_mask")
    padding, end = getattr(config, "pad_token_id", None), getattr(config, "eos_token_id", None)
    if ids is not None and config.is_encoder_decoder and end is not None:
        ids[..., 7] = end
    if ids is not None and mask is not None and isinstance(padding, int) and 0 <= padding < 61:
        inputs["input_ids"] = np.where(mask == 1, ids, padding)
        if rng.random() < 0.25:  # a few classes find the padding by themselves
            del inputs["attention_mask"]
    if config.model_type == "longformer":  # questions have three separators
        inputs["input_ids"][..., [3, 5, 7]] = config.sep_token_id
    crossing = config.is_decoder and config.add_cross_attention
    if ids is not None and ids.ndim == 2 and "encoder_hidden_states" in taken and crossing:
        width = getattr(config, "encoder_hidden_size", None) or config.hidden_size
        inputs["encoder_hidden_states"] = rng.standard_normal((len(ids), 6, width)).astype(np.float32)
    return inputs


def main() -> None:
    out, sys.stdout = sys.stdout, sys.stderr
    every = cases()
    print(
        json.dumps({"cases": list(every), "writer": f"transformers {transformers.__version__}"}), file=out, flush=True
    )
    for line in sys.stdin:
        asked = json.loads(line)
        case = list(every)[asked["seed"] % len(every)]
        print(json.dumps(make(case, every[case], asked["seed"], Path(asked["folder"]))), file=out, flush=True)


if __name__ == "__main__":
    main()

"""Makes this folder's checkpoint with TensorFlow: a two-layer BERT with the names and the code of google-research/bert.

    pip install tensorflow && python make.py

The weights are random, but scaled so that a transposed or swapped tensor changes the logits visibly.
"""

from __future__ import annotations

import json
from pathlib import Path
from string import ascii_lowercase, digits
from typing import Any

import tensorflow as tf

HERE = Path(__file__).parent
WORDS = (
    "the of and to in a is was for on with as by at from it an that this be are or not have has had he she they we you "
    "his her their its one two three first new year time people world city day state language model word sentence "
    "token layer head weight bridge river water stone north south east west house book school music film game team "
    "play make made go see say said know work use used call long high small large old good great between after before"
)
ENDINGS = "ing ed er est ly ness ment tion able ful less ize al ic ive ous ism ist ity th nd st rd es en ward ship"
VOCABULARY = [
    "[PAD]",
    *(f"[unused{number}]" for number in range(5)),
    *("[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *"!\"#$%&'()*+,-./:;<=>?@[]_",
    *(piece for letter in digits + ascii_lowercase for piece in (letter, f"##{letter}")),
    *(word for word in WORDS.split() if len(word) > 1),
    *(f"##{ending}" for ending in ENDINGS.split()),
]
CONFIG: dict[str, Any] = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 36,
    "initializer_range": 0.02,
    "intermediate_size": 112,
    "max_position_embeddings": 64,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "type_vocab_size": 2,
    "vocab_size": len(VOCABULARY),
}
HIDDEN, HEADS = CONFIG["hidden_size"], CONFIG["num_attention_heads"]
tf1 = tf.compat.v1
scope = tf1.variable_scope


def variable(name: str, *shape: int) -> Any:
    """A variable drawn from N(0, 1/sqrt(hidden)); a gamma around 1, a bias around 0."""
    if name == "gamma":
        return tf1.get_variable(name, shape, initializer=tf1.random_uniform_initializer(0.5, 1.5))
    scale = HIDDEN**-0.5 if len(shape) > 1 else 0.2
    return tf1.get_variable(name, shape, initializer=tf1.random_normal_initializer(0, scale))


def dense(name: str, inputs: Any, units: int, activation: Any = tf.identity) -> Any:
    with scope(name):
        kernel, bias = variable("kernel", int(inputs.shape[-1]), units), variable("bias", units)
        return activation(tf.nn.bias_add(tf.matmul(inputs, kernel), bias))


def gelu(x: Any) -> Any:
    return x * (0.5 * (1.0 + tf.tanh((2 / 3.141592653589793) ** 0.5 * (x + 0.044715 * tf.pow(x, 3)))))


def layer_norm(inputs: Any) -> Any:
    with scope("LayerNorm"):
        mean, variance = tf.nn.moments(inputs, axes=[-1], keepdims=True)
        beta, gamma = variable("beta", HIDDEN), variable("gamma", HIDDEN)
        return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, 1e-12)


def attention(inputs: Any, mask: Any) -> Any:
    batch, length = mask.shape

    def heads(name: str) -> Any:
        split = tf.reshape(dense(name, inputs, HIDDEN), [batch, length, HEADS, HIDDEN // HEADS])
        return tf.transpose(split, [0, 2, 1, 3])

    scores = tf.matmul(heads("query"), heads("key"), transpose_b=True) * (HIDDEN // HEADS) ** -0.5
    scores += (1.0 - tf.cast(mask[:, None, None, :], tf.float32)) * -10000.0
    context = tf.matmul(tf.nn.softmax(scores), heads("value"))
    return tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [-1, HIDDEN])


def layer(inputs: Any, mask: Any) -> Any:
    with scope("attention"):
        with scope("self"):
            context = attention(inputs, mask)
        with scope("output"):
            attended = layer_norm(dense("dense", context, HIDDEN) + inputs)
    with scope("intermediate"):
        wide = dense("dense", attended, CONFIG["intermediate_size"], gelu)
    with scope("output"):
        return layer_norm(dense("dense", wide, HIDDEN) + attended)


def bert(input_ids: Any, input_mask: Any, segment_ids: Any) -> Any:
    """Masked-LM and next-sentence logits of the pretraining model; the inputs are [batch, length] int32."""
    batch, length = input_ids.shape
    with scope("bert"):
        with scope("embeddings"):
            words = variable("word_embeddings", CONFIG["vocab_size"], HIDDEN)
            types = variable("token_type_embeddings", CONFIG["type_vocab_size"], HIDDEN)
            positions = variable("position_embeddings", CONFIG["max_position_embeddings"], HIDDEN)
            summed = tf.gather(words, input_ids) + tf.gather(types, segment_ids) + positions[:length]
            states = tf.reshape(layer_norm(summed), [-1, HIDDEN])
        with scope("encoder"):
            for number in range(CONFIG["num_hidden_layers"]):
                with scope(f"layer_{number}"):
                    states = layer(states, input_mask)
        with scope("pooler"):
            pooled = dense("dense", tf.reshape(states, [batch, length, HIDDEN])[:, 0], HIDDEN, tf.tanh)
    with scope("cls/predictions"):
        with scope("transform"):
            transformed = layer_norm(dense("dense", states, HIDDEN, gelu))
        bias = variable("output_bias", CONFIG["vocab_size"])
        prediction = tf.nn.bias_add(tf.matmul(transformed, words, transpose_b=True), bias)
    with scope("cls/seq_relationship"):
        weights, bias = variable("output_weights", 2, HIDDEN), variable("output_bias", 2)
        relationship = tf.nn.bias_add(tf.matmul(pooled, weights, transpose_b=True), bias)
    return prediction, relationship


def main() -> None:
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.set_random_seed(2018)
        tf1.get_variable_scope().set_use_resource(False)
        bert(*(tf1.placeholder(tf.int32, (1, 16), name) for name in ("input_ids", "input_mask", "segment_ids")))
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(HERE / "bert_model.ckpt"), write_state=False, strip_default_attrs=True)
    (HERE / "bert_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    (HERE / "vocab.txt").write_text("\n".join([*VOCABULARY, ""]))


if __name__ == "__main__":
    main()

"""Fine-tune a BERT in TensorFlow 1 style, warm-started from a Hugging Face folder.

The script is a short form of google-research/bert's ``run_classifier.py``: a graph with its variable names, the two
calls that load pretrained weights, and a training session. The two calls are bridgeckpt's. The task is a toy: does a
sequence hold the token 50? The script runs with TensorFlow 2.12 or later, through ``tf.compat.v1``::

    bridgeckpt convert tf2pt examples/tiny-bert tiny-bert-hf
    python examples/fine_tune_tf1.py tiny-bert-hf fine-tuned
    bridgeckpt convert tf2pt fine-tuned fine-tuned-hf
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

import bridgeckpt.tf

TOKEN, LENGTH, BATCH = 50, 16, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("init_checkpoint", help="a Hugging Face folder, or any other checkpoint beside a config.json")
    parser.add_argument("output", help="the folder of the training; a second run continues it")
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    config_file = Path(options.init_checkpoint) / "config.json"
    if not config_file.is_file():
        parser.error(f"there is no {config_file}")
    config = json.loads(config_file.read_text())
    with tf.Graph().as_default():
        train(config, options.init_checkpoint, options.output, options.steps)


def train(config: dict[str, Any], init_checkpoint: str, output: str, steps: int) -> None:
    tf.set_random_seed(0)
    input_ids, labels = tf.placeholder(tf.int32, (None, LENGTH)), tf.placeholder(tf.int32, (None,))
    logits = classifier(config, input_ids, n_labels=2)
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, -1, output_type=tf.int32), labels), tf.float32))

    tvars = tf.trainable_variables()
    assignment_map, initialized = bridgeckpt.tf.get_assignment_map_from_checkpoint(
        tvars, init_checkpoint, strict=True, new=["output_weights", "output_bias"]
    )
    bridgeckpt.tf.init_from_checkpoint(init_checkpoint, assignment_map)
    for variable in tvars:
        print(f"  {variable.name} {variable.shape}{', *INIT_FROM_CKPT*' if variable.name in initialized else ''}")

    step = tf.train.get_or_create_global_step()
    with tf.control_dependencies([tf.train.AdamOptimizer(1e-3).minimize(loss, global_step=step)]):
        trained = step.read_value()
    examples = Examples(config["vocab_size"])
    stop = tf.train.StopAtStepHook(last_step=steps)
    with tf.train.MonitoredTrainingSession(checkpoint_dir=output, hooks=[stop], save_summaries_steps=None) as session:
        while not session.should_stop():
            ids, answers = examples.draw()
            number, now, right = session.run([trained, loss, accuracy], {input_ids: ids, labels: answers})
            if number % 20 == 1:
                print(f"step {number}: loss {now:.3f}, accuracy {right:.2f}")


class Examples:
    """Batches of the toy task."""

    def __init__(self, vocab_size: int) -> None:
        self._vocab_size = vocab_size
        self._random = np.random.default_rng(0)

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        ids = self._random.integers(TOKEN + 1, self._vocab_size, (BATCH, LENGTH), dtype=np.int32)
        labels = self._random.integers(0, 2, BATCH, dtype=np.int32)
        places = self._random.integers(1, LENGTH, BATCH)
        ids[np.arange(BATCH)[labels == 1], places[labels == 1]] = TOKEN
        return ids, labels


def classifier(config: dict[str, Any], input_ids: Any, n_labels: int) -> Any:
    """Logits of whole sequences: a BERT with google-research/bert's variable names, for sequences without padding."""
    hidden = config["hidden_size"]
    with tf.variable_scope("bert"):
        with tf.variable_scope("embeddings"):
            words = variable("word_embeddings", (config["vocab_size"], hidden))
            types = variable("token_type_embeddings", (config["type_vocab_size"], hidden))
            positions = variable("position_embeddings", (config["max_position_embeddings"], hidden))
            states = layer_norm(tf.gather(words, input_ids) + types[0] + positions[:LENGTH])
        with tf.variable_scope("encoder"):
            for layer in range(config["num_hidden_layers"]):
                with tf.variable_scope(f"layer_{layer}"):
                    states = encoder_layer(config, states)
        with tf.variable_scope("pooler"):
            pooled = tf.tanh(dense("dense", states[:, 0], hidden))
    weights, bias = variable("output_weights", (n_labels, hidden)), variable("output_bias", (n_labels,))
    return tf.matmul(pooled, weights, transpose_b=True) + bias


def encoder_layer(config: dict[str, Any], states: Any) -> Any:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]

    def split(name: str) -> Any:
        return tf.transpose(tf.reshape(dense(name, states, hidden), (-1, LENGTH, heads, hidden // heads)), (0, 2, 1, 3))

    with tf.variable_scope("attention"):
        with tf.variable_scope("self"):
            query, key, value = split("query"), split("key"), split("value")
            weights = tf.nn.softmax(tf.matmul(query, key, transpose_b=True) / (hidden // heads) ** 0.5)
            context = tf.reshape(tf.transpose(tf.matmul(weights, value), (0, 2, 1, 3)), (-1, LENGTH, hidden))
        with tf.variable_scope("output"):
            states = layer_norm(dense("dense", context, hidden) + states)
    with tf.variable_scope("intermediate"):
        wide = ACTIVATIONS[config["hidden_act"]](dense("dense", states, config["intermediate_size"]))
    with tf.variable_scope("output"):
        return layer_norm(dense("dense", wide, hidden) + states)


def dense(name: str, inputs: Any, units: int) -> Any:
    with tf.variable_scope(name):
        return tf.matmul(inputs, variable("kernel", (inputs.shape[-1], units))) + variable("bias", (units,))


def layer_norm(inputs: Any) -> Any:
    with tf.variable_scope("LayerNorm"):
        beta, gamma = variable("beta", (inputs.shape[-1],)), variable("gamma", (inputs.shape[-1],))
    mean, variance = tf.nn.moments(inputs, axes=[-1], keepdims=True)
    return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, 1e-12)


def gelu(x: Any) -> Any:
    """The function that transformers calls "gelu"."""
    return x * 0.5 * (1 + tf.erf(x / 2**0.5))


def gelu_by_tanh(x: Any) -> Any:
    """The function that google-research/bert calls "gelu"."""
    return x * 0.5 * (1 + tf.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))


ACTIVATIONS = {"gelu": gelu, "gelu_new": gelu_by_tanh, "gelu_pytorch_tanh": gelu_by_tanh, "relu": tf.nn.relu}


def variable(name: str, shape: tuple[Any, ...]) -> Any:
    return tf.get_variable(name, shape, initializer=tf.truncated_normal_initializer(stddev=0.02))


if __name__ == "__main__":
    main()

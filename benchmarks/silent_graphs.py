"""Graphs of BERT that differ from google-research/bert's in one place, drawn at random: the mode ``graphs``.

TensorFlow builds the model, saves the checkpoint with its graph (``.meta``), and computes the outputs. Most weights are
drawn so that every part of the model shows in the outputs.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from silent_functions import activation, same, tanh_gelu
from silent_outcomes import judged
from silent_trials import Trial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

INTRODUCTION = """
BERTs of two or three layers in the form of google-research/bert, whose graph (`.meta`) differs in one place: another
activation (of a wide family, everywhere or in one layer or head), another epsilon at a random norm, another form of a
norm, another scale, order of norms, residual, pooler or head, or a harmless rewriting of the same function.
"""
_KINDS = (
    "activation",
    "one activation",
    "epsilon",
    "norm",
    "attention",
    "residual",
    "pooler",
    "head",
    "embeddings",
    "same",
)


_FORMS = {
    "attention": (
        "four heads",
        "keys are queries",
        "values are keys",
        "no scale",
        "scale of hidden",
        "scale doubled",
        "causal",
        "biased",
        "sigmoid",
        "other axis",
    ),
    "residual": (
        "no first residual",
        "halved residual",
        "from the embeddings",
        "no second residual",
        "residual from before",
        "scaled output",
        "residual after the norm",
    ),
    "pooler": ("mean", "last token", "maximum", "earlier layer", "embeddings", "relu", "linear", "gelu"),
    "head": ("earlier layer", "relu before", "scaled", "first token", "mean", "relu after", "right"),
    "embeddings": ("scaled words", "no positions", "second type", "no norm"),
}


class _Sizes(NamedTuple):
    vocabulary: int = 40
    hidden: int = 16
    layers: int = 2
    heads: int = 2
    wide: int = 24
    positions: int = 9
    batch: int = 2


class _Model:
    """A BERT in TensorFlow's default graph, with one difference."""

    def __init__(self, tf: Any, draw: random.Random, kind: str) -> None:
        self.tf, self.tf1, self.draw, self.kind = tf, tf.compat.v1, draw, kind
        self.sizes = _Sizes(layers=draw.choice([2, 3]))
        self.head = draw.choice(["none", "sequence", "token", "pretraining"])
        self.what = ""
        self.act: dict[str, Any] = {}
        self.epsilons: dict[str, float] = {}
        self.norms: dict[str, str] = {}
        self.form = ""
        self._draw_difference()

    def _draw_difference(self) -> None:
        draw, last = self.draw, self.sizes.layers - 1
        layer = draw.randint(0, last)
        norms = ["embeddings", *(f"{where}{n}" for n in range(last + 1) for where in ("attention", "output"))]
        places = [str(n) for n in range(last + 1)]
        if self.head == "pretraining":
            norms.append("transform")
            places.append("transform")
        if self.kind in {"activation", "same"}:
            self.what, function = (activation if self.kind == "activation" else same)(self.tf, draw)
            self.act = dict.fromkeys(places, function)
        elif self.kind == "one activation":
            place = draw.choice(places)
            self.what, function = activation(self.tf, draw)
            self.act, self.what = {place: function}, f"{self.what} at {place}"
        elif self.kind == "epsilon":
            place, value = draw.choice([*norms, "all"]), draw.choice([1e-3, 1e-2, 1e-1, 1e-6])
            self.epsilons = dict.fromkeys(norms, value) if place == "all" else {place: value}
            self.what = f"{value} at {place}"
        elif self.kind == "norm":
            place = draw.choice(norms)
            form = draw.choice(
                ["unbiased", "root then epsilon", "no mean", "absolute", "no shift", "scale plus 1", "other axis"]
            )
            self.norms, self.what = {place: form}, f"{form} at {place}"
        else:
            self.form = draw.choice(_FORMS[self.kind])
            self.layer = layer
            self.what = f"{self.form}" + (f" in layer {layer}" if self.kind in {"attention", "residual"} else "")

    def variable(self, name: str, shape: tuple[int, ...]) -> Any:
        uniform = self.tf1.random_uniform_initializer(0.5, 1.5)
        return self.tf1.get_variable(
            name, shape, initializer=uniform if name == "gamma" else self.tf1.random_normal_initializer(0, 0.4)
        )

    def dense(self, x: Any, width: int, function: Any = None, name: str = "dense") -> Any:
        with self.tf1.variable_scope(name):
            kernel = self.variable("kernel", (x.shape[-1], width))
            y = self.tf.nn.bias_add(self.tf.matmul(x, kernel), self.variable("bias", (width,)))
            return function(y) if function else y

    def norm(self, x: Any, place: str) -> Any:
        tf, epsilon, form = self.tf, self.epsilons.get(place, 1e-12), self.norms.get(place, "")
        with self.tf1.variable_scope("LayerNorm"):
            beta, gamma = self.variable("beta", (self.sizes.hidden,)), self.variable("gamma", (self.sizes.hidden,))
            mean, variance = tf.nn.moments(x, [0 if form == "other axis" else -1], keepdims=True)
            if form == "unbiased":
                variance = variance * (self.sizes.hidden / (self.sizes.hidden - 1))
            if form == "root then epsilon":
                return (x - mean) / (tf.sqrt(variance) + 0.1) * gamma + beta
            if form == "no mean":
                return x * tf.math.rsqrt(tf.reduce_mean(x * x, -1, keepdims=True) + epsilon) * gamma + beta
            if form == "absolute":
                return (x - mean) / (tf.reduce_mean(tf.abs(x - mean), -1, keepdims=True) + epsilon) * gamma + beta
            if form == "no shift":
                return (x - mean) * tf.math.rsqrt(variance + epsilon) * gamma
            scale = gamma + 1.0 if form == "scale plus 1" else gamma
            return tf.nn.batch_normalization(x, mean, variance, beta, scale, epsilon)

    def outputs(self) -> dict[str, Any]:
        tf, size, scope = self.tf, self.sizes, self.tf1.variable_scope
        ids = np.random.RandomState(self.draw.randint(0, 99)).randint(3, size.vocabulary, (size.batch, size.positions))
        self.ids = self.tf1.placeholder_with_default(ids, ids.shape, "input_ids")
        with scope("bert"):
            with scope("embeddings"):
                self.words = self.variable("word_embeddings", (size.vocabulary, size.hidden))
                positions = self.variable("position_embeddings", (size.positions, size.hidden))
                types = self.variable("token_type_embeddings", (2, size.hidden))
                x = tf.gather(self.words, self.ids)
                if self.kind == "embeddings" and self.form == "scaled words":
                    x *= 4.0
                if not (self.kind == "embeddings" and self.form == "no positions"):
                    x += positions[None, : size.positions]
                x += types[1 if self.kind == "embeddings" and self.form == "second type" else 0]
                x = x if self.kind == "embeddings" and self.form == "no norm" else self.norm(x, "embeddings")
            x = tf.reshape(x, (-1, size.hidden))
            self.start, states = x, [x]
            with scope("encoder"):
                for layer in range(size.layers):
                    with scope(f"layer_{layer}"):
                        states.append(self.block(states[-1], layer))
            self.states = [tf.reshape(state, (size.batch, size.positions, size.hidden)) for state in states]
            pooled = self.pooler()
        found = {"hidden": self.states[-1], "pooled": pooled}
        return found | self.logits(pooled)

    def block(self, x: Any, layer: int) -> Any:
        tf, size, scope = self.tf, self.sizes, self.tf1.variable_scope
        form = self.form if self.kind in {"attention", "residual"} and self.layer == layer else ""
        with scope("attention"):
            with scope("self"):
                context = self.attention(x, form)
            with scope("output"):
                y = self.dense(context, size.hidden)
                a = y + x
                if form == "no first residual":
                    a = y
                elif form == "halved residual":
                    a = y + 0.5 * x
                elif form == "from the embeddings":
                    a = y + self.start
                a = self.norm(a, f"attention{layer}")
        with scope("intermediate"):
            wide = self.dense(a, size.wide, self.act.get(str(layer), lambda x: tanh_gelu(tf, x)))
        with scope("output"):
            y = self.dense(wide, size.hidden)
            z = {"no second residual": y, "residual from before": y + x, "scaled output": 2.0 * y + a}.get(form, y + a)
            z = self.norm(z, f"output{layer}")
            return z + a if form == "residual after the norm" else z

    def attention(self, x: Any, form: str) -> Any:
        tf, size = self.tf, self.sizes
        heads = 4 if form == "four heads" else size.heads
        width = size.hidden // heads
        query, key, value = (
            tf.transpose(
                tf.reshape(self.dense(x, size.hidden, name=name), (size.batch, size.positions, heads, width)),
                (0, 2, 1, 3),
            )
            for name in ("query", "key", "value")
        )
        if form == "keys are queries":
            query, key = key, query
        if form == "values are keys":
            value = value + key
        scores = tf.matmul(query, key, transpose_b=True)
        scale = {"no scale": 1.0, "scale of hidden": size.hidden**-0.5, "scale doubled": 2 / width**0.5}
        scores = tf.multiply(scores, np.float32(scale.get(form, width**-0.5)))
        if form == "causal":
            scores += np.triu(np.full((size.positions, size.positions), -1e4, np.float32), 1)
        if form == "biased":
            scores += np.arange(size.positions, dtype=np.float32) * 0.3
        weights = (
            tf.sigmoid(scores) if form == "sigmoid" else tf.nn.softmax(scores, axis=-2 if form == "other axis" else -1)
        )
        return tf.reshape(tf.transpose(tf.matmul(weights, value), (0, 2, 1, 3)), (-1, size.hidden))

    def pooler(self) -> Any:
        tf, form = self.tf, self.form if self.kind == "pooler" else ""
        source = {
            "mean": lambda: tf.reduce_mean(self.states[-1], 1),
            "last token": lambda: self.states[-1][:, -1],
            "maximum": lambda: tf.reduce_max(self.states[-1], 1),
            "earlier layer": lambda: self.states[-2][:, 0],
            "embeddings": lambda: self.states[0][:, 0],
        }.get(form, lambda: self.states[-1][:, 0])()
        function = {"relu": tf.nn.relu, "linear": None, "gelu": lambda x: tanh_gelu(tf, x)}.get(form, tf.tanh)
        with self.tf1.variable_scope("pooler"):
            return self.dense(source, self.sizes.hidden, function)

    def logits(self, pooled: Any) -> dict[str, Any]:
        tf, size, form = self.tf, self.sizes, self.form if self.kind == "head" else ""
        if self.head == "none" and self.kind != "head":
            return {}
        tokens = self.states[-2] if form == "earlier layer" else self.states[-1]
        if form == "relu before":
            tokens, pooled = tf.nn.relu(tokens), tf.nn.relu(pooled)
        if self.head == "pretraining":
            with self.tf1.variable_scope("cls/predictions/transform"):
                x = tf.reshape(tokens, (-1, size.hidden))
                x = self.norm(
                    self.dense(x, size.hidden, self.act.get("transform", lambda x: tanh_gelu(tf, x))), "transform"
                )
            with self.tf1.variable_scope("cls/predictions"):
                scores = tf.matmul(x, self.words, transpose_b=True) + self.variable("output_bias", (size.vocabulary,))
            scores = scores * 0.5 if form == "scaled" else scores
            with self.tf1.variable_scope("cls/seq_relationship"):
                weights, bias = self.variable("output_weights", (2, size.hidden)), self.variable("output_bias", (2,))
                first = (
                    tokens[:, 0] if form == "first token" else tf.reduce_mean(tokens, 1) if form == "mean" else pooled
                )
                relation = tf.nn.bias_add(tf.matmul(first, weights, transpose_b=True), bias)
            shape = (size.batch, size.positions, size.vocabulary)
            return {"logits": tf.reshape(scores, shape), "relation": relation}
        x = tf.reshape(tokens, (-1, size.hidden)) if self.head == "token" else pooled
        if self.head != "token":
            x = {"first token": lambda: tokens[:, 0], "mean": lambda: tf.reduce_mean(tokens, 1)}.get(form, lambda: x)()
            x = self.states[-2][:, 0] if form == "earlier layer" else x
        weights, bias = self.variable("output_weights", (3, size.hidden)), self.variable("output_bias", (3,))
        logits = tf.nn.bias_add(tf.matmul(x, weights, transpose_b=True), bias)
        logits = {"scaled": lambda: logits * 0.5, "relu after": lambda: tf.nn.relu(logits)}.get(form, lambda: logits)()
        return {"logits": tf.reshape(logits, (size.batch, size.positions, 3)) if self.head == "token" else logits}


def trial(seed: int, folder: Path) -> Trial:
    """Make a model, convert it and compare."""
    import tensorflow as tf

    draw = random.Random(seed)
    kind = draw.choice(_KINDS)
    tf1 = tf.compat.v1
    folder.mkdir(parents=True)
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.set_random_seed(seed)
        model = _Model(tf, draw, kind)
        outputs = model.outputs()
        session.run(tf1.global_variables_initializer())
        expected = session.run({**outputs, "input_ids": model.ids})
        tf1.train.Saver().save(session, str(folder / "bert_model.ckpt"))
    size = model.sizes
    config = {
        "vocab_size": size.vocabulary,
        "hidden_size": size.hidden,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "intermediate_size": size.wide,
        "max_position_embeddings": size.positions,
        "type_vocab_size": 2,
        "hidden_act": draw.choice(["gelu", "gelu", "relu", "mish"]) if "activation" in kind else "gelu",
    }
    (folder / "bert_config.json").write_text(json.dumps(config))
    outcome, detail = judged(folder, expected)
    shutil.rmtree(folder)
    return Trial(seed, kind, outcome, f"{model.what} ({model.head}): {detail}")

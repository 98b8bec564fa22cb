"""Small BERTs with google-research/bert's names whose graph computes one thing in another way, written by TensorFlow.

A model is :class:`Bert` with some of its methods replaced. Importing this needs no TensorFlow.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VOCAB, HIDDEN, LAYERS, HEADS, WIDE, POSITIONS, LABELS = 30, 24, 3, 3, 40, 12, 3
BATCH, TOKENS = 2, 10
CONFIG = {
    "vocab_size": VOCAB,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": WIDE,
    "max_position_embeddings": POSITIONS,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
}


class Bert:
    """The forward pass. The methods without an underscore are what a test replaces; ``layer`` is the current one."""

    head: str | None = None  # "sequence", "token", "mlm" or "squad"
    dropout = False

    def __init__(self, tf: Any) -> None:
        self.tf, self.tf1 = tf, tf.compat.v1
        self.layer = -1
        self.states: list[Any] = []

    def embedded(self, summed: Any) -> Any:
        return self.norm(summed)

    def positions(self, table: Any) -> Any:
        return table

    def below(self, states: Any) -> Any:
        """What a layer reads."""
        return states

    def scaled(self, scores: Any) -> Any:
        return scores * (HIDDEN // HEADS) ** -0.5

    def masked(self, scores: Any, mask: Any) -> Any:
        return scores + mask

    def probabilities(self, scores: Any) -> Any:
        return self.tf.nn.softmax(scores)

    def joined(self, computed: Any, states: Any) -> Any:
        """A residual connection and its norm."""
        return self.norm(computed + states)

    def activated(self, wide: Any) -> Any:
        return self.tf.nn.gelu(wide, approximate=True)

    def first(self, sequence: Any) -> Any:
        """What the pooler reads."""
        return self.tf.squeeze(sequence[:, 0:1, :], axis=1)

    def pooled(self, projected: Any) -> Any:
        return self.tf.tanh(projected)

    def classified(self, sequence: Any, pooled: Any) -> Any:
        """What the head reads."""
        return sequence if self.head in ("token", "squad") else pooled

    def transformed(self, projected: Any) -> Any:
        return self.norm(self.tf.nn.gelu(projected, approximate=True))

    def biased(self, product: Any, bias: Any) -> Any:
        return product + bias

    def logits(self, product: Any) -> Any:
        return product

    def forward(self) -> Any:
        """The last output."""
        names = ("input_ids", "input_mask", "segment_ids")
        return self.computed(*(self.tf1.placeholder(self.tf.int32, (None, None), name) for name in names))

    def computed(self, ids: Any, mask: Any, types: Any) -> Any:
        """The last output for these inputs."""
        return self._head(*self.outputs(ids, mask, types))

    def outputs(self, ids: Any, mask: Any, types: Any) -> tuple[Any, Any]:
        """What the encoder and the pooler give."""
        tf, scope = self.tf, self.scope
        with scope("bert"):
            with scope("embeddings"):
                self.mask = mask[:, None, None]
                self.ids, self.words = ids, self.variable("word_embeddings", (VOCAB, HIDDEN))
                summed = tf.gather(self.words, ids)
                one_hot = tf.one_hot(tf.reshape(types, [-1]), 2)
                table = self.variable("token_type_embeddings", (2, HIDDEN))
                summed += tf.reshape(tf.matmul(one_hot, table), tf.shape(summed))
                table = self.variable("position_embeddings", (POSITIONS, HIDDEN))
                summed += tf.slice(self.positions(table), [0, 0], [TOKENS, -1])[None]
                states = tf.reshape(self.dropped(self.embedded(summed)), (-1, HIDDEN))
            self.states = [states]
            with scope("encoder"):
                hidden = (1.0 - tf.cast(mask, tf.float32)[:, None, None]) * -10000.0
                for self.layer in range(LAYERS):
                    with scope(f"layer_{self.layer}"):
                        self.states.append(self._layer(self.below(self.states[-1]), hidden))
            sequence = self.unflat(self.states[-1])
            with scope("pooler"):
                pooled = self.pooled(self.dense(self.first(sequence), HIDDEN))
        return sequence, pooled

    def _layer(self, states: Any, mask: Any) -> Any:
        scope = self.scope
        with scope("attention"):
            with scope("self"):
                context = self._attention(states, mask)
            with scope("output"):
                attended = self.joined(self.dropped(self.dense(context, HIDDEN)), states)
        with scope("intermediate"):
            wide = self.activated(self.dense(attended, WIDE))
        with scope("output"):
            return self.joined(self.dropped(self.dense(wide, HIDDEN)), attended)

    def _attention(self, states: Any, mask: Any) -> Any:
        tf = self.tf
        size = (-1, TOKENS, HEADS, HIDDEN // HEADS)
        projected = [self.dense(states, HIDDEN, name) for name in ("query", "key", "value")]
        split = [tf.transpose(tf.reshape(one, size), (0, 2, 1, 3)) for one in projected]
        scores = self.masked(self.scaled(tf.matmul(split[0], split[1], transpose_b=True)), mask)
        context = tf.matmul(self.dropped(self.probabilities(scores)), split[2])
        return tf.reshape(tf.transpose(context, (0, 2, 1, 3)), (-1, HIDDEN))

    def _head(self, sequence: Any, pooled: Any) -> Any:
        tf, scope = self.tf, self.scope
        if self.head is None:
            return sequence
        read = self.classified(sequence, pooled)
        flat = self.dropped(tf.reshape(read, (-1, HIDDEN)))
        if self.head == "mlm":
            with scope("cls/predictions"):
                with scope("transform"):
                    flat = self.transformed(self.dense(tf.reshape(sequence, (-1, HIDDEN)), HIDDEN))
                bias = self.variable("output_bias", (VOCAB,))
            return tf.nn.log_softmax(self.logits(self.biased(tf.matmul(flat, self.words, transpose_b=True), bias)))
        with scope("cls/squad") if self.head == "squad" else nullcontext():
            count = 2 if self.head == "squad" else LABELS
            kernel, bias = self.variable("output_weights", (count, HIDDEN)), self.variable("output_bias", (count,))
            return tf.nn.log_softmax(self.logits(self.biased(tf.matmul(flat, kernel, transpose_b=True), bias)))

    def dense(self, states: Any, size: int, name: str = "dense") -> Any:
        with self.scope(name):
            kernel, bias = self.variable("kernel", (int(states.shape[-1]), size)), self.variable("bias", (size,))
            return self.tf.nn.bias_add(self.tf.matmul(states, kernel), bias)

    def norm(self, states: Any) -> Any:
        with self.scope("LayerNorm"):
            beta, gamma = self.variable("beta", (HIDDEN,)), self.variable("gamma", (HIDDEN,))
            mean, variance = self.tf.nn.moments(states, [-1], keepdims=True)
            return self.tf.nn.batch_normalization(states, mean, variance, beta, gamma, 1e-12)

    def dropped(self, states: Any) -> Any:
        return self.tf.nn.dropout(states, rate=0.1) if self.dropout else states

    def unflat(self, states: Any) -> Any:
        return self.tf.reshape(states, (-1, TOKENS, HIDDEN))

    def scope(self, name: str) -> Any:
        return self.tf1.variable_scope(name)

    def variable(self, name: str, shape: tuple[int, ...]) -> Any:
        return self.tf1.get_variable(name, shape, initializer=self.tf1.random_normal_initializer(0, 0.4))


def write(folder: Path, head: str | None = None, *, training: bool = False, towers: int = 1, **changes: Any) -> Path:
    """Save a model whose methods in ``changes`` are replaced, with its graph beside it; the path of the checkpoint."""
    import tensorflow as tf

    tf1 = tf.compat.v1
    folder.mkdir(parents=True, exist_ok=True)
    kind = type("Changed", (Bert,), {"head": head, "dropout": training, **changes})
    with tf.Graph().as_default(), tf1.Session() as session:
        for _ in range(towers):
            with tf1.variable_scope(tf1.get_variable_scope(), reuse=tf1.AUTO_REUSE):
                output = kind(tf).forward()
        if training:
            tf1.train.AdamOptimizer(1e-3).minimize(tf.reduce_mean(tf.square(output)))
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(folder / "bert_model.ckpt"))
    (folder / "bert_config.json").write_text(json.dumps(CONFIG))
    return folder


class KerasNamed(Bert):
    """The same model as TensorFlow 2 writes it, with the names of transformers' classes for TensorFlow."""

    def __init__(self, tf: Any) -> None:
        super().__init__(tf)
        self.variables: dict[str, Any] = {}
        self._path: list[str] = []

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        name = name.replace("layer_", "layer_._")
        self._path.append(name)
        with self.tf.name_scope(name):
            yield
        self._path.pop()

    def variable(self, name: str, shape: tuple[int, ...]) -> Any:
        name = {"word_embeddings": "word_embeddings/weight"}.get(name, name)
        name = f"{name}/embeddings" if name.endswith("_embeddings") else name
        place = "/".join((*self._path, name))
        if place not in self.variables:  # when nothing is traced
            self.variables[place] = self.tf.Variable(self.tf.random.normal(shape, 0, 0.4), name=name)
        return self.tf.convert_to_tensor(self.variables[place])


def save_model(folder: Path, *, nested: bool = False, **changes: Any) -> Path:
    """Save a SavedModel of TensorFlow 2. If ``nested``, each layer and the pooler's end are functions of their own."""
    import tensorflow as tf

    def own_function(method: Any) -> Any:
        return lambda *values: tf.function(method, autograph=False)(*values)

    bert = type("Changed", (KerasNamed,), changes)(tf)
    with tf.name_scope("tf_bert_model"):
        bert.computed(*[tf.ones((BATCH, TOKENS), tf.int32)] * 3)
    for name in ("_layer", "pooled") if nested else ():
        setattr(bert, name, own_function(getattr(bert, name)))
    inputs = [tf.TensorSpec((None, TOKENS), tf.int32, name) for name in ("input_ids", "input_mask", "segment_ids")]
    module = tf.Module()
    module.weights = list(bert.variables.values())

    def serve(*values: Any) -> dict[str, Any]:
        with tf.name_scope("tf_bert_model"):
            states, pooled = bert.outputs(*values)
            return {"states": states, "pooled": pooled}

    module.serve = tf.function(serve, input_signature=inputs, autograph=False)
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    config = {**CONFIG, "model_type": "bert", "architectures": ["BertModel"]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder

"""BERT checkpoints written by real TensorFlow, with the outputs of the graph that wrote them, as fixtures of the tests.

The forward pass is written in graph mode, with the variable names and name scopes of google-research/bert (or of a port
of it to tf.keras), independently of the package under test. Weights are scaled so that every mistake moves an output:
kernels N(0, 1/sqrt(hidden)), gammas away from 1, biases and betas away from 0. Importing this needs no TensorFlow.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What to build. Sizes are all different, so that a transposed or swapped tensor cannot fit by chance."""

    vocab: int = 101
    hidden: int = 36
    layers: int = 2
    heads: int = 3
    intermediate: int = 80
    positions: int = 24
    types: int = 2
    head: str | None = "pretraining"  # "pretraining", "mlm", "nsp", "classifier", "token", "squad" or None
    labels: int = 3
    hidden_act: str = "gelu"  # a key of ACTIVATIONS
    eps: float | None = None  # 1e-12 for google, 1e-3 (Keras' default) for the ports
    scope: str = ""  # "my_model/"
    slots: str | None = None  # "adamw", "lamb", "adam", "contrib_adamw" or "momentum"
    ema: bool = False
    port: str = "google"  # "keras": numbered LayerNorms; "keras_dense": and dense layers; "keras_all": and projections
    pooler: bool = True
    partitions: int | None = None  # slices of each variable
    shards: int = 1  # data files
    dtype: str = "float32"
    resource: bool = False  # resource variables (VarHandleOp) rather than VariableV2
    dropout: bool = False  # dropout ops in the graph, with a rate that is 0 unless fed
    static: bool = True  # whether batch and sequence length are constants of the graph
    meta: bool = True
    config: bool = True  # write bert_config.json
    vocab_file: bool = True  # write vocab.txt
    name: str = "bert_model.ckpt"
    step: int | None = None  # appended to the name by the saver
    seed: int = 0

    @property
    def epsilon(self) -> float:
        """The LayerNorm epsilon in force."""
        return self.eps if self.eps is not None else 1e-12 if self.port == "google" else 1e-3

    @property
    def bert_config(self) -> dict[str, Any]:
        """The content of bert_config.json."""
        return {
            "attention_probs_dropout_prob": 0.1,
            "hidden_act": ACTIVATIONS[self.hidden_act][0],
            "hidden_dropout_prob": 0.1,
            "hidden_size": self.hidden,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate,
            "max_position_embeddings": self.positions,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "type_vocab_size": self.types,
            "vocab_size": self.vocab,
        }


@dataclass(frozen=True)
class Built:
    """A checkpoint on disk and what TensorFlow knows about it.

    ``variables`` maps every saved name to its value; ``outputs`` holds hidden_states [layers + 1, batch, seq, hidden],
    sequence_output, pooled_output and the head's logits under the names of ../shared/samples/golden;
    ``ema_outputs`` the same, computed with the shadow weights.
    """

    directory: Path
    prefix: Path
    spec: Spec
    inputs: Arrays
    outputs: Arrays
    variables: Arrays
    ema_outputs: Arrays = field(default_factory=dict)


def build(directory: Path, **options: Any) -> Built:
    """Build, save and run a BERT; ``options`` are the fields of :class:`Spec`."""
    import tensorflow as tf

    spec = Spec(**options)
    directory.mkdir(parents=True, exist_ok=True)
    tf1 = tf.compat.v1
    with tf.Graph().as_default():
        tf1.set_random_seed(spec.seed)
        model = _Model(tf, spec)
        outputs = model.forward()
        variables = {variable.op.name: variable for variable in tf1.trainable_variables()}
        bookkeeping = _slots(tf, spec, outputs)
        average = tf1.train.ExponentialMovingAverage(0.9) if spec.ema else None
        if average is not None:
            average.apply(list(variables.values()))
        saver = tf1.train.Saver(sharded=spec.shards > 1, max_to_keep=None)
        with tf1.Session(config=tf1.ConfigProto(device_count={"CPU": spec.shards})) as session:
            session.run([variable.initializer for variable in variables.values()])  # the shadows start from these
            session.run(tf1.global_variables_initializer())
            # Drawing the weights again leaves the shadows with the first draw: two different sets of weights.
            session.run([variable.initializer for variable in variables.values()])
            session.run(bookkeeping)
            feed = {model.inputs[key]: value for key, value in _inputs(spec).items()}
            prefix = saver.save(session, str(directory / spec.name), global_step=spec.step, write_meta_graph=spec.meta)
            computed = session.run(outputs, feed)
            ema_outputs: Arrays = {}
            if average is not None:
                shadows = {name: session.run(average.average(variable)) for name, variable in variables.items()}
                ema_outputs = session.run(outputs, feed | {model.reads[name]: shadows[name] for name in shadows})
    if spec.config:
        (directory / "bert_config.json").write_text(json.dumps(spec.bert_config, indent=2) + "\n")
    if spec.vocab_file:
        (directory / "vocab.txt").write_text("\n".join([*vocabulary(spec.vocab), ""]), encoding="utf-8")
    reader = tf.train.load_checkpoint(prefix)
    saved = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    return Built(directory, Path(prefix), spec, _inputs(spec), computed, saved, ema_outputs)


def graph(**options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A BERT in TensorFlow's default graph, untrained: its inputs and outputs. Options as of :class:`Spec`."""
    import tensorflow as tf

    model = _Model(tf, Spec(**options))
    outputs = model.forward()
    return model.inputs, outputs


def vocabulary(size: int) -> list[str]:
    """An uncased wordpiece vocabulary of ``size`` tokens."""
    tokens = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += [*ascii_lowercase, *(f"##{letter}" for letter in ascii_lowercase)]
    return (tokens + [f"word{number}" for number in range(max(0, size - len(tokens)))])[:size]


def _inputs(spec: Spec) -> Arrays:
    """Four sequences as long as the position table: full length, padded twice, and one token; all segments occur."""
    generator = np.random.default_rng(spec.seed + 1)
    shape = (4, spec.positions)
    lengths = np.array([spec.positions, spec.positions // 2, spec.positions - 3, 1])
    attention_mask = (np.arange(spec.positions) < lengths[:, None]).astype(np.int32)
    return {
        "input_ids": generator.integers(0, spec.vocab, shape, dtype=np.int32) * attention_mask,
        "attention_mask": attention_mask,
        "token_type_ids": generator.integers(0, spec.types, shape, dtype=np.int32) * attention_mask,
    }


def _slots(tf: Any, spec: Spec, outputs: dict[str, Any]) -> list[Any]:
    """Optimizer state of ``spec.slots``; returns the ops to run once before saving."""
    tf1 = tf.compat.v1
    if spec.slots is None:
        return []
    step = tf1.train.get_or_create_global_step()
    ops: list[Any] = [step.assign(spec.step or 300)]
    if spec.slots in {"adam", "momentum"}:  # TensorFlow's own optimizers, run for one step
        optimizer = tf1.train.AdamOptimizer(1e-4) if spec.slots == "adam" else tf1.train.MomentumOptimizer(1e-4, 0.9)
        loss = sum(tf.reduce_mean(tf.square(outputs[key])) for key in sorted(outputs))
        return [*ops, optimizer.minimize(loss)]
    suffixes = {"adamw": ("adam_m", "adam_v"), "lamb": ("lamb_m", "lamb_v"), "contrib_adamw": ("AdamW", "AdamW_1")}
    for variable in tf1.trainable_variables():
        for suffix in suffixes[spec.slots]:
            name, initializer = f"{variable.op.name}/{suffix}", tf1.random_normal_initializer()
            tf1.get_variable(name, variable.shape, variable.dtype.base_dtype, initializer, trainable=False)
    if spec.slots == "contrib_adamw":
        for name, value in (("beta1_power", 0.9), ("beta2_power", 0.999)):
            tf1.get_variable(name, initializer=value, trainable=False)
    return ops


class _Model:
    """The forward pass; ``reads`` maps a variable's name to the tensor through which the graph reads it."""

    def __init__(self, tf: Any, spec: Spec) -> None:
        self.tf, self.tf1, self.spec = tf, tf.compat.v1, spec
        self.reads: dict[str, Any] = {}
        self.inputs: dict[str, Any] = {}
        self._numbered: dict[str, int] = {}
        self._created = 0

    def forward(self) -> dict[str, Any]:
        """Every output of the model and its head."""
        tf, spec = self.tf, self.spec
        static = (4, spec.positions) if spec.static else (None, None)
        self.inputs = {  # with defaults, so that the optimizers' step needs no feed
            key: self.tf1.placeholder_with_default(value, static, name=key) for key, value in _inputs(spec).items()
        }
        self.rate = self.tf1.placeholder_with_default(np.float32(0), (), name="dropout_rate") if spec.dropout else None
        self.tf1.get_variable_scope().set_use_resource(spec.resource)  # scopes below inherit it
        with self._scope(spec.scope):
            with self._scope("bert"):
                with self._scope("embeddings"):
                    states = [self._embeddings()]
                with self._scope("encoder"):
                    mask = self._mask()
                    for layer in range(spec.layers):
                        with self._scope(f"layer_{layer}"):
                            states.append(self._layer(states[-1], mask))
                outputs = {"hidden_states": tf.stack([self._unflatten(state) for state in states])}
                outputs["sequence_output"] = self._unflatten(states[-1])
                if spec.pooler:
                    with self._scope("pooler"):
                        first = tf.squeeze(outputs["sequence_output"][:, 0:1, :], axis=1)
                        outputs["pooled_output"] = self._dense(None, first, spec.hidden, tf.tanh)
            return outputs | self._head(outputs)

    def _embeddings(self) -> Any:
        tf, spec = self.tf, self.spec
        words = self._variable("word_embeddings", (spec.vocab, spec.hidden))
        summed = tf.reshape(tf.gather(words, tf.reshape(self.inputs["input_ids"], [-1])), [*self._shape(), spec.hidden])
        types = self._variable("token_type_embeddings", (spec.types, spec.hidden))
        one_hot = tf.one_hot(tf.reshape(self.inputs["token_type_ids"], [-1]), depth=spec.types)
        summed += tf.reshape(tf.matmul(one_hot, types), [*self._shape(), spec.hidden])
        positions = self._variable("position_embeddings", (spec.positions, spec.hidden))
        summed += tf.expand_dims(tf.slice(positions, [0, 0], [self._shape()[1], -1]), 0)
        return tf.reshape(self._dropout(self._norm(summed)), [-1, spec.hidden])

    def _mask(self) -> Any:
        """0 where a token may be attended to, -10000 on padding; [batch, 1, 1, seq]."""
        mask = self.tf.cast(self.inputs["attention_mask"], self.tf.float32)
        return (1.0 - mask[:, None, None, :]) * -10000.0

    def _layer(self, inputs: Any, mask: Any) -> Any:
        with self._scope("attention"):
            with self._scope("self"):
                context = self._attention(inputs, mask)
            with self._scope("output"):
                attended = self._dropout(self._dense(None, context, self.spec.hidden))
                attended = self._norm(attended + inputs)
        with self._scope("intermediate"):
            activation = ACTIVATIONS[self.spec.hidden_act][1]
            wide = self._dense(None, attended, self.spec.intermediate, lambda x: activation(self.tf, x))
        with self._scope("output"):
            return self._norm(self._dropout(self._dense(None, wide, self.spec.hidden)) + attended)

    def _attention(self, inputs: Any, mask: Any) -> Any:
        tf, spec = self.tf, self.spec
        head_dim = spec.hidden // spec.heads

        def split(name: str) -> Any:
            projected = self._dense(name, inputs, spec.hidden)
            return tf.transpose(tf.reshape(projected, [*self._shape(), spec.heads, head_dim]), [0, 2, 1, 3])

        query, key, value = split("query"), split("key"), split("value")
        scores = tf.multiply(tf.matmul(query, key, transpose_b=True), 1.0 / float(head_dim) ** 0.5)
        probabilities = self._dropout(tf.nn.softmax(scores + mask))
        context = tf.transpose(tf.matmul(probabilities, value), [0, 2, 1, 3])
        return tf.reshape(context, [-1, spec.hidden])

    def _head(self, outputs: dict[str, Any]) -> dict[str, Any]:
        tf, spec, sequence = self.tf, self.spec, outputs["sequence_output"]
        if spec.head in {"pretraining", "mlm", "nsp"}:
            logits = {}
            if spec.head != "nsp":
                logits["mlm_logits"] = self._masked_lm(sequence)
            if spec.head != "mlm":
                with self._scope("cls/seq_relationship"):
                    logits["nsp_logits"] = self._project(outputs["pooled_output"], 2)
            return logits
        if spec.head == "squad":
            with self._scope("cls/squad"):
                logits = self._unflatten(self._project(tf.reshape(sequence, [-1, spec.hidden]), 2))
            start, end = tf.unstack(tf.transpose(logits, [2, 0, 1]), axis=0)
            return {"start_logits": start, "end_logits": end}
        if spec.head == "token":
            flat = tf.reshape(self._dropout(sequence), [-1, spec.hidden])
            return {"logits": self._unflatten(self._project(flat, spec.labels))}
        if spec.head == "classifier":
            return {"logits": self._project(self._dropout(outputs["pooled_output"]), spec.labels)}
        return {}

    def _masked_lm(self, sequence: Any) -> Any:
        tf, spec = self.tf, self.spec
        with self._scope("cls/predictions"):
            with self._scope("transform"):
                activation = ACTIVATIONS[spec.hidden_act][1]
                flat = tf.reshape(sequence, [-1, spec.hidden])
                hidden = self._norm(self._dense(None, flat, spec.hidden, lambda x: activation(tf, x)))
            bias = self._variable("output_bias", (spec.vocab,))
            words = self.reads[f"{spec.scope}bert/embeddings/word_embeddings"]
            return self._unflatten(tf.nn.bias_add(tf.matmul(hidden, words, transpose_b=True), bias))

    def _project(self, inputs: Any, labels: int) -> Any:
        weights = self._variable("output_weights", (labels, self.spec.hidden))
        bias = self._variable("output_bias", (labels,))
        return self.tf.nn.bias_add(self.tf.matmul(inputs, weights, transpose_b=True), bias)

    def _dense(self, name: str | None, inputs: Any, units: int, activation: Callable[[Any], Any] | None = None) -> Any:
        """A dense layer; one without a name is ``dense`` in its scope, or numbered over the model as tf.keras does."""
        if self.spec.port == "keras_all" or (name is None and self.spec.port == "keras_dense"):
            name = self._number("dense")
        name = name or "dense"
        with self._scope(name):
            kernel = self._variable("kernel", (int(inputs.shape[-1]), units))
            outputs = self.tf.nn.bias_add(self.tf.matmul(inputs, kernel), self._variable("bias", (units,)))
            return activation(outputs) if activation else outputs

    def _norm(self, inputs: Any) -> Any:
        """LayerNorm as tf.contrib computes it, or as tf.keras does (a fused batch norm unless epsilon is tiny)."""
        tf, epsilon = self.tf, self.spec.epsilon
        with self._scope("LayerNorm" if self.spec.port == "google" else self._number("layer_normalization")):
            beta, gamma = self._variable("beta", (self.spec.hidden,)), self._variable("gamma", (self.spec.hidden,))
            if self.spec.port == "google" or epsilon < 1.001e-5:
                mean, variance = tf.nn.moments(inputs, axes=[-1], keepdims=True)
                return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, epsilon)
            flat = tf.reshape(inputs, [1, -1, self.spec.hidden, 1])
            rows = tf.shape(flat)[1:2]
            fused = self.tf1.nn.fused_batch_norm(
                flat, tf.ones(rows), tf.zeros(rows), epsilon=epsilon, data_format="NCHW", is_training=True
            )
            return tf.reshape(fused[0], tf.shape(inputs)) * gamma + beta

    def _variable(self, name: str, shape: tuple[int, ...]) -> Any:
        """A float32 tensor that reads a new variable, drawn so that it matters."""
        tf1, spec = self.tf1, self.spec
        if name == "gamma":
            initializer = tf1.random_uniform_initializer(0.5, 1.5)
        else:
            initializer = tf1.random_normal_initializer(0, 0.2 if len(shape) == 1 else spec.hidden**-0.5)
        partitioner = tf1.fixed_size_partitioner(spec.partitions) if spec.partitions else None
        with self.tf.device(f"/cpu:{self._created % spec.shards}"):
            variable = tf1.get_variable(name, shape, spec.dtype, initializer, partitioner=partitioner)
        self._created += 1
        read = self.tf.convert_to_tensor(variable)
        self.reads[variable.name.removesuffix(":0")] = read
        return read if spec.dtype == "float32" else self.tf.cast(read, self.tf.float32)

    def _number(self, name: str) -> str:
        count = self._numbered.get(name, 0)
        self._numbered[name] = count + 1
        return f"{name}_{count}" if count else name

    def _dropout(self, inputs: Any) -> Any:
        return inputs if self.rate is None else self.tf.nn.dropout(inputs, rate=self.rate)

    def _shape(self) -> list[Any]:
        """Batch and sequence length: numbers when static, else scalars computed by the graph."""
        dynamic = self.tf.shape(self.inputs["input_ids"]) if not self.spec.static else None
        return [4, self.spec.positions] if dynamic is None else [dynamic[0], dynamic[1]]

    def _unflatten(self, tensor: Any) -> Any:
        return self.tf.reshape(tensor, [*self._shape(), int(tensor.shape[-1])])

    @contextmanager
    def _scope(self, name: str) -> Iterator[None]:
        if not name:
            yield
            return
        with self.tf1.variable_scope(name.strip("/")):
            yield


def _gelu_tanh(tf: Any, x: Any) -> Any:
    return x * (0.5 * (1.0 + tf.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * tf.pow(x, 3)))))


def _gelu_erf(tf: Any, x: Any) -> Any:
    return x * 0.5 * (1.0 + tf.math.erf(x / 2**0.5))


# Name here -> the word in bert_config.json, and the function. Four of them go by the word "gelu".
ACTIVATIONS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "gelu": ("gelu", _gelu_tanh),
    "gelu_erf": ("gelu", _gelu_erf),
    "gelu_nn": ("gelu", lambda tf, x: tf.nn.gelu(x, approximate=True)),
    "gelu_nn_erf": ("gelu", lambda tf, x: tf.nn.gelu(x, approximate=False)),
    "relu": ("relu", lambda tf, x: tf.nn.relu(x)),
    "tanh": ("tanh", lambda tf, x: tf.tanh(x)),
    "linear": ("linear", lambda tf, x: x),
    "swish": ("swish", lambda tf, x: x * tf.sigmoid(x)),
}


def merged(target: Path, *sources: tuple[str, Arrays]) -> str:
    """One checkpoint with the variables of several, each under a prefix of its own."""
    import tensorflow as tf

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for prefix, variables in sources:
            for name, value in variables.items():
                tf.compat.v1.get_variable(prefix + name, initializer=tf.constant(value))
        session.run(tf.compat.v1.global_variables_initializer())
        path: str = tf.compat.v1.train.Saver().save(session, str(target), write_meta_graph=False)
        return path

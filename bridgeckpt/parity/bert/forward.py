"""A BERT's forward pass in plain TensorFlow operations, in float32 or float64, with every head that it has.

It consists of matrix products, sums and elementary functions, written from the definition of the model. In float64
every constant, scale and sum is float64, and the weights are exactly the checkpoint's numbers: this is the truth of the
source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from bridgeckpt.parity.bert.activations import FUNCTIONS, SAME
from bridgeckpt.parity.reference.probes import IDS, MASK, TYPES

if TYPE_CHECKING:
    import numpy as np

    from bridgeckpt.parity.bert.settings import Settings
    from bridgeckpt.parity.bert.variables import Bert

    Array = np.ndarray[Any, np.dtype[Any]]

_MASKED = -10000.0  # added to the scores of padding, as google-research/bert does


class Forward:
    """A BERT that can be run. Its weights are read when they are needed, so that one layer is in memory at a time.

    Args:
        tf: The module ``tensorflow``.
        bert: Which variables.
        load: The values of a variable by its name, in the checkpoint's dtype.
        dtype: What everything is computed in.
    """

    def __init__(
        self,
        tf: Any,  # noqa: ANN401 - TensorFlow has no types
        bert: Bert,
        load: Callable[[str], Array],
        dtype: Literal["float32", "float64"],
    ) -> None:
        self._tf, self._bert, self._load, self._dtype = tf, bert, load, dtype
        self._words: Any = None  # kept: it is also the decoder of the masked-LM head, and a sweep reads it many times

    def run(self, inputs: Mapping[str, Array], settings: Settings) -> Iterator[tuple[str, Any]]:
        """Every stage and its tensor (see :mod:`bridgeckpt.parity.bert.stages`), in the order of computation.

        ``inputs`` are those of a probe: ids, mask and token types, int32 [batch, seq]. A stage is computed when it is
        asked for.
        """
        tf, bert, self._settings = self._tf, self._bert, settings
        self._activation = FUNCTIONS[SAME.get(settings.hidden_act, settings.hidden_act)]
        states = self._embed(inputs)
        yield "embeddings", states
        mask = (1.0 - tf.cast(inputs[MASK], self._dtype))[:, None, None, :] * _MASKED
        for layer in range(bert.layers):
            for part, values in self._layer(f"layer.{layer}", states, mask):
                yield f"layer.{layer}.{part}", values
                states = values
        if bert.has("pooler"):
            pooled = tf.math.tanh(self._dense("pooler", states[:, 0]))
            yield "pooler", pooled
        if bert.has("mlm_logits"):
            transformed = self._norm("transform", self._activation(tf, self._dense("transform", states)))
            yield "transform", transformed
            logits = tf.tensordot(transformed, self._word_table(), [[2], [1]]) + self._weight("mlm_logits.bias")
            yield "mlm_logits", logits
        for stage, reads in (("nsp_logits", "pooler"), ("logits", "pooler"), ("token_logits", ""), ("span_logits", "")):
            if bert.has(stage):
                # google-research/bert keeps these kernels as [labels, hidden].
                kernel, values = self._weight(f"{stage}.kernel"), pooled if reads else states
                yield stage, tf.tensordot(values, kernel, [[-1], [1]]) + self._weight(f"{stage}.bias")

    def _embed(self, inputs: Mapping[str, Array]) -> Any:  # noqa: ANN401
        tf = self._tf
        words = tf.gather(self._word_table(), inputs[IDS])
        types = tf.gather(self._weight("embeddings.types"), inputs[TYPES])
        positions = self._weight("embeddings.positions")[: inputs[IDS].shape[1]]
        return self._norm("embeddings", words + types + positions)

    def _layer(self, layer: str, states: Any, mask: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
        """The stages inside one layer; the last is its output."""
        query, key, value = (self._dense(f"{layer}.{name}", states) for name in ("query", "key", "value"))
        yield "query", query
        yield "key", key
        yield "value", value
        context = self._attend(query, key, value, mask)
        yield "context", context
        attended = self._norm(f"{layer}.attention", self._dense(f"{layer}.attention", context) + states)
        yield "attention", attended
        wide = self._activation(self._tf, self._dense(f"{layer}.intermediate", attended))
        yield "intermediate", wide
        yield "output", self._norm(f"{layer}.output", self._dense(f"{layer}.output", wide) + attended)

    def _attend(self, query: Any, key: Any, value: Any, mask: Any) -> Any:  # noqa: ANN401
        tf, heads = self._tf, self._settings.heads
        batch, length, features = query.shape
        size = features // heads
        query, key, value = (
            tf.transpose(tf.reshape(x, [batch, length, heads, size]), [0, 2, 1, 3]) for x in (query, key, value)
        )
        scores = tf.matmul(query, key, transpose_b=True) * (1.0 / math.sqrt(size)) + mask
        context = tf.matmul(tf.nn.softmax(scores), value)
        return tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [batch, length, features])

    def _dense(self, role: str, values: Any) -> Any:  # noqa: ANN401
        kernel, bias = self._weight(f"{role}.kernel"), self._weight(f"{role}.bias")
        return self._tf.tensordot(values, kernel, [[-1], [0]]) + bias

    def _norm(self, role: str, values: Any) -> Any:  # noqa: ANN401
        tf = self._tf
        mean, variance = tf.nn.moments(values, axes=[-1], keepdims=True)
        normal = (values - mean) / tf.math.sqrt(variance + self._settings.layer_norm_eps)
        return normal * self._weight(f"{role}.gamma") + self._weight(f"{role}.beta")

    def _word_table(self) -> Any:  # noqa: ANN401
        if self._words is None:
            self._words = self._weight("embeddings.words")
        return self._words

    def _weight(self, role: str) -> Any:  # noqa: ANN401
        values = self._bert.plain(role, self._load(self._bert.variables[role]))
        return self._tf.constant(values.astype(self._dtype))

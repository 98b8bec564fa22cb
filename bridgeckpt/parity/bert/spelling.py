"""The spelling of a BERT: each role's variable, as one code base names it. What several spellings share is here.

Names are regular expressions, without what all names of a model begin with and without ``:0``. ``{layer}``
distinguishes the layers, and ``{#}`` is the number that Keras may append, ``_3``; ``{#0}`` is the lowest, ``{#1}`` the
next, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bridgeckpt.frozen import FrozenDict

Names = Mapping[str, str]
Parts = tuple[str, str]

TANH: Names = {"gelu": "gelu_pytorch_tanh"}
ERF: Names = {"gelu": "gelu"}
DENSE, NORM, VARS = ("kernel", "bias"), ("gamma", "beta"), ("vars/0", "vars/1")
NUMBER, COUNT = r"\d+", r"(?:_\d+)?"  # layer_0, layer_1; or encoder, encoder_1
FLIPPED = frozenset({"nsp_logits", "span_logits", "logits", "token_logits"})


class Spelling(NamedTuple):
    """The names that one code base gives.

    Attributes:
        title: The code, as messages call it.
        body: Role to name, of the encoder; ``layer.`` roles without their number.
        heads: The same for what stands beside the encoder, under a beginning of its own; ``own_pooler`` is one that a
            head has in place of the encoder's, ``any_logits`` a head whose name fits several heads.
        layer: What ``{layer}`` may be.
        root: What all names of a model may begin with.
        flipped: The stages whose kernels are [hidden, labels]; google-research/bert's are [labels, hidden].
        words: Transformers' name of an activation, by the code's own word for it.
        doubts: By such a word, why it may mean another function: the code changed.
        head_doubt: Why the masked LM head may have another activation than the encoder; "" if it cannot.
        epsilon: What its LayerNorms add to the variance where no config says.
        is_constant: Whether no program can give the code another activation or epsilon.
    """

    title: str
    body: Names
    heads: Names
    layer: str = NUMBER
    root: str = "(?:.*/)?"
    flipped: frozenset[str] = FLIPPED
    words: Names = TANH
    doubts: Names = FrozenDict()
    head_doubt: str = ""
    epsilon: float = 1e-12
    is_constant: bool = False


def two(role: str, place: str, parts: Parts, called: Parts | None = None) -> dict[str, str]:
    """The two variables of a dense layer or a norm: the ``parts`` of the role, as they are ``called`` there."""
    return {f"{role}.{part}": place + name for part, name in zip(parts, called or parts, strict=True)}


def encoder(
    tables: Sequence[str],
    norm: str,
    at: str,
    layers: Sequence[str],
    dense: Parts = DENSE,
    norms: Parts = NORM,
) -> dict[str, str]:
    """An encoder, given its tables of words, positions and types, their norm, and the eight parts of each layer.

    These are query, key, value, output and norm of the attention, the wide and the narrow dense layer, the last norm.
    """
    query, key, value, output, first, wide, narrow, last = (at + name for name in layers)
    return {
        **dict(zip(("embeddings.words", "embeddings.positions", "embeddings.types"), tables, strict=True)),
        **two("embeddings", norm, NORM, norms),
        **two("layer.query", query, DENSE, dense),
        **two("layer.key", key, DENSE, dense),
        **two("layer.value", value, DENSE, dense),
        **two("layer.attention", output, DENSE, dense),
        **two("layer.attention", first, NORM, norms),
        **two("layer.intermediate", wide, DENSE, dense),
        **two("layer.output", narrow, DENSE, dense),
        **two("layer.output", last, NORM, norms),
    }


GOOGLES = (
    *("attention/self/query/", "attention/self/key/", "attention/self/value/", "attention/output/dense/"),
    *("attention/output/LayerNorm/", "intermediate/dense/", "output/dense/", "output/LayerNorm/"),
)

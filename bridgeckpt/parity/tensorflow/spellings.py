"""How code other than google-research/bert spells a BERT in TensorFlow: each role's variable, by its name in the files.

Written from what the code itself saves, without a look at the mapping tables, whose mistakes it would repeat. In a name
``{n}`` is the number of the layer, ``{nth}`` the same from 1, and ``{_n}`` as Keras counts: nothing, ``_1``, ``_2``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Names = Mapping[str, tuple[str, ...]]

_TANH, _ERF = "gelu_pytorch_tanh", "gelu"
_DENSE, _NORM = ("kernel", "bias"), ("gamma", "beta")


class Spelling(NamedTuple):
    """The names that one code base gives.

    Attributes:
        title: The code, as messages call it.
        body: Role to the names that its variable may have, less what all names of a model begin with; ``layer.`` roles
            without their number.
        heads: The same for what stands beside the encoder, under a beginning of its own; ``own_pooler`` is one that a
            head has in place of the encoder's.
        flipped: The stages whose kernels are [hidden, labels]; google-research/bert's are [labels, hidden].
        gelu: What the code calls gelu, by transformers' name.
        epsilon: What its LayerNorms add to the variance where no config says.
    """

    title: str
    body: Names
    heads: Names
    flipped: frozenset[str]
    gelu: str
    epsilon: float


def _tables(words: str, positions: str, types: str) -> dict[str, tuple[str, ...]]:
    return {"embeddings.words": (words,), "embeddings.positions": (positions,), "embeddings.types": (types,)}


def _layer(role: str, *places: str, parts: tuple[str, str] = _DENSE, to: tuple[str, str] | None = None) -> Names:
    """The two variables of a layer: ``parts`` of the role are called ``to`` in each of ``places``."""
    called = to or parts
    return {
        f"{role}.{part}": tuple(f"{place}{name}" for place in places) for part, name in zip(parts, called, strict=True)
    }


def _transformers(end: str) -> tuple[Names, Names]:
    """transformers' TF classes: the names of google-research/bert, with ``layer_._0``."""
    at, self_attention = "encoder/layer_._{n}/", "encoder/layer_._{n}/attention/self/"
    kernel, norm = (f"/kernel{end}", f"/bias{end}"), (f"/gamma{end}", f"/beta{end}")
    body = {
        "embeddings.words": (f"embeddings/word_embeddings/weight{end}", f"embeddings/word_embeddings/embeddings{end}"),
        "embeddings.positions": (f"embeddings/position_embeddings/embeddings{end}",),
        "embeddings.types": (f"embeddings/token_type_embeddings/embeddings{end}",),
        **_layer("embeddings", "embeddings/LayerNorm", parts=_NORM, to=norm),
        **_layer("layer.query", f"{self_attention}query", to=kernel),
        **_layer("layer.key", f"{self_attention}key", to=kernel),
        **_layer("layer.value", f"{self_attention}value", to=kernel),
        **_layer("layer.attention", f"{at}attention/output/dense", to=kernel),
        **_layer("layer.attention", f"{at}attention/output/LayerNorm", parts=_NORM, to=norm),
        **_layer("layer.intermediate", f"{at}intermediate/dense", to=kernel),
        **_layer("layer.output", f"{at}output/dense", to=kernel),
        **_layer("layer.output", f"{at}output/LayerNorm", parts=_NORM, to=norm),
        **_layer("pooler", "pooler/dense", to=kernel),
    }
    predictions = ("mlm___cls/predictions/", "cls/predictions/")
    heads = {
        **_layer("transform", *(f"{place}transform/dense" for place in predictions), to=kernel),
        **_layer("transform", *(f"{place}transform/LayerNorm" for place in predictions), parts=_NORM, to=norm),
        "mlm_logits.bias": tuple(f"{place}bias{end}" for place in predictions),
        **_layer("nsp_logits", "nsp___cls/seq_relationship", "cls/seq_relationship", to=kernel),
        **_layer("span_logits", "qa_outputs", to=kernel),
        **_layer("logits", "classifier", to=kernel),
    }
    return body, heads


_AT = "transformer/layer_{n}/"
_MODEL_GARDEN = {
    **_tables("word_embeddings/embeddings", "position_embedding/embeddings", "type_embeddings/embeddings"),
    **_layer("embeddings", "embeddings/layer_norm/", parts=_NORM),
    **_layer("layer.query", f"{_AT}self_attention/query/"),
    **_layer("layer.key", f"{_AT}self_attention/key/"),
    **_layer("layer.value", f"{_AT}self_attention/value/"),
    **_layer("layer.attention", f"{_AT}self_attention/attention_output/"),
    **_layer("layer.attention", f"{_AT}self_attention_layer_norm/", parts=_NORM),
    **_layer("layer.intermediate", f"{_AT}intermediate/"),
    **_layer("layer.output", f"{_AT}output/"),
    **_layer("layer.output", f"{_AT}output_layer_norm/", parts=_NORM),
    **_layer("pooler", "pooler_transform/"),
}
_MODEL_GARDEN_HEADS = {
    **_layer("transform", "cls/predictions/transform/dense/"),
    **_layer("transform", "cls/predictions/transform/LayerNorm/", parts=_NORM),
    "mlm_logits.bias": ("cls/predictions/output_bias/bias",),
    **_layer("nsp_logits", "next_sentence/logits/"),
    **_layer("logits", "sentence_prediction/logits/"),
    **_layer("own_pooler", "next_sentence/pooler_dense/", "sentence_prediction/pooler_dense/"),
}

_HUB_LAYER = "layers/transformer_encoder{_n}/"
_VARS = ("vars/0", "vars/1")
_KERAS_HUB = {
    **_tables("layers/reversible_embedding/vars/0", "layers/position_embedding/vars/0", "layers/embedding/vars/0"),
    **_layer("embeddings", "layers/layer_normalization/", parts=_NORM, to=_VARS),
    **_layer("layer.query", f"{_HUB_LAYER}_self_attention_layer/query_dense/", to=_VARS),
    **_layer("layer.key", f"{_HUB_LAYER}_self_attention_layer/key_dense/", to=_VARS),
    **_layer("layer.value", f"{_HUB_LAYER}_self_attention_layer/value_dense/", to=_VARS),
    **_layer("layer.attention", f"{_HUB_LAYER}_self_attention_layer/output_dense/", to=_VARS),
    **_layer("layer.attention", f"{_HUB_LAYER}_self_attention_layer_norm/", parts=_NORM, to=_VARS),
    **_layer("layer.intermediate", f"{_HUB_LAYER}_feedforward_intermediate_dense/", to=_VARS),
    **_layer("layer.output", f"{_HUB_LAYER}_feedforward_output_dense/", to=_VARS),
    **_layer("layer.output", f"{_HUB_LAYER}_feedforward_layer_norm/", parts=_NORM, to=_VARS),
    **_layer("pooler", "layers/dense/", to=_VARS),
}

_HEAD, _FEED = "Encoder-{nth}-MultiHeadSelfAttention", "Encoder-{nth}-FeedForward"
_SELF, _WIDE = f"{_HEAD}/{_HEAD}", f"{_FEED}/{_FEED}"
_COLON = (("kernel:0", "bias:0"), ("gamma:0", "beta:0"))
_KERAS_BERT = {
    **_tables("Embedding-Token/embeddings:0", "Embedding-Position/embeddings:0", "Embedding-Segment/embeddings:0"),
    **_layer("embeddings", "Embedding-Norm/", parts=_NORM, to=_COLON[1]),
    **_layer("layer.query", f"{_SELF}_", to=("Wq:0", "bq:0")),
    **_layer("layer.key", f"{_SELF}_", to=("Wk:0", "bk:0")),
    **_layer("layer.value", f"{_SELF}_", to=("Wv:0", "bv:0")),
    **_layer("layer.attention", f"{_SELF}_", to=("Wo:0", "bo:0")),
    **_layer("layer.attention", f"{_HEAD}-Norm/", parts=_NORM, to=_COLON[1]),
    **_layer("layer.intermediate", f"{_WIDE}_", to=("W1:0", "b1:0")),
    **_layer("layer.output", f"{_WIDE}_", to=("W2:0", "b2:0")),
    **_layer("layer.output", f"{_FEED}-Norm/", parts=_NORM, to=_COLON[1]),
    **_layer("pooler", "NSP-Dense/", to=_COLON[0]),
}
_KERAS_BERT_HEADS = {
    **_layer("transform", "MLM-Dense/", to=_COLON[0]),
    **_layer("transform", "MLM-Norm/", parts=_NORM, to=_COLON[1]),
    "mlm_logits.bias": ("MLM-Sim/bias:0",),
    **_layer("nsp_logits", "NSP/", to=_COLON[0]),
}


def _bert_for_tf2(end: str) -> Names:
    at, kernel, norm = "encoder/layer_{n}/", (f"kernel{end}", f"bias{end}"), (f"gamma{end}", f"beta{end}")
    tables = ("embeddings/word_embeddings", "embeddings/position_embeddings", "embeddings/token_type_embeddings")
    return {
        **_tables(*(f"{table}/embeddings{end}" for table in tables)),
        **_layer("embeddings", "embeddings/LayerNorm/", parts=_NORM, to=norm),
        **_layer("layer.query", f"{at}attention/self/query/", to=kernel),
        **_layer("layer.key", f"{at}attention/self/key/", to=kernel),
        **_layer("layer.value", f"{at}attention/self/value/", to=kernel),
        **_layer("layer.attention", f"{at}attention/output/dense/", to=kernel),
        **_layer("layer.attention", f"{at}attention/output/LayerNorm/", parts=_NORM, to=norm),
        **_layer("layer.intermediate", f"{at}intermediate/", to=kernel),
        **_layer("layer.output", f"{at}output/dense/", to=kernel),
        **_layer("layer.output", f"{at}output/LayerNorm/", parts=_NORM, to=norm),
    }


_FLIPPED = frozenset({"nsp_logits", "span_logits", "logits", "token_logits"})
SPELLINGS = (
    Spelling("transformers' TF classes", *_transformers(":0"), _FLIPPED, _ERF, 1e-12),
    Spelling("Model Garden", _MODEL_GARDEN, _MODEL_GARDEN_HEADS, _FLIPPED, _TANH, 1e-12),
    Spelling("KerasHub", _KERAS_HUB, {}, _FLIPPED, _TANH, 1e-12),
    Spelling("keras-bert", _KERAS_BERT, _KERAS_BERT_HEADS, _FLIPPED, _TANH, 1e-14),
    Spelling("bert-for-tf2", _bert_for_tf2(":0"), {}, _FLIPPED, _TANH, 1e-12),
    Spelling("bert-for-tf2", _bert_for_tf2(""), {}, _FLIPPED, _TANH, 1e-12),
)

r"""How code other than google-research/bert spells a BERT in TensorFlow: each role's variable, by its name in files.

The names are written from what the code itself saves, not from the mapping tables, whose mistakes they would repeat.
They are regular expressions, without what all names of a model begin with and without ``:0``. ``{layer}`` distinguishes
the layers, and ``{#}`` is the number that Keras may append, ``_3``; ``{#0}`` and ``{#1}`` are the lowest and highest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bridgeckpt.frozen import FrozenDict

Names = Mapping[str, str]
Parts = tuple[str, str]

_TANH: Names = {"gelu": "gelu_pytorch_tanh"}
_ERF: Names = {"gelu": "gelu"}
_DENSE, _NORM, _VARS = ("kernel", "bias"), ("gamma", "beta"), ("vars/0", "vars/1")
_NUMBER, _COUNT = r"\d+", r"(?:_\d+)?"  # layer_0, layer_1; or encoder, encoder_1
_FLIPPED = frozenset({"nsp_logits", "span_logits", "logits", "token_logits"})


class Spelling(NamedTuple):
    """The names that one code base gives.

    Attributes:
        title: The code, as messages call it.
        body: Role to name, of the encoder; ``layer.`` roles without their number.
        heads: The same for what stands beside the encoder, under a beginning of its own; ``own_pooler`` is one that a
            head has in place of the encoder's, ``any_logits`` a head whose name fits several heads.
        layer: What ``{layer}`` may be.
        flipped: The stages whose kernels are [hidden, labels]; google-research/bert's are [labels, hidden].
        words: Transformers' name of an activation, by the code's own word for it.
        doubts: By such a word, why it may mean another function: the code changed.
        head_doubt: Why the masked LM head may have another activation than the encoder; "" if it cannot.
        epsilon: What its LayerNorms add to the variance where no config says.
    """

    title: str
    body: Names
    heads: Names
    layer: str = _NUMBER
    flipped: frozenset[str] = _FLIPPED
    words: Names = _TANH
    doubts: Names = FrozenDict()
    head_doubt: str = ""
    epsilon: float = 1e-12


def _two(role: str, place: str, parts: Parts, called: Parts | None = None) -> dict[str, str]:
    """The two variables of a dense layer or a norm: the ``parts`` of the role, as they are ``called`` there."""
    return {f"{role}.{part}": place + name for part, name in zip(parts, called or parts, strict=True)}


def _encoder(
    tables: Sequence[str],
    norm: str,
    at: str,
    layers: Sequence[str],
    dense: Parts = _DENSE,
    norms: Parts = _NORM,
) -> dict[str, str]:
    """An encoder, given its tables of words, positions and types, their norm, and the eight parts of each layer.

    These are query, key, value, output and norm of the attention, the wide and the narrow dense layer, the last norm.
    """
    query, key, value, output, first, wide, narrow, last = (at + name for name in layers)
    return {
        **dict(zip(("embeddings.words", "embeddings.positions", "embeddings.types"), tables, strict=True)),
        **_two("embeddings", norm, _NORM, norms),
        **_two("layer.query", query, _DENSE, dense),
        **_two("layer.key", key, _DENSE, dense),
        **_two("layer.value", value, _DENSE, dense),
        **_two("layer.attention", output, _DENSE, dense),
        **_two("layer.attention", first, _NORM, norms),
        **_two("layer.intermediate", wide, _DENSE, dense),
        **_two("layer.output", narrow, _DENSE, dense),
        **_two("layer.output", last, _NORM, norms),
    }


_GOOGLES = (
    *("attention/self/query/", "attention/self/key/", "attention/self/value/", "attention/output/dense/"),
    *("attention/output/LayerNorm/", "intermediate/dense/", "output/dense/", "output/LayerNorm/"),
)
_TRANSFORMERS = Spelling(
    title="transformers' TF classes",
    body={
        **_encoder(
            (
                "embeddings/word_embeddings/(?:weight|embeddings)",
                "embeddings/position_embeddings/embeddings",
                "embeddings/token_type_embeddings/embeddings",
            ),
            "embeddings/LayerNorm/",
            r"encoder/layer_\._{layer}/",
            _GOOGLES,
        ),
        **_two("pooler", "pooler/dense/", _DENSE),
    },
    heads={
        **_two("transform", "(?:mlm___)?cls/predictions/transform/dense/", _DENSE),
        **_two("transform", "(?:mlm___)?cls/predictions/transform/LayerNorm/", _NORM),
        "mlm_logits.bias": "(?:mlm___)?cls/predictions/bias",
        **_two("nsp_logits", "(?:nsp___)?cls/seq_relationship/", _DENSE),
        **_two("span_logits", "qa_outputs/", _DENSE),
        **_two("logits", "classifier/", _DENSE),
    },
    words=_ERF,
)

_OBJECTS = (
    *("attention/self_attention/query/", "attention/self_attention/key/", "attention/self_attention/value/"),
    *("attention/dense_output/dense/", "attention/dense_output/LayerNorm/", "intermediate/dense/"),
    *("bert_output/dense/", "bert_output/LayerNorm/"),
)


def _transformers_file(encoder: str, tables: str, heads: Names, title: str) -> Spelling:
    """transformers' TF classes in Keras' own files, where the ``encoder`` and the ``tables`` of its embeddings are."""
    return Spelling(
        title=title,
        body={
            **_encoder(
                tuple(f"{tables}vars/{number}" for number in (0, 2, 1)),
                f"{tables}LayerNorm/",
                f"{encoder}encoder/layer/tf_bert_layer{{layer}}/",
                _OBJECTS,
                _VARS,
                _VARS,
            ),
            **_two("pooler", f"{encoder}pooler/dense/", _DENSE, _VARS),
        },
        heads=heads,
        layer=_COUNT,
        words=_ERF,
    )


def _transformers_heads(mlm: str, nsp: str, span: str, classifier: str) -> Names:
    return {
        **_two("transform", f"{mlm}/predictions/transform/dense/", _DENSE, _VARS),
        **_two("transform", f"{mlm}/predictions/transform/LayerNorm/", _NORM, _VARS),
        "mlm_logits.bias": f"{mlm}/predictions/vars/0",
        **_two("nsp_logits", f"{nsp}/seq_relationship/", _DENSE, _VARS),
        **_two("span_logits", f"{span}/", _DENSE, _VARS),
        **_two("logits", f"{classifier}/", _DENSE, _VARS),
    }


_TRANSFORMERS_FILES = _transformers_file(
    "layers/tf_bert_main_layer/",
    "(?:layers/tf_bert_main_layer/embeddings|mlm/predictions/input_embeddings)/",
    _transformers_heads("mlm", "nsp", "qa_outputs", "layers/dense"),
    "transformers' TF classes, by tf-keras",
)
_TRANSFORMERS_FILES_2023 = _transformers_file(
    "bert/",
    "bert/embeddings/",
    _transformers_heads("layers/tf_bert_mlm_head", "layers/tf_bert_nsp_head", "layers/dense", "classifier"),
    "transformers' TF classes, by Keras 2.12 to 2.14",
)

_BERT_FOR_TF2 = Spelling(
    title="bert-for-tf2",
    body=_encoder(
        (
            "embeddings/word_embeddings/embeddings",
            "embeddings/position_embeddings/embeddings",
            "embeddings/token_type_embeddings/embeddings",
        ),
        "embeddings/LayerNorm/",
        "encoder/layer_{layer}/",
        (*_GOOGLES[:5], "intermediate/", *_GOOGLES[6:]),
    ),
    heads={},
)

_PREDICTIONS = {
    **_two("transform", "cls/predictions/transform/dense{#}/", _DENSE),
    **_two("transform", "cls/predictions/transform/LayerNorm{#}/", _NORM),
    "mlm_logits.bias": "cls/predictions/output_bias(?:{#}/bias)?",
}
_OWN_ACTIVATION = "a masked LM head of Model Garden may have an activation of its own, which no checkpoint tells"
_MODEL_GARDEN = Spelling(
    title="Model Garden",
    body={
        **_encoder(
            ("word_embeddings{#}/embeddings", "position_embedding{#}/embeddings", "type_embeddings{#}/embeddings"),
            "embeddings/layer_norm{#}/",
            "transformer/layer_{layer}{#}/",
            (
                *("self_attention/query/", "self_attention/key/", "self_attention/value/"),
                "self_attention(?:/attention)?_output/",
                *("self_attention_layer_norm/", "intermediate/", "output/", "output_layer_norm/"),
            ),
        ),
        **_two("pooler", "pooler_transform{#}/", _DENSE),
    },
    heads={
        **_PREDICTIONS,
        **_two("any_logits", "(?:logits{#}|classifier)/", _DENSE),
        **_two("own_pooler", "pooler_dense{#}/", _DENSE),
    },
    head_doubt=_OWN_ACTIVATION,
)
_MODEL_GARDEN_2019 = Spelling(
    title="Model Garden of 2019",
    body={
        **_encoder(
            (
                "word_embeddings/embeddings",
                "embedding_postprocessor/position_embeddings",
                "embedding_postprocessor/type_embeddings",
            ),
            "embedding_postprocessor/layer_norm/",
            "encoder/layer_{layer}/",
            (
                *("self_attention/query/", "self_attention/key/", "self_attention/value/", "self_attention_output/"),
                *("self_attention_layer_norm/", "intermediate/", "output/", "output_layer_norm/"),
            ),
        ),
        **_two("pooler", "pooler_transform/", _DENSE),
    },
    heads={
        **_PREDICTIONS,
        **_two("nsp_logits", "cls/seq_relationship/output_", _DENSE, ("weights", "bias")),
        **_two("span_logits", "squad_logits/final_dense/", _DENSE),
        **_two("logits", "output/", _DENSE),
    },
    flipped=_FLIPPED - {"nsp_logits"},
)
_BLOCKS = (
    *("_attention_layer/_query_dense/", "_attention_layer/_key_dense/", "_attention_layer/_value_dense/"),
    *("_attention_layer/_output_dense/", "_attention_layer_norm(?:_kv)?/", "_intermediate_dense/", "_output_dense/"),
    "_output_layer_norm/",
)
_MODEL_GARDEN_FILES = Spelling(
    title="Model Garden, by tf-keras",
    body={
        **_encoder(
            (
                "(?:_embedding_layer|layers/on_device_embedding)/vars/0",
                "(?:_position_embedding_layer|layers/position_embedding)/vars/0",
                "(?:_type_embedding_layer|layers/on_device_embedding_1)/vars/0",
            ),
            "(?:_embedding_norm_layer|layers/layer_normalization)/",
            "transformer_layers/transformer_encoder_block{layer}/",
            _BLOCKS,
            _VARS,
            _VARS,
        ),
        **_two("pooler", "pooler_layer/", _DENSE, _VARS),
    },
    heads={
        **_two("transform", "masked_lm/dense/", _DENSE, _VARS),
        **_two("transform", "masked_lm/layer_norm/", _NORM, _VARS),
        "mlm_logits.bias": "masked_lm/vars/1",
        **_two("any_logits", "layers/(?:classification_head/out_proj|dense)/", _DENSE, _VARS),
        **_two("own_pooler", "layers/classification_head/dense/", _DENSE, _VARS),
    },
    layer=_COUNT,
    head_doubt=_OWN_ACTIVATION,
)

# Without its masked LM head, which has another activation and epsilon than its encoder.
_KERAS_HUB = Spelling(
    title="KerasHub",
    body={
        **_encoder(
            (
                "(?:layers/reversible_embedding|token_embedding)/vars/0",
                "layers/position_embedding/vars/0",
                "layers/embedding/vars/0",
            ),
            "layers/layer_normalization/",
            "layers/transformer_encoder{layer}/",
            (
                *(f"_self_attention_layer/_?{name}_dense/" for name in ("query", "key", "value", "output")),
                *("_self_attention_layer_norm/", "_feedforward_intermediate_dense/", "_feedforward_output_dense/"),
                "_feedforward_layer_norm/",
            ),
            _VARS,
            _VARS,
        ),
        **_two("pooler", "layers/dense/", _DENSE, _VARS),
    },
    heads=_two("any_logits", "layers/dense/", _DENSE, _VARS),
    layer=_COUNT,
)
_KERAS_NLP = Spelling(
    title="KerasNLP on Keras 2",
    body={
        **_encoder(
            (
                "_layer_checkpoint_dependencies/embedding/vars/0",
                "_layer_checkpoint_dependencies/position_embedding/vars/0",
                "_layer_checkpoint_dependencies/embedding_2/vars/0",
            ),
            "_layer_checkpoint_dependencies/layer_normalization/",
            "_layer_checkpoint_dependencies/transformer_encoder{layer}/",
            (
                *(f"_self_attention_layer/_{name}_dense/" for name in ("query", "key", "value", "output")),
                *("_self_attention_layernorm/", "_feedforward_intermediate_dense/", "_feedforward_output_dense/"),
                "_feedforward_layernorm/",
            ),
            _VARS,
            _VARS,
        ),
        **_two("pooler", "_layer_checkpoint_dependencies/dense/", _DENSE, _VARS),
    },
    heads=_two("any_logits", "_layer_checkpoint_dependencies/dense/", _DENSE, _VARS),
    layer=_COUNT,
)
_KERAS_NLP_NAMED = Spelling(
    title="KerasHub or KerasNLP, by variables",
    body={
        **_encoder(
            ("token_embedding/embeddings", "position_embedding/embeddings", "segment_embedding/embeddings"),
            "embeddings_layer_norm/",
            "transformer_layer_{layer}/",
            (
                *(f"(?:self_attention_layer|multi_head_attention{{#}})/{name}/" for name in ("query", "key", "value")),
                "(?:self_attention_layer|multi_head_attention{#})/attention_output/",
                "(?:self_attention_layer_norm|layer_normalization{#0})/",
                "(?:feedforward_intermediate_dense|dense{#0})/",
                "(?:feedforward_output_dense|dense{#1})/",
                "(?:feedforward_layer_norm|layer_normalization{#1})/",
            ),
        ),
        **_two("pooler", "pooled_dense/", _DENSE),
    },
    heads=_two("any_logits", "logits/", _DENSE),
)

_ATTENTION = "Encoder-{layer}-MultiHeadSelfAttention"
_FEED = "Encoder-{layer}-FeedForward"
_KERAS_BERT = Spelling(
    title="keras-bert",
    body={
        **_encoder(
            ("Embedding-Token{#}/embeddings", "Embedding-Position{#}/embeddings", "Embedding-Segment{#}/embeddings"),
            "Embedding-Norm{#}/",
            "",
            ("",) * 4 + (f"{_ATTENTION}-Norm{{#}}/", "", "", f"{_FEED}-Norm{{#}}/"),
        ),
        **_two("layer.query", f"{_ATTENTION}{{#}}/{_ATTENTION}_", _DENSE, ("Wq", "bq")),
        **_two("layer.key", f"{_ATTENTION}{{#}}/{_ATTENTION}_", _DENSE, ("Wk", "bk")),
        **_two("layer.value", f"{_ATTENTION}{{#}}/{_ATTENTION}_", _DENSE, ("Wv", "bv")),
        **_two("layer.attention", f"{_ATTENTION}{{#}}/{_ATTENTION}_", _DENSE, ("Wo", "bo")),
        **_two("layer.intermediate", f"{_FEED}{{#}}/{_FEED}_", _DENSE, ("W1", "b1")),
        **_two("layer.output", f"{_FEED}{{#}}/{_FEED}_", _DENSE, ("W2", "b2")),
        **_two("pooler", "NSP-Dense{#}/", _DENSE),
    },
    heads={
        **_two("transform", "MLM-Dense{#}/", _DENSE),
        **_two("transform", "MLM-Norm{#}/", _NORM),
        "mlm_logits.bias": "MLM-Sim{#}/bias",
        **_two("nsp_logits", "NSP{#}/", _DENSE),
    },
    # In models that keras-bert saved whole from 2019-07-04 to 2019-08-21 the function has one of the longer names.
    words={**_TANH, "gelu_tensorflow": "gelu", "gelu_fallback": "gelu_pytorch_tanh"},
    doubts={
        "gelu": "keras-bert on TensorFlow computed its gelu by the error function (transformers' gelu) before 0.83 "
        "(2020-06-02), and by the tanh approximation (gelu_pytorch_tanh) since"
    },
    epsilon=1e-14,  # the square of Keras' 1e-7
)

SPELLINGS = (
    *(_TRANSFORMERS, _TRANSFORMERS_FILES, _TRANSFORMERS_FILES_2023),
    *(_MODEL_GARDEN, _MODEL_GARDEN_2019, _MODEL_GARDEN_FILES, _KERAS_HUB, _KERAS_NLP),
    *(_KERAS_NLP_NAMED, _KERAS_BERT, _BERT_FOR_TF2),
)

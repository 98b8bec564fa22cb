"""How code other than google-research/bert spells a BERT in TensorFlow: each role's variable, by its name in files.

The names are written from what the code itself saves, not from the mapping tables, whose mistakes they would repeat.
"""

from __future__ import annotations

from bridgeckpt.parity.bert.keras_bert_spellings import BERT4KERAS, BERT4KERAS_2019, KERAS_BERT, KERAS_BERT_2018
from bridgeckpt.parity.bert.spelling import COUNT, DENSE, FLIPPED, GOOGLES, NORM, VARS, Spelling, encoder, two
from bridgeckpt.parity.bert.transformers_spellings import (
    TRANSFORMERS,
    TRANSFORMERS_FILES,
    TRANSFORMERS_FILES_2023,
    TRANSFORMERS_LAYERS,
)

_BERT_FOR_TF2 = Spelling(
    title="bert-for-tf2",
    body=encoder(
        (
            "embeddings/word_embeddings/embeddings",
            "embeddings/position_embeddings/embeddings",
            "embeddings/token_type_embeddings/embeddings",
        ),
        "embeddings/LayerNorm/",
        "encoder/layer_{layer}/",
        (*GOOGLES[:5], "intermediate/", *GOOGLES[6:]),
    ),
    heads={},
)

_PREDICTIONS = {
    **two("transform", "cls/predictions/transform/dense{#}/", DENSE),
    **two("transform", "cls/predictions/transform/LayerNorm{#}/", NORM),
    "mlm_logits.bias": "cls/predictions/output_bias(?:{#}/bias)?",
}
_OWN_ACTIVATION = "a masked LM head of Model Garden may have an activation of its own, which no checkpoint tells"
_MODEL_GARDEN = Spelling(
    title="Model Garden",
    body={
        **encoder(
            ("word_embeddings{#}/embeddings", "position_embedding{#}/embeddings", "type_embeddings{#}/embeddings"),
            "embeddings/layer_norm{#}/",
            "transformer/layer_{layer}{#}/",
            (
                *("self_attention/query/", "self_attention/key/", "self_attention/value/"),
                "self_attention(?:/attention)?_output/",
                *("self_attention_layer_norm/", "intermediate/", "output/", "output_layer_norm/"),
            ),
        ),
        **two("pooler", "pooler_transform{#}/", DENSE),
    },
    heads={
        **_PREDICTIONS,
        **two("any_logits", "(?:logits{#}|classifier)/", DENSE),
        **two("own_pooler", "pooler_dense{#}/", DENSE),
    },
    head_doubt=_OWN_ACTIVATION,
)
_MODEL_GARDEN_2019 = Spelling(
    title="Model Garden of 2019",
    body={
        **encoder(
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
        **two("pooler", "pooler_transform/", DENSE),
    },
    heads={
        **_PREDICTIONS,
        **two("nsp_logits", "cls/seq_relationship/output_", DENSE, ("weights", "bias")),
        **two("span_logits", "squad_logits/final_dense/", DENSE),
        **two("logits", "output/", DENSE),
    },
    flipped=FLIPPED - {"nsp_logits"},
)
_BLOCKS = (
    *("_attention_layer/_query_dense/", "_attention_layer/_key_dense/", "_attention_layer/_value_dense/"),
    *("_attention_layer/_output_dense/", "_attention_layer_norm(?:_kv)?/", "_intermediate_dense/", "_output_dense/"),
    "_output_layer_norm/",
)
_MODEL_GARDEN_FILES = Spelling(
    title="Model Garden, by tf-keras",
    body={
        **encoder(
            (
                "(?:_embedding_layer|layers/on_device_embedding)/vars/0",
                "(?:_position_embedding_layer|layers/position_embedding)/vars/0",
                "(?:_type_embedding_layer|layers/on_device_embedding_1)/vars/0",
            ),
            "(?:_embedding_norm_layer|layers/layer_normalization)/",
            "transformer_layers/transformer_encoder_block{layer}/",
            _BLOCKS,
            VARS,
            VARS,
        ),
        **two("pooler", "pooler_layer/", DENSE, VARS),
    },
    heads={
        **two("transform", "masked_lm/dense/", DENSE, VARS),
        **two("transform", "masked_lm/layer_norm/", NORM, VARS),
        "mlm_logits.bias": "masked_lm/vars/1",
        **two("any_logits", "layers/(?:classification_head/out_proj|dense)/", DENSE, VARS),
        **two("own_pooler", "layers/classification_head/dense/", DENSE, VARS),
    },
    layer=COUNT,
    head_doubt=_OWN_ACTIVATION,
)

# Without its masked LM head, which has another activation and epsilon than its encoder.
_KERAS_HUB = Spelling(
    title="KerasHub",
    is_constant=True,
    body={
        **encoder(
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
            VARS,
            VARS,
        ),
        **two("pooler", "layers/dense/", DENSE, VARS),
    },
    heads=two("any_logits", "layers/dense/", DENSE, VARS),
    layer=COUNT,
)
_KERAS_NLP = Spelling(
    title="KerasNLP on Keras 2",
    is_constant=True,
    body={
        **encoder(
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
            VARS,
            VARS,
        ),
        **two("pooler", "_layer_checkpoint_dependencies/dense/", DENSE, VARS),
    },
    heads=two("any_logits", "_layer_checkpoint_dependencies/dense/", DENSE, VARS),
    layer=COUNT,
)
_KERAS_NLP_NAMED = Spelling(
    title="KerasHub or KerasNLP, by variables",
    is_constant=True,
    body={
        **encoder(
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
        **two("pooler", "pooled_dense/", DENSE),
    },
    heads=two("any_logits", "logits/", DENSE),
)

SPELLINGS = (
    *(TRANSFORMERS, TRANSFORMERS_FILES, TRANSFORMERS_FILES_2023, TRANSFORMERS_LAYERS),
    *(_MODEL_GARDEN, _MODEL_GARDEN_2019, _MODEL_GARDEN_FILES, _KERAS_HUB, _KERAS_NLP),
    *(_KERAS_NLP_NAMED, KERAS_BERT, KERAS_BERT_2018, BERT4KERAS, BERT4KERAS_2019, _BERT_FOR_TF2),
)

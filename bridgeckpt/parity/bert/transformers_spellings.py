"""How transformers' TensorFlow classes spell a BERT: in their own files, and in those of Keras."""

from __future__ import annotations

from bridgeckpt.parity.bert.spelling import COUNT, DENSE, ERF, GOOGLES, NORM, VARS, Names, Spelling, encoder, two

TRANSFORMERS = Spelling(
    title="transformers' TF classes",
    body={
        **encoder(
            (
                "embeddings/word_embeddings/(?:weight|embeddings)",
                "embeddings/position_embeddings/embeddings",
                "embeddings/token_type_embeddings/embeddings",
            ),
            "embeddings/LayerNorm/",
            r"encoder/layer_\._{layer}/",
            GOOGLES,
        ),
        **two("pooler", "pooler/dense/", DENSE),
    },
    heads={
        **two("transform", "(?:mlm___)?cls/predictions/transform/dense/", DENSE),
        **two("transform", "(?:mlm___)?cls/predictions/transform/LayerNorm/", NORM),
        "mlm_logits.bias": "(?:mlm___)?cls/predictions/bias",
        **two("nsp_logits", "(?:nsp___)?cls/seq_relationship/", DENSE),
        **two("span_logits", "qa_outputs/", DENSE),
        **two("logits", "classifier/", DENSE),
    },
    words=ERF,
)

_OBJECTS = (
    *("attention/self_attention/query/", "attention/self_attention/key/", "attention/self_attention/value/"),
    *("attention/dense_output/dense/", "attention/dense_output/LayerNorm/", "intermediate/dense/"),
    *("bert_output/dense/", "bert_output/LayerNorm/"),
)


def _transformers_file(main: str, tables: str, heads: Names, title: str) -> Spelling:
    """transformers' TF classes in Keras' own files: where the ``main`` layer is, and the ``tables`` of embeddings."""
    return Spelling(
        title=title,
        body={
            **encoder(
                tuple(f"{tables}vars/{number}" for number in (0, 2, 1)),
                f"{tables}LayerNorm/",
                f"{main}encoder/layer/tf_bert_layer{{layer}}/",
                _OBJECTS,
                VARS,
                VARS,
            ),
            **two("pooler", f"{main}pooler/dense/", DENSE, VARS),
        },
        heads=heads,
        layer=COUNT,
        words=ERF,
    )


def _transformers_heads(mlm: str, nsp: str, span: str, classifier: str) -> Names:
    return {
        **two("transform", f"{mlm}/predictions/transform/dense/", DENSE, VARS),
        **two("transform", f"{mlm}/predictions/transform/LayerNorm/", NORM, VARS),
        "mlm_logits.bias": f"{mlm}/predictions/vars/0",
        **two("nsp_logits", f"{nsp}/seq_relationship/", DENSE, VARS),
        **two("span_logits", f"{span}/", DENSE, VARS),
        **two("logits", f"{classifier}/", DENSE, VARS),
    }


TRANSFORMERS_FILES = _transformers_file(
    "layers/tf_bert_main_layer/",
    "(?:layers/tf_bert_main_layer/embeddings|mlm/predictions/input_embeddings)/",
    _transformers_heads("mlm", "nsp", "qa_outputs", "layers/dense"),
    "transformers' TF classes, by tf-keras",
)
TRANSFORMERS_FILES_2023 = _transformers_file(
    "bert/",
    "bert/embeddings/",
    _transformers_heads("layers/tf_bert_mlm_head", "layers/tf_bert_nsp_head", "layers/dense", "classifier"),
    "transformers' TF classes, by Keras 2.12 to 2.14",
)
TRANSFORMERS_LAYERS = _transformers_file(
    "_layer_checkpoint_dependencies/tf_bert_main_layer/",
    "_layer_checkpoint_dependencies/tf_bert_main_layer/embeddings/",
    {},
    "a layer of transformers, by Keras 2.12 to 2.14",
)

"""How keras-bert and bert4keras spell a BERT: layers of a functional Keras model, by their own names."""

from __future__ import annotations

from bridgeckpt.parity.bert.spelling import DENSE, ERF, NORM, TANH, Spelling, encoder, two

_ATTENTION = "Encoder-{layer}-MultiHeadSelfAttention"
_FEED = "Encoder-{layer}-FeedForward"
_TABLES = ("Embedding-Token{#}/embeddings", "Embedding-Position{#}/embeddings", "Embedding-Segment{#}/embeddings")


def _keras_bert(norm: str, title: str) -> Spelling:
    """keras-bert, where a weight of a norm has the name of its layer in front if ``norm`` says so."""
    norms = {
        place: f"{place}{{#}}/{norm.format(place)}"
        for place in ("Embedding-Norm", f"{_ATTENTION}-Norm", f"{_FEED}-Norm", "MLM-Norm")
    }
    return Spelling(
        title=title,
        body={
            **encoder(
                _TABLES,
                norms["Embedding-Norm"],
                "",
                ("",) * 4 + (norms[f"{_ATTENTION}-Norm"], "", "", norms[f"{_FEED}-Norm"]),
            ),
            **two("layer.query", f"{_ATTENTION}{{#}}/{_ATTENTION}_", DENSE, ("Wq", "bq")),
            **two("layer.key", f"{_ATTENTION}{{#}}/{_ATTENTION}_", DENSE, ("Wk", "bk")),
            **two("layer.value", f"{_ATTENTION}{{#}}/{_ATTENTION}_", DENSE, ("Wv", "bv")),
            **two("layer.attention", f"{_ATTENTION}{{#}}/{_ATTENTION}_", DENSE, ("Wo", "bo")),
            **two("layer.intermediate", f"{_FEED}{{#}}/{_FEED}_", DENSE, ("W1", "b1")),
            **two("layer.output", f"{_FEED}{{#}}/{_FEED}_", DENSE, ("W2", "b2")),
            **two("pooler", "NSP-Dense{#}/", DENSE),
        },
        heads={
            **two("transform", "MLM-Dense{#}/", DENSE),
            **two("transform", norms["MLM-Norm"], NORM),
            "mlm_logits.bias": "MLM-Sim{#}/bias",
            **two("nsp_logits", "NSP{#}/", DENSE),
        },
        # In models that were saved whole from 2019-07-04 to 2019-08-21 the function has one of the longer names.
        words={**TANH, "gelu_tensorflow": "gelu", "gelu_fallback": "gelu_pytorch_tanh"},
        doubts={
            "gelu": "keras-bert's gelu on TensorFlow was the erf one (transformers' gelu) before 0.83 (2020-06-02), "
            "and is the tanh one (gelu_pytorch_tanh) since"
        },
        epsilon=1e-14,  # the square of Keras' 1e-7
    )


KERAS_BERT = _keras_bert("", "keras-bert")
KERAS_BERT_2018 = _keras_bert("{}_", "keras-bert before 0.28")._replace(words=ERF, doubts={})


def _bert4keras(layer: str, epsilon: float, title: str) -> Spelling:
    """bert4keras, where the names of a ``layer`` begin so; a prefix of the program may be in front of each name."""
    attention, feed = f"{layer}-MultiHeadSelfAttention", f"{layer}-FeedForward"
    dense = [f"{attention}{{#}}/dense{{#{number}}}/" for number in range(4)]
    wide, narrow = (f"{feed}{{#}}/dense{{#{number}}}/" for number in range(2))
    return Spelling(
        title=title,
        body={
            **encoder(
                _TABLES,
                "Embedding-Norm{#}/",
                "",
                (*dense, f"{attention}-Norm{{#}}/", wide, narrow, f"{feed}-Norm{{#}}/"),
            ),
            **two("pooler", "Pooler-Dense{#}/", DENSE),
        },
        heads={
            **two("transform", "MLM-Dense{#}/", DENSE),
            **two("transform", "MLM-Norm{#}/", NORM),
            "mlm_logits.bias": "MLM-(?:Bias{#}/beta|Proba{#}/bias)",
            **two("nsp_logits", "NSP-Proba{#}/", DENSE),
        },
        words={"gelu": "gelu", "gelu_erf": "gelu", "gelu_tanh": "gelu_pytorch_tanh"},
        doubts={
            "gelu": "bert4keras computes its gelu by the error function, or by the tanh approximation after "
            'set_gelu("tanh"), and only a file of the whole model says which'
        },
        root="(?:.*/)?(?:[^/]*-)?",
        epsilon=epsilon,
    )


BERT4KERAS = _bert4keras("Transformer-{layer}", 1e-12, "bert4keras")
BERT4KERAS_2019 = _bert4keras("Encoder-{layer}", 1e-14, "bert4keras before 0.5")

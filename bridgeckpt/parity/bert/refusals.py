"""Models that go by the names of a BERT and compute something else: they are refused, not run without their part.

A forward pass on the variables that a BERT has would leave the other part out, and the folder of a conversion that left
it out too would agree. A graph of such a model could be run, but no class of transformers computes the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from bridgeckpt.errors import ConfigError, ParityError
from bridgeckpt.parity.bert.described import descriptions, objects, plain
from bridgeckpt.parity.hints import OWN_FUNCTION
from bridgeckpt.sentences import Sentence

_ADAPTERS = "it has a small network beside each projection (adapter-BERT)"
_TWO_ENCODERS = "it is an ElectraPretrainer of Model Garden: two encoders under one name"
# By a variable or a layer that such a model has, under any scope, what sets it apart.
_VARIABLES = {
    r"encoder/layer_\d+/.*/adapter-(?:down|up)/(?:kernel|bias)": _ADAPTERS,
    "encoder/layer_shared/.*": "it is an ALBERT: one layer is used again and again",
    "embeddings/extra_word_embeddings/embeddings": "it has embeddings of negative token ids (extra_tokens_vocab_size)",
    r"Embedding-Task(?:_\d+)?/.*": "it has embeddings of a task id (use_task_embed)",
    r"Encoder-\d+-.*-Adapter(?:_\d+)?/.*": _ADAPTERS,
    r"[^/]*Embedding-Norm(?:_\d+)?/dense(?:_\d+)?/kernel": "its layer norms read a second input (bert4keras)",
    r"[^/]*Embedding-Relative-Position(?:_\d+)?/embeddings": "it is a NEZHA: positions are relative (bert4keras)",
    r"[^/]*Embedding-Mapping(?:_\d+)?/kernel": "its embeddings are narrower than its layers (bert4keras)",
    r"[^/]*Discriminator-Dense(?:_\d+)?/kernel": "it is an ELECTRA with its discriminator (bert4keras)",
    r"[^/]*Attention-LM-Mask": "its attention sees only the tokens before each (bert4keras)",
    r"[^/]*Attention-UniLM-Mask": "its second segment sees only the tokens before each (bert4keras)",
    "embedding_projection/kernel": "its embeddings are narrower than its layers",
    "generator_network/.*": _TWO_ENCODERS,
    "discriminator_network/.*": _TWO_ENCODERS,
    "funnel_transformer_encoder.*": "it shortens the sequence between its layers (Model Garden's FunnelTransformer)",
    "f_net.*": "it mixes tokens by Fourier transforms (Model Garden's FNet)",
    "sparse_mixer.*": "it mixes tokens by learned matrices (Model Garden's SparseMixer)",
}
_PATTERNS = {re.compile(f"(?:.*/)?{name}"): reason for name, reason in _VARIABLES.items()}

# Of bert4keras: a BERT has both.
_BERT4KERAS = re.compile(r"(?:.*/)?[^/]*Transformer-0-MultiHeadSelfAttention(?:_\d+)?/dense(?:_\d+)?/kernel")
_POSITIONS = re.compile(r"(?:.*/)?[^/]*Embedding-Position(?:_\d+)?/embeddings")

_NORM_FIRST = "norm_first"  # of Model Garden: LayerNorm before attention, where a BERT has it after
_EMBEDDING = "embedding_size"
# Keys that no config of a BERT has, and the models that have them.
_FOREIGN = {
    **dict.fromkeys(("num_hidden_groups", "inner_group_num"), "ALBERT"),
    _EMBEDDING: "ALBERT, ELECTRA or MobileBERT",
    "generator_size": "ELECTRA",
    "intra_bottleneck_size": "MobileBERT",
    "d_inner": "XLNet",
    "d_model": "XLNet or T5",
    "n_embd": "GPT-2",
    "n_heads": "DistilBERT",
}

_ATTENTION = "MultiHeadSelfAttention"  # ends the name of keras-bert's layer
_NONE = (None, "linear")


def refuse_variants(names: Collection[str], texts: Mapping[str, str], where: str) -> None:
    """Refuse a checkpoint that is a variant of a BERT by its variables and layers, or by its description in ``texts``.

    Raises:
        ParityError: it is one.
    """
    for pattern, reason in _PATTERNS.items():
        name = next(filter(pattern.fullmatch, sorted(names)), None)
        if name is not None:
            raise _refusal(f"{where} is no plain BERT: {reason}, as {name} shows")
    if any(map(_BERT4KERAS.fullmatch, names)) and not any(map(_POSITIONS.fullmatch, names)):
        raise ParityError(
            f"{where} is no plain BERT: it has no position embeddings, as bert4keras' RoFormer; no forward pass known "
            "here computes that",
            hint=OWN_FUNCTION,
        )
    for layer, activation in _attention_activations(texts):
        raise _refusal(
            f"{where} is no plain BERT: {layer} has the activation {activation} on query, key, value and its output"
        )

    for layer, what in _own_computations(texts):
        raise _refusal(f"{where} is no plain BERT: {layer} {what}")


def refuse_config(values: Mapping[str, Any], where: str) -> None:
    """Refuse a config of another model, or of a variant.

    Raises:
        ParityError: it is the config of a variant.
        ConfigError: it is that of another model.
    """
    if values.get(_NORM_FIRST):
        raise _refusal(f"{where} says {_NORM_FIRST} = true: LayerNorm before attention, where a BERT has it after")
    for key, models in _FOREIGN.items():
        if values.get(key) is not None and not _is_hidden_size(key, values):
            raise ConfigError(
                f'{where} is not the config of a BERT: "{key}" is a key of {models}',
                hint=Sentence("give the config of this checkpoint with {config:FILE}"),
            )


def _is_hidden_size(key: str, values: Mapping[str, Any]) -> bool:
    """Whether embeddings are as wide as layers, which configs of Model Garden say of every BERT."""
    return key == _EMBEDDING and values[key] == values.get("hidden_size")


def _refusal(message: str) -> ParityError:
    return ParityError(
        f"{message}; no forward pass known here computes that, and no class of transformers",
        hint=f"for a PyTorch model of your own, {OWN_FUNCTION}",
    )


def _attention_activations(texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The layers of the descriptions, also of models inside the model, whose attention has an activation."""
    for description in descriptions(texts):
        for layer in objects(description):
            name, activation = layer.get("name"), plain(layer.get("activation"))
            if isinstance(name, str) and name.endswith(_ATTENTION) and activation not in _NONE:
                yield name, str(activation)


def _own_computations(texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The layers of bert4keras that compute something else than a BERT's, and what."""
    for description in descriptions(texts):
        for layer in objects(description):
            name = layer.get("name")
            if isinstance(name, str) and name.endswith(_ATTENTION) and layer.get("return_attention_scores"):
                yield name, "adds its attention scores to those of the layer before"
            elif isinstance(name, str) and name.endswith("Embedding-Position") and layer.get("hierarchical"):
                yield name, "is hierarchical"

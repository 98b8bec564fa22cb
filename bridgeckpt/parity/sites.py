"""Where a PyTorch model computes a stage, and which of its parameters belong to it, by transformers' module names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.parity.stages import layer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

# Stage, or its last part inside a layer -> module below the body (or below the layer).
_BODY = {"embeddings": "embeddings", "pooler": "pooler"}
_LAYER = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "context": "attention.self",
    "attention": "attention.output",
    "intermediate": "intermediate",
    "output": "output",
}
# Modules beside the body; which stage a ``classifier`` is depends on the class.
_HEADS = {
    "transform": "cls.predictions.transform",
    "mlm_logits": "cls.predictions",
    "nsp_logits": "cls.seq_relationship",
    "span_logits": "qa_outputs",
}
_CLASSIFIER = {"ForSequenceClassification": "logits", "ForTokenClassification": "token_logits"}
_NSP = "ForNextSentencePrediction"  # whose head is called ``cls`` itself

# Role -> what it may be called below the stage's module.
_ROLES = {
    "kernel": ("dense.weight", "decoder.weight", "seq_relationship.weight", "weight"),
    "bias": ("dense.bias", "bias", "decoder.bias", "seq_relationship.bias"),
    "gamma": ("LayerNorm.weight",),
    "beta": ("LayerNorm.bias",),
    "words": ("word_embeddings.weight",),
    "positions": ("position_embeddings.weight",),
    "types": ("token_type_embeddings.weight",),
}


class Site(NamedTuple):
    """A stage's module and its parameters, by role (see :mod:`bridgeckpt.parity.stages`)."""

    module: str
    parameters: Mapping[str, str]


def sites(model: Any) -> dict[str, Site]:  # noqa: ANN401 - transformers' models have no common type worth importing
    """The stages that ``model``, a BERT of transformers, computes, in the order of computation.

    Empty for another architecture: its outputs and modules are then compared by their own names.
    """
    modules = dict(model.named_modules())
    names = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    prefix = next((f"{name}." for name in (model.base_model_prefix,) if name in modules), "")
    layers = 0
    while f"{prefix}encoder.layer.{layers}.{_LAYER['query']}" in modules:
        layers += 1
    if layers == 0:
        return {}
    found = {"embeddings": f"{prefix}{_BODY['embeddings']}"}
    for layer in range(layers):
        found |= {f"layer.{layer}.{stage}": f"{prefix}encoder.layer.{layer}.{at}" for stage, at in _LAYER.items()}
    found["pooler"] = f"{prefix}{_BODY['pooler']}"
    found |= _HEADS
    kind = type(model).__name__
    if kind.endswith(_NSP):
        found["nsp_logits"] = "cls"
    found |= {stage: "classifier" for ending, stage in _CLASSIFIER.items() if kind.endswith(ending)}
    return {stage: Site(at, _parameters(at, names)) for stage, at in found.items() if modules.get(at) is not None}


def unread(model: Any, found: Mapping[str, Site], stages: set[str]) -> list[str]:  # noqa: ANN401
    """The parameters that none of ``stages`` reads: nothing compared says anything about them."""
    last = max((layer for stage in stages if (layer := layer_of(stage)) is not None), default=-1)
    read: set[str] = set()
    for stage, site in found.items():
        layer = layer_of(stage)
        if stage in stages or stage == "embeddings" or (layer is not None and layer <= last):
            read.update(site.parameters.values())
        if stage == "transform" and "mlm_logits" in stages:
            read.update(site.parameters.values())
        if stage == "pooler" and stages & {"logits", "nsp_logits"}:
            read.update(site.parameters.values())
    return [name for name, _ in model.named_parameters() if name not in read]


def _parameters(module: str, names: set[str]) -> dict[str, str]:
    roles = {}
    for role, endings in _ROLES.items():
        name = next((name for ending in endings if (name := f"{module}.{ending}") in names), None)
        if name is not None:
            roles[role] = name
    return roles

"""Where a BERT of transformers computes each stage, and which parameters belong to it, by the names of its modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridgeckpt.parity.bert.stages import is_stage
from bridgeckpt.parity.family import Site, layer_name

if TYPE_CHECKING:
    from collections.abc import Collection

    from bridgeckpt.parity.family import Sites

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
# Modules beside the body; the stage of a ``classifier`` depends on the class.
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


# The stages beside the chain of layers, and the other stages that each of them is computed from.
_BRANCHES: dict[str, tuple[str, ...]] = {
    "pooler": (),
    "transform": (),
    "mlm_logits": ("transform",),
    "nsp_logits": ("pooler",),
    "logits": ("pooler",),
    "token_logits": (),
    "span_logits": (),
}


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
    paths = {"embeddings": f"{prefix}{_BODY['embeddings']}"}
    for layer in range(layers):
        paths |= {
            f"{layer_name(layer)}.{stage}": f"{prefix}encoder.layer.{layer}.{path}" for stage, path in _LAYER.items()
        }
    paths["pooler"] = f"{prefix}{_BODY['pooler']}"
    paths |= _HEADS
    kind = type(model).__name__
    if kind.endswith(_NSP):
        paths["nsp_logits"] = "cls"
    paths |= {stage: "classifier" for ending, stage in _CLASSIFIER.items() if kind.endswith(ending)}
    return {
        stage: Site(path, _parameters(path, names)) for stage, path in paths.items() if modules.get(path) is not None
    }


def unread(model: Any, found: Sites, stages: Collection[str]) -> list[str]:  # noqa: ANN401
    """The parameters that none of ``stages`` depends on: comparing these stages says nothing about them."""
    if not all(is_stage(stage) for stage in stages):  # what other outputs depend on is not known
        return []
    heads = _BRANCHES.keys() & set(stages)
    behind = {stage: index for index, stage in enumerate(found)}
    last = max((behind[stage] for stage in stages if stage in behind and stage not in _BRANCHES), default=-1)
    if heads:  # the heads read the whole encoder
        last = max(last, *(index for stage, index in behind.items() if stage not in _BRANCHES))
    needed = {stage for stage, index in behind.items() if stage not in _BRANCHES and index <= last}
    needed |= set(stages).union(*(_BRANCHES[stage] for stage in heads))
    read = {name for stage in needed if stage in found for name in found[stage].parameters.values()}
    return [name for name, _ in model.named_parameters() if name not in read]


def _parameters(module: str, names: set[str]) -> dict[str, str]:
    roles = {}
    for role, endings in _ROLES.items():
        name = next((name for ending in endings if (name := f"{module}.{ending}") in names), None)
        if name is not None:
            roles[role] = name
    return roles

"""A BERT of transformers taken apart for the diagnosis: its settings, and how each stage is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from bridgeckpt.parity.bert.definition import (
    ACTIVATED,
    DENSE,
    NORMALISED,
    StageSettings,
    attend,
    embed,
    sources,
)
from bridgeckpt.parity.bert.embedding_tables import EmbeddingTables
from bridgeckpt.parity.bert.stages import HEADS
from bridgeckpt.parity.bert.variations import variations
from bridgeckpt.parity.diagnosing.anatomy import NOTHING, Anatomy, Patch, Tokens, Variation
from bridgeckpt.parity.diagnosing.dense import Dense, function, normal
from bridgeckpt.parity.family import layer_name, layer_of, part_of

if TYPE_CHECKING:
    from bridgeckpt.parity.judging.pytorch import Subject
    from bridgeckpt.parity.reference.reference import Reference

Tensor = Any  # torch is imported inside functions

# Other names of stages: those of outputs of transformers, and those that TensorFlow users know.
_ALIASES = {
    "pooler_output": "pooler",
    "pooled_output": "pooler",
    "prediction_logits": "mlm_logits",
    "seq_relationship_logits": "nsp_logits",
}
# The stages that are computed with a setting.
_READERS: Mapping[str, frozenset[str]] = {
    "eps": NORMALISED,
    "activation": ACTIVATED,
    **dict.fromkeys(("heads", "interleaved", "scaling", "mask"), frozenset({"context"})),
    **dict.fromkeys(("types", "shift"), frozenset({"embeddings"})),
}
_DECODER_BIAS = "cls.predictions.decoder.bias"


class BertAnatomy(Anatomy):
    """The parts of a BERT."""

    tied = ".decoder."

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        if (decoder := self.shared_names.get(_DECODER_BIAS)) is not None:
            self.roles["mlm_logits"]["bias"] = decoder  # the bias that is added, whether it is tied or not
        self._settings = {stage: self._read_settings(stage) for stage in subject.sites}

    def settings(self, stage: str, patch: Patch) -> StageSettings:
        """The settings that a stage is computed with."""
        own = self._settings[stage]
        if not patch.settings or (patch.stages is not None and stage not in patch.stages):
            return own
        return own._replace(**patch.settings)

    def _read_settings(self, stage: str) -> StageSettings:
        """The settings of the stage's own module; the config need not be the one that it was built from."""
        module = self.subject.model.get_submodule(self.subject.sites[stage].module)
        settings: dict[str, Any] = {}
        if (norm := getattr(module, "LayerNorm", None)) is not None:
            settings["eps"] = norm.eps
        for name in ("intermediate_act_fn", "transform_act_fn"):
            if (activation := getattr(module, name, None)) is not None:
                settings["activation"] = activation
        if (heads := getattr(module, "num_attention_heads", None)) is not None:
            settings |= {"heads": heads, "scaling": None}
        return StageSettings(**settings)

    def stage_names(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Those of the names in a reference that mean a stage, to the stage."""
        sites = self.subject.sites
        heads = [stage for stage in sites if stage in HEADS]
        modules = {site.module: stage for stage, site in sites.items()}
        stages: dict[str, str] = {}
        for name, array in values.items():
            word, _, number = name.partition(".")
            stage = _ALIASES.get(name, modules.get(name, name))
            if word == "hidden_states" and number.isdecimal():
                stage = "embeddings" if int(number) == 0 else f"{layer_name(int(number) - 1)}.output"
            elif name in {"last_hidden_state", "sequence_output"}:
                stage = f"{layer_name(self.layers - 1)}.output"
            elif name == "logits" and name not in sites and len(heads) == 1:
                stage = heads[0]
            if stage in sites and stage not in stages.values() and getattr(array, "ndim", 0) in (2, 3):
                stages[name] = stage
        return stages

    def sources(self, stage: str) -> tuple[str, ...]:
        """The stages that a stage is computed from."""
        return sources(stage, self.layers)

    def depends_on(self, stage: str, setting: str) -> bool:
        """Whether a stage is computed with a setting."""
        return part_of(stage) in _READERS[setting]

    def is_dense(self, stage: str) -> bool:
        """Whether a stage is a dense layer."""
        return part_of(stage) in DENSE

    def dense(self, stage: str, values: Sequence[Tensor], tensors: Mapping[str, Tensor], patch: Patch) -> Dense:
        """A dense stage, given the values of its sources and its tensors by role."""
        import torch

        kind, settings = DENSE[part_of(stage)], self.settings(stage, patch)
        read, *added = values
        if part_of(stage) == "pooler":
            read = read[:, 0]
        activation = {"hidden": settings.activation, "tanh": torch.tanh}.get(kind.activation)
        return Dense(
            inputs=read,
            kernel=tensors["kernel"],
            bias=tensors.get("bias", torch.zeros((), dtype=read.dtype)),
            residual=added[0] if added else None,
            activation=None if activation is None else function(activation),
            gamma=tensors.get("gamma"),
            beta=tensors.get("beta"),
            eps=settings.eps,
        )

    def compute(
        self,
        stage: str,
        values: Sequence[Tensor],
        tensors: Mapping[str, Tensor],
        tokens: Tokens,
        patch: Patch,
        dtype: Any,  # noqa: ANN401
    ) -> Tensor:
        """The attended values, or the embeddings."""
        settings = self.settings(stage, patch)
        if part_of(stage) == "context":
            query, key, value = values
            return attend(query, key, value, tokens.mask, settings)
        summed = embed(tensors, tokens.ids, tokens.types, settings, dtype)
        return normal(summed, settings.eps) * tensors["gamma"].to(dtype) + tensors["beta"].to(dtype)

    def heads(self, stage: str) -> int:
        """How many attention heads share the features of a stage's tensors; 1 outside the layers."""
        layer = layer_of(stage)
        return 1 if layer is None else self.settings(f"{layer_name(layer)}.context", NOTHING).heads

    def variations(self, stages: Sequence[str]) -> Iterator[Variation]:
        """Every other value of every setting that these stages are computed with."""
        return variations(self, stages)

    def tables(self, reference: Reference) -> EmbeddingTables:
        """The tables of words, positions and types against a reference."""
        return EmbeddingTables(reference, self, partial(self.settings, "embeddings"))

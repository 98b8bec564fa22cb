"""A PyTorch BERT taken apart: the tensors and settings of each stage, as they are or with some of them exchanged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from bridgeckpt.parity.bert.stages import HEADS, layer_of
from bridgeckpt.parity.diagnosing.definition import ACTIVATED, NORMALISED, Settings, part_of
from bridgeckpt.parity.judging.rounding import UNITS

if TYPE_CHECKING:
    from bridgeckpt.parity.judging.pytorch import Subject

Tensor = Any  # torch is imported inside functions

# What transformers and TensorFlow people call stages; a user's own reference may.
_ALIASES = {
    "pooler_output": "pooler",
    "pooled_output": "pooler",
    "prediction_logits": "mlm_logits",
    "seq_relationship_logits": "nsp_logits",
}
# Which stages a setting is for.
_READERS: Mapping[str, frozenset[str]] = {
    "eps": NORMALISED,
    "activation": ACTIVATED,
    **dict.fromkeys(("heads", "interleaved", "scaling", "mask"), frozenset({"context"})),
    **dict.fromkeys(("types", "shift"), frozenset({"embeddings"})),
}


class Source(NamedTuple):
    """Where a parameter's values are taken from: another parameter's, moved about; or ``values`` themselves."""

    name: str = ""
    move: Callable[[Tensor], Tensor] | None = None
    values: Tensor | None = None


class Patch(NamedTuple):
    """What is exchanged: the values of parameters, and settings (all stages', or those of ``stages`` alone)."""

    tensors: Mapping[str, Source] = {}
    settings: Mapping[str, Any] = {}
    stages: frozenset[str] | None = None

    def touches(self, stage: str, parameters: Mapping[str, str]) -> bool:
        """Whether ``stage``, which has these ``parameters``, is computed otherwise."""
        if any(name in self.tensors for name in parameters.values()):
            return True
        meant = self.stages is None or stage in self.stages
        return meant and any(part_of(stage) in _READERS[key] for key in self.settings)


NOTHING = Patch()


class Anatomy:
    """The parts of a subject's model.

    Attributes:
        subject: the model.
        roles: stage to role to the parameter's name. One that several modules share has the name of the first.
        layers: how many there are.
        parameters: every parameter once, as it is.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        named = list(subject.model.named_parameters(remove_duplicate=False))
        first: dict[int, str] = {}
        for name, parameter in named:
            first.setdefault(id(parameter), name)
        self.parameters: Mapping[str, Tensor] = {first[id(parameter)]: parameter.detach() for name, parameter in named}
        called = {name: first[id(parameter)] for name, parameter in named}
        self.roles = {
            stage: {role: called[name] for role, name in site.parameters.items()}
            for stage, site in subject.sites.items()
        }
        if (decoder := called.get("cls.predictions.decoder.bias")) is not None:
            self.roles["mlm_logits"]["bias"] = decoder  # what is added, whether it is tied or not
        self.layers = 1 + max((layer for layer in map(layer_of, subject.sites) if layer is not None), default=-1)
        self._settings = {stage: self._read_settings(stage) for stage in subject.sites}

    def tensor(self, name: str, patch: Patch, dtype: Any = None, *, draw: int | None = None) -> Tensor:  # noqa: ANN401
        """A parameter's values, in their own dtype unless another is asked for.

        ``draw``: moved at random by as much as storing them in the folder's dtype may move them, each number otherwise.
        """
        import torch

        source = patch.tensors.get(name, Source(name))
        values = self.parameters[source.name] if source.values is None else source.values
        values = values if source.move is None else source.move(values)
        values = values.to(dtype)
        if draw is not None:
            generator = torch.Generator().manual_seed(crc32(name.encode()) + draw)
            noise = torch.rand(values.shape, generator=generator, dtype=values.dtype) * 2 - 1
            values = values * (1 + UNITS[self.subject.stored] * noise)
        return values

    def settings(self, stage: str, patch: Patch) -> Settings:
        """The settings in force at a stage."""
        own = self._settings[stage]
        if not patch.settings or (patch.stages is not None and stage not in patch.stages):
            return own
        return own._replace(**patch.settings)

    def stage_of(self, parameter: str) -> tuple[str, str] | None:
        """The stage and role of a parameter, the first if it has several."""
        return next(
            ((stage, role) for stage, roles in self.roles.items() for role, name in roles.items() if name == parameter),
            None,
        )

    def _read_settings(self, stage: str) -> Settings:
        """What the stage's own module says, rather than the config, which need not be what it was built from."""
        module = self.subject.model.get_submodule(self.subject.sites[stage].module)
        found: dict[str, Any] = {}
        if (norm := getattr(module, "LayerNorm", None)) is not None:
            found["eps"] = norm.eps
        for name in ("intermediate_act_fn", "transform_act_fn"):
            if (activation := getattr(module, name, None)) is not None:
                found["activation"] = activation
        if (heads := getattr(module, "num_attention_heads", None)) is not None:
            found |= {"heads": heads, "scaling": None}
        return Settings(**found)


def stage_names(anatomy: Anatomy, names: Mapping[str, Any]) -> dict[str, str]:
    """Those of the names that are a stage's, or another name for one, to the stage."""
    sites = anatomy.subject.sites
    heads = [stage for stage in sites if stage in HEADS]
    modules = {site.module: stage for stage, site in sites.items()}
    found: dict[str, str] = {}
    for name, values in names.items():
        word, _, number = name.partition(".")
        stage = _ALIASES.get(name, modules.get(name, name))
        if word == "hidden_states" and number.isdecimal():
            stage = "embeddings" if int(number) == 0 else f"layer.{int(number) - 1}.output"
        elif name in {"last_hidden_state", "sequence_output"}:
            stage = f"layer.{anatomy.layers - 1}.output"
        elif name == "logits" and name not in sites and len(heads) == 1:
            stage = heads[0]
        if stage in sites and stage not in found.values() and getattr(values, "ndim", 0) in (2, 3):
            found[name] = stage
    return found

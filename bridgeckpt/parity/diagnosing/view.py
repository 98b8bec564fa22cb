"""One recorded run on one probe, against which any stage can be computed by itself from what the reference fed it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.parity.diagnosing.anatomy import NOTHING, Anatomy, Patch, stage_names
from bridgeckpt.parity.diagnosing.definition import KINDS, Dense, attend, embed, function, normal, part_of, sources
from bridgeckpt.parity.judging.pytorch import run
from bridgeckpt.parity.judging.rounding import REFERENCE_UNITS, UNITS, Measure, measure
from bridgeckpt.parity.reference.probes import IDS, MASK, TYPES

if TYPE_CHECKING:
    from bridgeckpt.parity.reference.probes import Probe

Tensor = Any  # torch is imported inside functions

_DRAWS = 8  # of what storing in a narrow dtype moves: one of a bias alone may be nearly nothing
_TOKENS = 2048  # positions that are looked at, at most


class _Pass(NamedTuple):
    """How stages are computed: with which tensors exchanged, in which dtype, with which draw of what storing moves.

    ``known`` keeps the stages that several others read.
    """

    patch: Patch
    dtype: Any
    draw: int | None
    known: dict[str, Tensor]


class View:
    """A probe's stages as the reference holds them, and as the model computes each of them from the others.

    Attributes:
        name: The probe's name.
        anatomy: The model.
        held: Stage to the reference's values, float64.
        called: Stage to its name in the reference.
        precision: That of the reference's run.
    """

    def __init__(self, anatomy: Anatomy, name: str, probe: Probe, values: Mapping[str, Any], precision: str) -> None:
        import torch

        self.name, self.anatomy, self.precision = name, anatomy, precision
        batch, length = probe.inputs[IDS].shape
        kept = slice(0, max(1, _TOKENS // length))
        self.probe = probe._replace(inputs={key: array[kept] for key, array in probe.inputs.items()})
        self.ids = torch.as_tensor(self.probe.inputs[IDS]).long()
        self.mask = torch.as_tensor(self.probe.inputs[MASK]).bool() if MASK in probe.inputs else self.ids >= 0
        types = self.probe.inputs.get(TYPES)
        self.types = torch.zeros_like(self.ids) if types is None else torch.as_tensor(types).long()
        known = stage_names(anatomy, values)
        self.called = {stage: name for name, stage in known.items()}
        self.held: dict[str, Tensor] = {
            stage: torch.as_tensor(values[name][kept]).double()
            for name, stage in known.items()
            if len(values[name]) == batch
        }
        self.order = [stage for stage in anatomy.subject.sites if stage in self.held]
        self._plain: dict[str, tuple[Tensor, Tensor]] = {}  # what the model as it is computes, with its rounding
        self._products: dict[str, Tensor] = {}  # likewise, of a dense stage before its bias
        self._groups = sum(1 + sum(self.rows(value).shape) for value in self.held.values())

    def rows(self, values: Tensor) -> Tensor:
        """Values as [rows, features], padded positions left out."""
        if values.ndim > 2:
            return values[self.mask]
        return values.reshape(-1, values.shape[-1])

    def behind(self, stage: str) -> list[str]:
        """The stage and those that have to be computed for it, since the reference does not hold them."""
        found = [stage]
        for at in found:  # which grows meanwhile
            found += [
                source for source in sources(at, self.anatomy.layers) if source not in self.held and source not in found
            ]
        return found

    def touched(self, stage: str, patch: Patch) -> bool:
        """Whether a patch changes what is computed for a stage."""
        return any(patch.touches(at, self.anatomy.roles[at]) for at in self.behind(stage))

    def compute(self, stage: str, patch: Patch = NOTHING) -> Tensor:
        """What the model makes of a stage in float64 when it is fed the reference's own values."""
        import torch

        with torch.no_grad():
            return self._compute(stage, _Pass(patch, torch.float64, None, {}))

    def dense(self, stage: str) -> Dense:
        """A dense stage's inputs and tensors in float64."""
        import torch

        with torch.no_grad():
            return self._dense(stage, _Pass(NOTHING, torch.float64, None, {}))

    def _value(self, stage: str, how: _Pass) -> Tensor:
        """What the reference holds of a stage, else what the model makes of what it holds."""
        if stage not in how.known:
            held = self.held.get(stage)
            how.known[stage] = self._compute(stage, how) if held is None else held.to(how.dtype)
        return how.known[stage]

    def _tensors(self, stage: str, how: _Pass, dtype: Any) -> dict[str, Tensor]:  # noqa: ANN401
        return {
            role: self.anatomy.tensor(name, how.patch, dtype, draw=how.draw)
            for role, name in self.anatomy.roles[stage].items()
        }

    def _dense(self, stage: str, how: _Pass) -> Dense:
        import torch

        kind, settings = KINDS[part_of(stage)], self.anatomy.settings(stage, how.patch)
        read, *added = (self._value(at, how) for at in sources(stage, self.anatomy.layers))
        if part_of(stage) == "pooler":
            read = read[:, 0]
        tensors = self._tensors(stage, how, how.dtype)
        activation = {"hidden": settings.activation, "tanh": torch.tanh}.get(kind.activation)
        return Dense(
            read,
            tensors["kernel"],
            tensors.get("bias", torch.zeros((), dtype=how.dtype)),
            added[0] if added else None,
            None if activation is None else function(activation),
            tensors.get("gamma"),
            tensors.get("beta"),
            settings.eps,
        )

    def _compute(self, stage: str, how: _Pass) -> Tensor:
        import torch

        part, settings = part_of(stage), self.anatomy.settings(stage, how.patch)
        if part == "context":
            query, key, value = (self._value(at, how) for at in sources(stage, self.anatomy.layers))
            return attend(query, key, value, self.mask, settings)
        if part == "embeddings":
            tensors = self._tensors(stage, how, None)
            summed = embed(tensors, self.ids, self.types, settings, how.dtype)
            return normal(summed, settings.eps) * tensors["gamma"].to(how.dtype) + tensors["beta"].to(how.dtype)
        dense = self._dense(stage, how)
        exchanged = self.anatomy.roles[stage]["kernel"] in how.patch.tensors
        before = any(how.patch.touches(at, self.anatomy.roles[at]) for at in self.behind(stage) if at != stage)
        if exchanged or before or how.draw is not None or how.dtype != torch.float64:
            return dense.finish(dense.product)
        if stage not in self._products:  # most patches leave it as it is, and it takes most of the time
            self._products[stage] = dense.product
        return dense.finish(self._products[stage])

    def judge(self, stage: str, patch: Patch = NOTHING) -> Measure:
        """How far the stage is from the reference, in units of rounding, when it is fed the reference's own values."""
        return self._measure(self.rows(self.held[stage]), stage, patch, self.precision)

    def computed_by(self, stage: str, values: Tensor, patch: Patch = NOTHING) -> Measure:
        """How far ``values``, computed in float32, are from the stage's definition."""
        return self._measure(self.rows(values), stage, patch, "float32")

    def explains(self, stage: str, left: Tensor) -> bool:
        """Whether rounding explains an error ``left`` of the stage's rows."""
        truth, noise = self._computed(stage, NOTHING)
        return self._compare(left, truth, noise, self.precision).excess <= 1

    def error(self, stage: str, patch: Patch = NOTHING) -> float:
        """The norm of the stage's difference from the reference."""
        truth = self._computed(stage, patch)[0] if patch is NOTHING else self.rows(self.compute(stage, patch))
        return float((self.rows(self.held[stage]) - truth).norm())

    def run_model(self) -> dict[str, Tensor]:
        """What the model itself makes of every stage, in float32, when it is fed the reference's own values."""
        import torch

        subject = self.anatomy.subject
        forced = {stage: value.numpy() for stage, value in self.held.items()}
        found = run(subject, subject.model, self.probe, set(forced), forced=forced)
        return {stage: torch.as_tensor(values).double() for stage, values in found.items()}

    def _measure(self, expected: Tensor, stage: str, patch: Patch, precision: str) -> Measure:
        truth, noise = self._computed(stage, patch)
        return self._compare(expected - truth, truth, noise, precision)

    def _computed(self, stage: str, patch: Patch) -> tuple[Tensor, Tensor]:
        """The stage's rows in float64, and how far float32 is from them; kept for the model as it is."""
        import torch

        if patch is NOTHING and stage in self._plain:
            return self._plain[stage]
        truth = self.rows(self.compute(stage, patch))
        with torch.no_grad():
            noise = self.rows(self._compute(stage, _Pass(patch, torch.float32, None, {}))).double() - truth
            if UNITS.get(self.anatomy.subject.stored, 0.0) > UNITS["float32"]:
                moved = [self._compute(stage, _Pass(patch, torch.float64, draw, {})) for draw in range(_DRAWS)]
                squares = [(self.rows(values) - truth).square() / _DRAWS for values in moved]
                noise = torch.stack([noise.square(), *squares]).sum(0).sqrt()
        if patch is NOTHING:
            self._plain[stage] = truth, noise
        return truth, noise

    def _compare(self, error: Tensor, truth: Tensor, noise: Tensor, precision: str) -> Measure:
        unit = REFERENCE_UNITS[precision]
        if UNITS.get(self.anatomy.subject.stored, 0.0) <= UNITS["float32"]:
            noise = noise * (unit / UNITS["float32"])
        return measure(error.numpy(), noise.numpy(), truth.numpy(), unit, self._groups)

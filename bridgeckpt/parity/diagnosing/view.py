"""One recorded run on one probe: each stage can be computed by itself from the values that the reference holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.parity.diagnosing.anatomy import NOTHING, Anatomy, Patch, Tokens
from bridgeckpt.parity.judging.pytorch import run
from bridgeckpt.parity.judging.rounding import REFERENCE_UNITS, UNITS, Measure, measure
from bridgeckpt.parity.reference.probes import IDS, MASK, TYPES

if TYPE_CHECKING:
    from bridgeckpt.parity.diagnosing.dense import Dense
    from bridgeckpt.parity.reference.probes import Probe

Tensor = Any  # torch is imported inside functions

_DRAWS = 8  # random changes by storing in a narrow dtype: a single one may hardly change a bias
_TOKENS = 2048  # positions that are used, at most


class _Pass(NamedTuple):
    """How stages are computed: with which patch, in which dtype, with which random change by storing.

    ``known`` keeps the stages that several others read.
    """

    patch: Patch
    dtype: Any
    draw: int | None
    known: dict[str, Tensor]


class View:
    """The stages of a probe as the reference holds them, and as the model computes each from the others.

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
        ids, types = torch.as_tensor(self.probe.inputs[IDS]).long(), self.probe.inputs.get(TYPES)
        self.tokens = Tokens(
            ids,
            torch.zeros_like(ids) if types is None else torch.as_tensor(types).long(),
            torch.as_tensor(self.probe.inputs[MASK]).bool() if MASK in probe.inputs else ids >= 0,
        )
        known = anatomy.stage_names(values)
        self.called = {stage: name for name, stage in known.items()}
        self.held: dict[str, Tensor] = {
            stage: torch.as_tensor(values[name][kept]).double()
            for name, stage in known.items()
            if len(values[name]) == batch
        }
        self.order = [stage for stage in anatomy.subject.sites if stage in self.held]
        self._plain: dict[str, tuple[Tensor, Tensor]] = {}  # without a patch: the stage and its rounding
        self._products: dict[str, Tensor] = {}  # likewise, of a dense stage before its bias
        self._groups = sum(1 + sum(self.rows(value).shape) for value in self.held.values())

    def rows(self, values: Tensor) -> Tensor:
        """Values as [rows, features], padded positions left out."""
        if values.ndim > 2:
            return values[self.tokens.mask]
        return values.reshape(-1, values.shape[-1])

    def behind(self, stage: str) -> list[str]:
        """The stage and those before it that must be computed, since the reference does not hold them."""
        stages = [stage]
        for needed in stages:  # the list grows during the loop
            sources = self.anatomy.sources(needed)
            stages += [source for source in sources if source not in self.held and source not in stages]
        return stages

    def touched(self, stage: str, patch: Patch) -> bool:
        """Whether a patch changes what is computed for a stage."""
        return any(self.anatomy.touches(patch, needed) for needed in self.behind(stage))

    def compute(self, stage: str, patch: Patch = NOTHING) -> Tensor:
        """A stage in float64, computed from the reference's values."""
        import torch

        with torch.no_grad():
            return self._compute(stage, _Pass(patch, torch.float64, None, {}))

    def dense(self, stage: str) -> Dense:
        """A dense stage's inputs and tensors in float64."""
        import torch

        with torch.no_grad():
            return self._dense(stage, _Pass(NOTHING, torch.float64, None, {}))

    def _value(self, stage: str, how: _Pass) -> Tensor:
        """The reference's values of a stage, else the stage computed from those it holds."""
        if stage not in how.known:
            held = self.held.get(stage)
            how.known[stage] = self._compute(stage, how) if held is None else held.to(how.dtype)
        return how.known[stage]

    def _tensors(self, stage: str, how: _Pass, dtype: Any) -> dict[str, Tensor]:  # noqa: ANN401
        return {
            role: self.anatomy.tensor(name, how.patch, dtype, draw=how.draw)
            for role, name in self.anatomy.roles[stage].items()
        }

    def _sources(self, stage: str, how: _Pass) -> list[Tensor]:
        return [self._value(at, how) for at in self.anatomy.sources(stage)]

    def _dense(self, stage: str, how: _Pass) -> Dense:
        tensors = self._tensors(stage, how, how.dtype)
        return self.anatomy.dense(stage, self._sources(stage, how), tensors, how.patch)

    def _compute(self, stage: str, how: _Pass) -> Tensor:
        import torch

        if not self.anatomy.is_dense(stage):
            values, tensors = self._sources(stage, how), self._tensors(stage, how, None)
            return self.anatomy.compute(stage, values, tensors, self.tokens, how.patch, how.dtype)
        dense = self._dense(stage, how)
        exchanged = self.anatomy.roles[stage]["kernel"] in how.patch.tensors
        before = any(self.anatomy.touches(how.patch, at) for at in self.behind(stage) if at != stage)
        if exchanged or before or how.draw is not None or how.dtype != torch.float64:
            return dense.finish(dense.product)
        if stage not in self._products:  # most patches leave it as it is, and it takes most of the time
            self._products[stage] = dense.product
        return dense.finish(self._products[stage])

    def judge(self, stage: str, patch: Patch = NOTHING) -> Measure:
        """How far the stage, computed from the reference's values, is from the reference, in units of rounding."""
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
        """Every stage as the model itself computes it in float32, if each is fed the reference's values."""
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

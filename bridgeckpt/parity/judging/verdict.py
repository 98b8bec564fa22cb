"""The verdict: what a verification found, stage by stage, as data. ``showing`` makes text of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bridgeckpt.frozen import FrozenDict


class StageResult(NamedTuple):
    """One stage, over all probes and runs; of several figures the worst in units of its limit.

    Attributes:
        name: The stage, as in ``layer.3.attention``.
        module: The PyTorch module that computes it, as in ``bert.encoder.layer.3.attention.output``.
        elements: How many numbers were compared.
        difference: The largest absolute difference between TensorFlow's values and PyTorch's.
        rms: Root mean square of the reference's distance from the truth, in units of the float32 rounding measured: of
            the stage by itself, fed the reference's own input; where that is not known, of the whole model up to here.
        peak: The largest of those distances, in the same units.
        limit: What ``rms`` may be at most.
        accumulated: ``rms`` of the whole model up to here. It says how far the frameworks drift apart, and decides
            if there is no sharper test.
        double: ``rms`` of the whole model up to here in float64, in units of what a reference in float64 is held to,
            with the same limit; None when the reference has none.
        excess: The largest ratio of a figure to its limit: of all values, of a row, of a column; above 1 is a failure.
        where: What exceeded its limit most: "all values", "sequence 1, position 3 of mixed", "feature 17 of long".
        argmax: Of logits, the share of rows whose largest entry is the same.
        kl: Of logits, the largest Kullback-Leibler divergence of PyTorch's distribution from TensorFlow's, in nats.
        passed: Whether the stage agrees.
        coarse: Whether a table shows the stage even if it agrees. It is not part of the record.
    """

    name: str
    module: str
    elements: int
    difference: float
    rms: float
    peak: float
    limit: float
    accumulated: float | None
    double: float | None
    excess: float
    where: str
    argmax: float | None
    kl: float | None
    passed: bool
    coarse: bool = True

    def record(self) -> dict[str, Any]:
        """What was found, as JSON-ready values."""
        record = self._asdict()
        del record["coarse"]
        return record


class DeviceResult(NamedTuple):
    """The model run in one dtype on one device, against the truth: is its error what that dtype's rounding explains?

    ``worst`` is the stage with the largest ``rms`` (distance from the truth, in units of the rounding measured scaled
    to the dtype), ``argmax`` the lowest agreement with TensorFlow's logits, ``kl`` the largest divergence.
    """

    device: str
    device_name: str
    dtype: str
    worst: str
    rms: float
    limit: float
    argmax: float | None
    kl: float | None
    passed: bool


class Diagnosis(NamedTuple):
    """What is to blame for a failure.

    Attributes:
        stage: The first stage that goes wrong by itself, given the reference's own input.
        cause: What removes the difference, as in "query and key are swapped"; or what is known short of that.
        remedy: What to do about it.
        parameter: The PyTorch parameter or config key to blame, if there is one.
        variable: Its TensorFlow variable, if known.
        proven: Whether undoing the cause was tried and brought the stage back within rounding.
        others: Further stages that go wrong by themselves.
    """

    stage: str
    cause: str
    remedy: str
    parameter: str | None
    variable: str | None
    proven: bool
    others: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """The result of a verification.

    Attributes:
        passed: Everything that was compared agrees, and something was compared.
        stages: In the order of computation.
        devices: One for each device and dtype asked for.
        first: The first stage that diverges, or None.
        diagnosis: What is to blame, when a stage diverges.
        failures: Why it failed, a sentence for each reason; empty when passed.
        notes: What was left out or not compared.
        assumed: By the key in config.json, a sentence for each setting that both sides only assume.
        provenance: Versions, devices, fingerprints and how the reference was made.
        seconds: What each step took.
    """

    passed: bool
    stages: tuple[StageResult, ...]
    devices: tuple[DeviceResult, ...]
    first: str | None
    diagnosis: Diagnosis | None
    failures: tuple[str, ...]
    notes: tuple[str, ...]
    provenance: FrozenDict[str, Any]
    seconds: FrozenDict[str, float]
    assumed: Mapping[str, str] = FrozenDict()

    @property
    def unproven(self) -> tuple[str, ...]:
        """The keys of config.json whose values both sides only assume, so that their agreement proves nothing."""
        return tuple(self.assumed)

    def record(self) -> dict[str, Any]:
        """The verdict as JSON-ready values."""
        return {
            **self._asdict(),
            "unproven": list(self.unproven),
            "stages": [stage.record() for stage in self.stages],
            "devices": [device._asdict() for device in self.devices],
            "diagnosis": self.diagnosis._asdict() if self.diagnosis else None,
        }

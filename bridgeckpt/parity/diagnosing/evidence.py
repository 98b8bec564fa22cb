"""The evidence: which stages are wrong by themselves, and what undoing a possible cause does to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.parity.diagnosing.view import View
from bridgeckpt.parity.reference.probes import IDS

if TYPE_CHECKING:
    from bridgeckpt.parity.diagnosing.anatomy import Anatomy, Cause, Patch
    from bridgeckpt.parity.judging.rounding import Measure
    from bridgeckpt.parity.reference.reference import Reference

# Spares measuring the rounding: if the error is this many times its limit, a cause must reduce it to this share.
_FAR, _CLOSER = 20.0, 0.5


class Effect(NamedTuple):
    """What undoing a cause does, over all views.

    Attributes:
        explained: The wrong stages that it corrects, each with the number of its view.
        left: How many of the wrong stages that it changes stay wrong.
        broken: How many right stages it makes wrong.
        excess: The largest ratio to a limit among those explained.
    """

    explained: frozenset[tuple[int, str]] = frozenset()
    left: int = 0
    broken: int = 0
    excess: float = 0.0

    @property
    def rank(self) -> tuple[int, float]:
        """A key: a better explanation is larger."""
        return len(self.explained) - 2 * self.broken, -self.excess

    def explains(self, stage: str) -> bool:
        """Whether a stage is right, in some view."""
        return any(name == stage for _, name in self.explained)


class Evidence:
    """What a reference shows about a model; each stage is judged when it is first asked for.

    Attributes:
        reference: What TensorFlow computed.
        anatomy: The model.
        views: The one with the most stages, and perhaps a more exact one.
    """

    def __init__(self, reference: Reference, anatomy: Anatomy) -> None:
        self.reference, self.anatomy = reference, anatomy
        self.views = views(reference, anatomy)
        self._judged: dict[tuple[int, str], Measure] = {}

    def judged(self, view_index: int, stage: str) -> Measure:
        """How far the stage is off by itself."""
        if (view_index, stage) not in self._judged:
            self._judged[view_index, stage] = self.views[view_index].judge(stage)
        return self._judged[view_index, stage]

    def is_wrong(self, view_index: int, stage: str) -> bool:
        """Whether a view holds the stage and it is wrong by itself there."""
        return stage in self.views[view_index].held and exceeds(self.judged(view_index, stage))

    def wrong(self, view_index: int) -> list[str]:
        """All stages of a view that are wrong by themselves, in the order of computation."""
        return [stage for stage in self.views[view_index].order if self.is_wrong(view_index, stage)]

    def excess(self, view_index: int, stage: str, patch: Patch) -> float:
        """The stage's largest ratio to a limit with ``patch``; infinite if that is above 1."""
        view = self.views[view_index]
        if not self.judged(view_index, stage).excess < _FAR and view.error(stage, patch) > _CLOSER * view.error(stage):
            return float("inf")
        measured = view.judge(stage, patch)
        return float("inf") if exceeds(measured) else measured.excess

    def fixes(self, view_index: int, stage: str, patch: Patch) -> bool:
        """Whether ``patch`` brings a stage back within rounding."""
        return self.excess(view_index, stage, patch) <= 1

    def effect(self, cause: Cause) -> Effect:
        """What undoing a cause does in every view."""
        explained, left, broken, worst = set(), 0, 0, 0.0
        for view_index, view in enumerate(self.views):
            for stage in view.order:
                if not view.touched(stage, cause.patch):
                    continue
                if not self.is_wrong(view_index, stage):
                    broken += exceeds(view.judge(stage, cause.patch))
                elif (excess := self.excess(view_index, stage, cause.patch)) <= 1:
                    explained.add((view_index, stage))
                    worst = max(worst, excess)
                else:
                    left += 1
        return Effect(frozenset(explained), left, broken, worst)


def exceeds(measured: Measure) -> bool:
    """Whether rounding does not explain the error; it does not explain NaN."""
    return not measured.excess <= 1


def views(reference: Reference, anatomy: Anatomy) -> list[View]:
    """The views in a reference: the one with the most stages, then the one in float64."""
    views = []
    for run_name, probes in reference.runs.items():
        for name, values in probes.items():
            probe = reference.probes[name]
            whole = probe.positions is None and not probe.directions
            if whole and IDS in probe.inputs and probe.inputs[IDS].ndim == 2:
                precision = "float64" if run_name == "float64" else "float32"
                view = View(anatomy, name, probe, values, precision)
                if view.held:
                    views.append(view)
    views.sort(key=lambda view: (-len(view.held), view.precision != "float64"))
    precise = [view for view in views[1:] if view.precision == "float64" and view.name == views[0].name]
    return [*views[:1], *precise[:1]]

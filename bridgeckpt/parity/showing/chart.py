"""The error of every stage as a picture: an SVG with the stages along x and multiples of the rounding up y."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from math import ceil, floor, isfinite, log10
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.parity.family import layer_of
from bridgeckpt.parity.showing.figures import number
from bridgeckpt.parity.showing.summary import outcome

if TYPE_CHECKING:
    from bridgeckpt.parity.judging.verdict import StageResult, Verdict

_LEFT, _RIGHT, _TOP, _HEIGHT, _BELOW = 64.0, 20.0, 40.0, 260.0, 120.0
_WIDTH = 820.0  # of the stages of a layer together, as far as that can be kept to
_NARROWEST, _WIDEST = 4.5, 40.0  # of a stage
_POINT = 2.5
_LABELLED = 24.0  # of a stage with a name below it
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LOWEST, _HIGHEST = -2, 12  # decades; what is beyond is drawn at the edge


class _Scale(NamedTuple):
    """Where things are: the middle of each stage, and the decades shown."""

    middles: Sequence[float]
    right: float
    low: int
    high: int

    def y(self, value: float) -> float:
        """The height of a value; zero is at the bottom, what is not finite at the top."""
        decade = (log10(value) if value > 0 else self.low) if isfinite(value) else self.high
        return _TOP + _HEIGHT * (self.high - min(max(decade, self.low), self.high)) / (self.high - self.low)


def xml_text(text: str) -> str:
    """Escaped, and without what XML cannot hold at all."""
    return escape(_NOT_XML.sub("\ufffd", text))


def chart(verdict: Verdict) -> str:
    """An ``svg`` element, which takes its colours from the classes of the page; empty when there is nothing to draw."""
    stages = verdict.stages
    if not stages:
        return ""
    scale = _scale(stages)
    width, height = scale.right + _RIGHT, _TOP + _HEIGHT + _BELOW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-labelledby="chart-title chart-desc">',
        '<title id="chart-title">Error of each stage, on a logarithmic scale</title>',
        f'<desc id="chart-desc">{xml_text(_description(verdict))}</desc>',
        *_decades(scale),
        *_names(stages, scale),
        *_limit(stages, scale),
        *_series(verdict, scale),
        *_legend(),
        "</svg>",
    ]
    return "\n".join(parts)


def _description(verdict: Verdict) -> str:
    worst = ", ".join(f"{stage.name} {number(stage.rms)}" for stage in verdict.stages if not stage.passed)
    text = f"Above its limit: {worst}." if worst else "Every stage is below its limit."
    return f"{len(verdict.stages)} stages in the order of computation. {text}"


def _scale(stages: Sequence[StageResult]) -> _Scale:
    inside = sum(layer_of(stage.name) is not None for stage in stages)
    step = min(_WIDEST, max(_NARROWEST, _WIDTH / max(inside, 1)))
    middles, at = [], _LEFT
    for stage in stages:
        wide = step if layer_of(stage.name) is not None else _LABELLED
        middles.append(at + wide / 2)
        at += wide
    values = [
        value for stage in stages for value in (stage.rms, stage.accumulated, stage.limit) if value and isfinite(value)
    ]
    low = min([-1, *(floor(log10(value)) for value in values)])
    high = max([1, *(ceil(log10(value)) for value in values)])
    return _Scale(middles, at, max(low, _LOWEST), min(high, _HIGHEST))


def _decades(scale: _Scale) -> Iterator[str]:
    for decade in range(scale.low, scale.high + 1, 1 if scale.high - scale.low <= 8 else 2):
        y = scale.y(10.0**decade)
        yield f'<line class="grid" x1="{_LEFT}" x2="{scale.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="label" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**decade:g}</text>'
    middle = _TOP + _HEIGHT / 2
    yield (f'<text class="label" transform="translate(14 {middle:.1f}) rotate(-90)" text-anchor="middle">error</text>')


def _names(stages: Sequence[StageResult], scale: _Scale) -> Iterator[str]:
    """The name of each stage that is not in a layer; of layers their number, on a band for every other one."""
    bottom = _TOP + _HEIGHT
    layers: dict[int, list[float]] = {}
    for stage, x in zip(stages, scale.middles, strict=True):
        layer = layer_of(stage.name)
        if layer is not None:
            layers.setdefault(layer, []).append(x)
            continue
        yield (
            f'<text class="label" transform="translate({x + 4:.1f} {bottom + 10:.1f}) rotate(-90)"'
            f' text-anchor="end">{xml_text(stage.name if len(stage.name) < 18 else stage.name[:16] + "...")}</text>'
        )
    for layer, middles in layers.items():
        half = (middles[-1] - middles[0]) / max(len(middles) - 1, 1) / 2 or _NARROWEST / 2
        x, wide = middles[0] - half, middles[-1] - middles[0] + 2 * half
        if layer % 2:
            yield f'<rect class="band" x="{x:.1f}" y="{_TOP}" width="{wide:.1f}" height="{_HEIGHT}"/>'
        text = f"layer {layer}" if wide > 50 else str(layer)
        yield f'<text class="label" x="{x + wide / 2:.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{text}</text>'


def _limit(stages: Sequence[StageResult], scale: _Scale) -> Iterator[str]:
    """A line in steps."""
    edges = [_LEFT, *((a + b) / 2 for a, b in zip(scale.middles, scale.middles[1:], strict=False)), scale.right]
    steps = zip(stages, edges, edges[1:], strict=False)
    points = " ".join(f"{x:.1f},{scale.y(stage.limit):.1f}" for stage, *ends in steps for x in ends)
    yield f'<polyline class="limit" points="{points}"/>'


def _series(verdict: Verdict, scale: _Scale) -> Iterator[str]:
    places = list(zip(verdict.stages, scale.middles, strict=True))
    points = " ".join(f"{x:.1f},{scale.y(stage.rms):.1f}" for stage, x in places)
    yield f'<polyline class="line" points="{points}"/>'
    for stage, x in places:
        if stage.accumulated is not None:
            y = scale.y(stage.accumulated)
            yield f'<rect class="drift" x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6">{_tip(stage)}</rect>'
    for stage, x in places:
        y = scale.y(stage.rms)
        text = outcome(stage, verdict)
        if text == "DIVERGES":
            yield f'<path class="wrong" d="{_cross(x, y)}">{_tip(stage)}</path>'
        else:
            kind = "point" if text == "ok" else "follows"
            yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{_POINT}">{_tip(stage)}</circle>'


def _cross(x: float, y: float) -> str:
    return f"M{x - 5:.1f} {y - 5:.1f} l10 10 m0 -10 l-10 10"


def _tip(stage: StageResult) -> str:
    drift = "" if stage.accumulated is None else f", drift {number(stage.accumulated)}"
    where = "" if stage.passed else f"; {stage.where} at {number(stage.excess)} times its limit"
    text = f"{stage.name}: rms {number(stage.rms)}{drift}, limit {number(stage.limit)}{where}"
    return f"<title>{xml_text(text)}</title>"


def _legend() -> Iterator[str]:
    y = 18
    yield f'<line class="line" x1="64" x2="88" y1="{y}" y2="{y}"/><circle class="point" cx="76" cy="{y}" r="{_POINT}"/>'
    yield f'<text class="label" x="94" y="{y + 4}">rms</text>'
    yield f'<rect class="drift" x="139" y="{y - 3}" width="6" height="6"/>'
    yield f'<text class="label" x="152" y="{y + 4}">drift: of everything up to the stage</text>'
    yield f'<line class="limit" x1="400" x2="424" y1="{y}" y2="{y}"/>'
    yield f'<text class="label" x="430" y="{y + 4}">limit</text>'
    yield f'<path class="wrong" d="{_cross(488, y)}"/><text class="label" x="500" y="{y + 4}">diverges</text>'
    yield f'<circle class="follows" cx="568" cy="{y}" r="{_POINT}"/>'
    yield f'<text class="label" x="578" y="{y + 4}">follows</text>'

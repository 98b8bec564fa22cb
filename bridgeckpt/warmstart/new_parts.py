"""Parts of a program that a checkpoint does not have: patterns of ``new=`` for them, or the layers to start from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridgeckpt.warmstart.body import NUMBER
from bridgeckpt.warmstart.refusal import refused_variables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from bridgeckpt.warmstart.report import WarmStartReport

_PATTERNS = 12  # of new=: with more than these, the checkpoint is another model's


def patterns_of_new(report: WarmStartReport, strict: bool | None) -> list[str]:
    """Patterns of the refused variables to declare new: heads, and whole layers.

    None are given if the body does not fit in another way: then it is the body of another model.
    """
    lacking = refused_variables(report, strict)
    if len(lacking) > len(report.matched):
        return []
    having = report.with_a_value
    pattern_of = {name: _pattern(name, having) for name in sorted(lacking)}
    patterns = list(dict.fromkeys(pattern_of.values()))
    layers = {pattern for pattern in patterns if _has_layers(pattern, lacking)}
    if any(pattern_of[name] not in layers for name in report.body if name in lacking) or len(patterns) > _PATTERNS:
        return []
    return [] if any(sign in name for name in lacking for sign in "*?[") else patterns


def _pattern(name: str, others: Collection[str]) -> str:
    """The shortest prefix of a name that none of the others has, as a pattern; without one, the name."""
    ends = [end for end, sign in enumerate(name, 1) if sign == "/"]
    prefixes = (name[:end] for end in ends if not any(other.startswith(name[:end]) for other in others))
    prefix = next(prefixes, None)
    return name if prefix is None else f"{prefix}*"


def is_layer(pattern: str) -> bool:
    """Whether a pattern stands for one layer."""
    return pattern.endswith("/*") and any(number.end() == len(pattern) - 2 for number in NUMBER.finditer(pattern))


def _has_layers(pattern: str, names: Iterable[str]) -> bool:
    """Whether a pattern is a layer, or covers whole layers."""
    prefix = pattern.removesuffix("*")
    below = (name for name in names if name.startswith(prefix) and prefix != pattern)
    return is_layer(pattern) or any(number.start() >= len(prefix) for name in below for number in NUMBER.finditer(name))


def from_last_layers(report: WarmStartReport, layers: list[str]) -> dict[str, str]:
    """The prefixes of the last layers that have values, each with the prefix of a layer that has none."""
    fronts = {layer[: _last_number(layer).start()] for layer in layers}
    having = dict.fromkeys(
        match.variable[: number.end() + 1]
        for match in report.matched
        for number in NUMBER.finditer(match.variable)
        if match.variable[: number.start()] in fronts and match.variable[number.end() :].startswith("/")
    )
    ordered = sorted(having, key=lambda layer: int(_last_number(layer)[0]))
    if len(fronts) != 1 or len(ordered) < len(layers):
        return {}
    return dict(zip(ordered[-len(layers) :], layers, strict=True))


def _last_number(prefix: str) -> re.Match[str]:
    return list(NUMBER.finditer(prefix))[-1]

"""How the figures of a verdict are written."""

from __future__ import annotations

from math import floor, isfinite, isnan

_STEADY = 100.0  # from here on no decimals


def counted(count: int, noun: str) -> str:
    """``1 stage``, ``2 stages``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def number(value: float | None) -> str:
    """A multiple of the rounding, three digits of it: 0.98, 152, 1.8e+06. Nothing for None."""
    if value is None:
        return ""
    if not isfinite(value):
        return str(value)
    return f"{value:.2f}" if abs(value) < _STEADY else f"{value:.0f}" if abs(value) < 1e5 else f"{value:.1e}"


def small(value: float | None) -> str:
    """A difference or a divergence: 3.1e-07, 0."""
    return "" if value is None else "0" if value == 0 else f"{value:.1e}"


def share(value: float | None) -> str:
    """Rounded down, so that 100 % is all of them."""
    if value is None or isnan(value):
        return "" if value is None else "nan"
    return "100 %" if value == 1 else f"{floor(value * 1000) / 10:.1f} %"

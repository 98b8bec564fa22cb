"""Slots: the optimizer state that a format itself says belongs to a weight."""

from __future__ import annotations

from typing import NamedTuple


class Slot(NamedTuple):
    """Optimizer state: the key of the weight that it belongs to, and its name there (``m``, ``momentum``)."""

    weight: str
    name: str

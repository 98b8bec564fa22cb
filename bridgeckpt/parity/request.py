"""The request for a recording: a checkpoint, how to read it, what to run it on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class GivenSettings(NamedTuple):
    """The settings that the user gave; the others are None."""

    heads: int | None = None
    hidden_act: str | None = None
    layer_norm_eps: float | None = None

    @property
    def names(self) -> list[str]:
        """Which settings the user gave."""
        return [name for name, value in self._asdict().items() if value is not None]


class RecordingRequest(NamedTuple):
    """The arguments of :func:`bridgeckpt.parity.recording.record_checkpoint`, with their meanings there."""

    source: Path
    scope: str | None
    ema: bool
    config: Path | None
    given: GivenSettings
    texts: Sequence[str] | None
    tokenizer: Path | None
    seed: int
    float64: bool
    graph: bool

"""What a recording is asked for, and the probes that this takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import ParityError
from bridgeckpt.parity.bert.probes import probe_inputs
from bridgeckpt.parity.reference.probes import IDS, Probe
from bridgeckpt.sentences import Sentence

if TYPE_CHECKING:
    from pathlib import Path


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


def probes_of(request: RecordingRequest, directory: Path, rows: tuple[int, int, int]) -> dict[str, Probe]:
    """Random probes; or the user's texts, in place of the probes that go through the layers.

    Args:
        request: What the recording is asked for.
        directory: Where the tokenizer is, if the request does not say.
        rows: Rows of the tables of words, positions and types.

    Raises:
        ParityError: the tokenizer is missing, or is of another model.
    """
    probes = probe_inputs(*rows, seed=request.seed)
    if request.texts is None:
        return probes
    from bridgeckpt.parity.reference.texts import text_probe

    vocab, positions, _ = rows
    probe = text_probe(request.texts, request.tokenizer or directory, positions)
    largest = int(probe.inputs[IDS].max())
    if largest >= vocab:
        raise ParityError(
            f"the tokenizer makes token {largest}, and the model has {vocab} rows",
            hint=Sentence("give the tokenizer of this checkpoint with {tokenizer:FOLDER}"),
        )
    return {"texts": probe, "sweep": probes["sweep"]}

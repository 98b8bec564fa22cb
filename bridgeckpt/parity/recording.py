"""Recording a checkpoint: its model is run in TensorFlow, and what it computes is kept as a reference."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from bridgeckpt.errors import ParityError
from bridgeckpt.formats.locating.locate import locate
from bridgeckpt.formats.tensorflow.saved_model import saved_model_for
from bridgeckpt.options import RecordOptions, Seed, checked
from bridgeckpt.parity import families
from bridgeckpt.parity.reference.recording import reference_path, versions
from bridgeckpt.parity.reference.reference import write_reference
from bridgeckpt.parity.request import GivenSettings, RecordingRequest

if TYPE_CHECKING:
    from bridgeckpt.parity.reference.reference import Reference


@checked(RecordOptions)
def record_checkpoint(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    *,
    ema: bool = False,
    texts: Sequence[str] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    seed: Seed = 0,
    float64: bool = True,
    graph: bool = True,
    **options: Unpack[RecordOptions],
) -> Reference:
    """Run the BERT of a TensorFlow checkpoint or SavedModel in TensorFlow, on probes that read every weight.

    Args:
        source: The checkpoint, by any path that :func:`bridgeckpt.formats.open_checkpoint` takes; or the folder of a
            SavedModel, whose own functions are run.
        path: Where to write the reference, ``.safetensors``; None to keep it in memory.
        ema: Run the model with the moving averages of the weights.
        texts: Sentences to run in place of random tokens; a tab separates a pair.
        tokenizer: The folder, or the ``tokenizer.json`` itself, for ``texts``; by default beside the checkpoint.
        seed: Of the random probes.
        float64: Also compute in float64, the truth that rounding is measured against.
        graph: Also run the graph beside the checkpoint or in the SavedModel, if there is one.
        options: see :class:`bridgeckpt.RecordOptions`.

    Raises:
        ParityError: TensorFlow is missing, there is no model that can be run, or an output is not finite.
        CheckpointError: the checkpoint cannot be read.
        ConfigError: its config cannot be read.
        OutputError: the file cannot be written.
    """
    file = None if path is None else reference_path(path)
    if texts is not None and not texts:
        raise ParityError("there are no texts to run", hint="leave texts out to run random tokens")
    config = options.get("config")
    settings: dict[str, Any] = {name: options.get(name) for name in GivenSettings._fields}
    request = RecordingRequest(
        source=Path(source),
        scope=options.get("scope"),
        ema=ema,
        config=None if config is None else Path(config),
        given=GivenSettings(**settings),
        texts=texts,
        tokenizer=None if tokenizer is None else Path(tokenizer),
        seed=seed,
        float64=float64,
        graph=graph,
    )
    reference = families.record(request)
    reference = reference._replace(provenance={**versions(), **reference.provenance})
    if file is not None:
        write_reference(reference, file)
    return reference


def check_source(source: str | os.PathLike[str]) -> None:
    """Check that there is something to record at ``source``, without TensorFlow.

    Raises:
        CheckpointError: there is nothing to record.
    """
    if saved_model_for(Path(source)) is None:
        locate(Path(source))

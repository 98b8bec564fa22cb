"""Files and what is in them: readers for TensorFlow's and Hugging Face's checkpoints. Nothing here knows a mapping."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bridgeckpt.formats.locating.locate import locate
from bridgeckpt.formats.locating.registry import FORMATS

if TYPE_CHECKING:
    import os

    from bridgeckpt.formats.checkpoint import Checkpoint


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a checkpoint by any path that people pass, and read its index; no tensor is read yet.

    ``path`` may be a folder, a ``checkpoint`` state file, a prefix (``bert_model.ckpt``) or one of the files that begin
    with it, a SavedModel's or hub module's folder or its ``saved_model.pb``, a file of Keras or of safetensors, or the
    index of several. ``notes`` of the result say what was chosen, if there was a choice.

    Raises:
        CheckpointError: there is nothing there, or what is there cannot be read; the message says what it is.
    """
    return FORMATS.open(locate(Path(path)))

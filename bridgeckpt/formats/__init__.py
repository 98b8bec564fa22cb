"""The formats of checkpoints: readers for the files of TensorFlow, Keras and Hugging Face. They know no mapping."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bridgeckpt.formats.locating.locate import locate
from bridgeckpt.formats.locating.registry import FORMATS
from bridgeckpt.options import checked

if TYPE_CHECKING:
    from bridgeckpt.formats.checkpoint import Checkpoint


@checked()
def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a checkpoint and read its index. No tensor is read yet.

    ``path`` may be a folder, a ``checkpoint`` state file, a prefix (``bert_model.ckpt``) or a file that begins with it,
    the folder or the ``saved_model.pb`` of a SavedModel or hub module, a frozen graph (``.pb``), a file of Keras or of
    safetensors, or the index of several such files. If there was a choice, ``notes`` of the result say what was chosen.

    Raises:
        CheckpointError: there is nothing at the path, or it cannot be read. The message says what it is.
        OptionError: ``path`` is not a path.
    """
    return FORMATS.open(locate(Path(path)))

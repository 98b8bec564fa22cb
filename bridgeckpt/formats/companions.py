"""Where the config and the vocabulary of a checkpoint are: in its folder, or in the folder above one for checkpoints.

transformers' TFTrainer writes ``checkpoint/ckpt-1.index`` below the folder of ``config.json``; Model Garden writes
``best_ckpt/`` below that of ``params.yaml``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridgeckpt.store.source import matching

if TYPE_CHECKING:
    from pathlib import Path

_COMPANIONS = ("*config*.json", "params.yaml", "*vocab*.txt")
_FOR_CHECKPOINTS = re.compile(r"(.*[-_.])?(checkpoints?|ckpts?)([-_.].*)?", re.IGNORECASE)


def has_companions(folder: Path) -> bool:
    """Whether a config or a vocabulary is in the folder."""
    return any(matching(folder, pattern) for pattern in _COMPANIONS)


def companion_folder(folder: Path) -> Path:
    """The folder of the companions of a checkpoint in ``folder``: the one above, if only that has any."""
    place = folder.absolute()  # "." has no name
    if not _FOR_CHECKPOINTS.fullmatch(place.name):
        return folder
    try:
        return place.parent if not has_companions(place) and has_companions(place.parent) else folder
    except OSError:  # a folder that cannot be listed
        return folder

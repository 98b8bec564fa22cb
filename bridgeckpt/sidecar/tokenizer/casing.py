"""Whether a model's text is lower-cased, where the source itself says so for those who tokenize for it.

In TF1 hub modules a constant, an output of the signature ``tokenization_info``; in TF2 a bool variable,
``do_lower_case``; in a KerasHub preset the description of its tokenizer, ``tokenizer.json``.

Source: https://github.com/google-research/albert, export_to_tfhub.py; https://github.com/tensorflow/models,
official/nlp/tools/export_tfhub_lib.py
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bridgeckpt.sidecar.tokenizer.wordpiece import Casing

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.formats.tensorflow.graphdef import Graph

_SIGNATURE, _OUTPUT = "tokenization_info", "do_lower_case"
_PRESET = "tokenizer.json"
_VARIABLE = f"{_OUTPUT}/.ATTRIBUTES/VARIABLE_VALUE"


def casing_of(checkpoint: Checkpoint, graph: Graph | None) -> Casing | None:
    """What the source itself says of its casing; None if it does not. Reads at most the one byte of the variable.

    Raises:
        CheckpointError: the variable or the graph is damaged.
    """
    for info in checkpoint.tensors.values():
        if info.name.endswith(_VARIABLE) and info.dtype == "bool" and info.shape == () and len(info.extents) == 1:
            stored = b"".join(checkpoint.pieces(info.extents[0], info.name))
            return _casing(stored != b"\0", f"its variable {_OUTPUT}")
    if (told := _keras_tokenizer(checkpoint.directory / _PRESET)) is not None:
        return told
    value = graph.constant(graph.signature(_SIGNATURE).get(_OUTPUT, "")) if graph is not None else None
    if value is None or len(value) != 1:
        return None
    return _casing(bool(value[0]), f"{_OUTPUT} of its signature {_SIGNATURE}")


def _keras_tokenizer(path: Path) -> Casing | None:
    """What KerasHub's BertTokenizer is configured to do; a tokenizer.json of another library says nothing here."""
    try:
        config = json.loads(path.read_bytes())["config"]
        lowercase, strip_accents = config["lowercase"], config.get("strip_accents", False)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(lowercase, bool) or not isinstance(strip_accents, bool):
        return None
    return Casing(lowercase, f"{'un' * lowercase}cased: {path.name} of the preset says so", strip_accents)


def _casing(lowercase: bool, where: str) -> Casing:
    return Casing(lowercase, f"{'un' * lowercase}cased: the module says so ({where})")

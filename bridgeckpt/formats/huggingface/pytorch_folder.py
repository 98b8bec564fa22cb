"""What a checkpoint of PyTorch is: a folder that bridgeckpt converted, one of transformers, a part of one, a recording.

People pass such a folder to commands that take a TensorFlow checkpoint. The description tells them what they have.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.sentences import Command, Sentence
from bridgeckpt.store.source import is_file
from bridgeckpt.store.texts import TextError, read_json

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.formats.checkpoint import Checkpoint

REPORT, RECORDING = "conversion_report.json", "bridgeckpt.reference"  # a file; a key of the metadata
_CONFIG = "config.json"
_LARGEST_REPORT = 1 << 30  # bytes; it has a line for each tensor, of which there may be a million
_SHARD = re.compile(r".*-\d{5}-of-\d{5}\.safetensors")


class PyTorchModel(NamedTuple):
    """A checkpoint of PyTorch.

    Attributes:
        what: The beginning of a sentence: "FOLDER is a PyTorch folder, converted by bridgeckpt".
        folder: Its folder, for other commands.
        source: The name of the checkpoint that it was converted from, if bridgeckpt converted it.
        hint: What can be done with it.
    """

    what: str
    folder: Path
    source: str | None
    hint: str


def pytorch_model(checkpoint: Checkpoint) -> PyTorchModel | None:
    """What a checkpoint of PyTorch is; None if it may be one of TensorFlow."""
    folder = checkpoint.directory
    if RECORDING in checkpoint.metadata:
        what = f"{checkpoint.path} is a recording of what TensorFlow computed, and no checkpoint"
        verify = Command("verify", (str(checkpoint.path), "DST"))
        return PyTorchModel(what, folder, None, Sentence("compare a folder with it: {verify}", verify=verify))
    if not checkpoint.has_pytorch_names:
        return None
    report, config = _object(folder / REPORT, _LARGEST_REPORT), _object(folder / _CONFIG)
    is_converted = isinstance(report.get("bridgeckpt"), str)
    if checkpoint.metadata.get("format") != "pt" and not is_converted:
        return None
    is_shard = _SHARD.fullmatch(checkpoint.path.name) is not None
    kind = "a PyTorch folder" if is_file(folder / _CONFIG) else "a PyTorch checkpoint (safetensors)"
    what = f"{checkpoint.path} is a part of {kind}" if is_shard else f"{folder} is {kind}"
    named = config.get("architectures")
    architecture = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else None
    given = report.get("load_arguments")
    arguments = [json.dumps(str(folder), ensure_ascii=False), *(map(str, given) if isinstance(given, list) else ())]
    load = f"load it with transformers.{architecture or 'AutoModel'}.from_pretrained({', '.join(arguments)})"
    if not is_converted:
        what += f" ({architecture})" if architecture is not None else ""
        return PyTorchModel(f"{what}, whose tensors have PyTorch's names", folder, None, load)
    source, table = _text(report, "source", "checkpoint"), _text(report, "table", "name")
    what += f", converted by bridgeckpt {report['bridgeckpt']}"
    what += f" from {source}" if source else ""
    what += f" ({table})" if table else ""
    what += f" to {architecture}" if architecture is not None else ""
    sides = ("SRC", str(folder))
    hint = Sentence(
        "{load}; or compare it with the checkpoint, SRC: {verify}, {diff}",
        load=load,
        verify=Command("verify", sides),
        diff=Command("diff", sides),
    )
    return PyTorchModel(what, folder, source, hint)


def _object(path: Path, limit: int = 1 << 24) -> dict[str, Any]:
    """The JSON object in a file; empty if there is none. A report may have been edited: that is no error."""
    try:
        return read_json(path, limit)
    except TextError:
        return {}


def _text(report: dict[str, Any], *keys: str) -> str | None:
    value: object = report
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None

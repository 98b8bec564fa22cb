"""A reference: the inputs, what TensorFlow computed on them, and the file ``reference.safetensors`` that holds both.

The file can be moved to another machine. Its tensors are ``inputs/PROBE/NAME`` and ``RUN/PROBE/STAGE``; its metadata
hold one JSON document, the rest of the :class:`Reference`. The runs:

========== ==========================================================================================
graph      the graph that came with the checkpoint, in float32
float32    a forward pass in plain TensorFlow operations, or the user's own function
float64    the same forward pass in float64: the truth of the source's weights
========== ==========================================================================================
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats.huggingface.pytorch_folder import RECORDING
from bridgeckpt.formats.huggingface.safetensors import Safetensors
from bridgeckpt.formats.huggingface.safetensors_files import plan_files
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.options import checked
from bridgeckpt.parity.reference.older import assumed_in_notes
from bridgeckpt.parity.reference.probes import Probe
from bridgeckpt.parity.reference.vocabulary import SourceVocabulary, vocabulary_of
from bridgeckpt.sentences import Command, Sentence, record_of, text_of
from bridgeckpt.store.source import is_file, store_at
from bridgeckpt.store.texts import TextError, parse_json

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

_VERSION = 1


class Reference(NamedTuple):
    """What a model computed, by run, probe and stage.

    Attributes:
        probes: The inputs, by the name of the probe.
        runs: Run to probe to stage to values, as :meth:`Probe.keep` returns them. The family names the stages (see
            :mod:`bridgeckpt.parity.family`).
        provenance: Versions, device, checkpoint and how it was run: text or numbers by name, for people and reports.
            ``fingerprint`` identifies the checkpoint, ``dtype`` is that of its weights.
        variables: The TensorFlow variable of each parameter ``STAGE.ROLE``, as far as it is known.
        notes: What a reader of the verdict should know.
        assumed: By the key in config.json, a sentence for each setting that was assumed: neither the source nor the
            user states it, so that a folder that agrees may only rest on the same assumption.
        vocabulary: The vocabulary beside the checkpoint; None if there is none, or of an older version's reference.
    """

    probes: Mapping[str, Probe]
    runs: Mapping[str, Mapping[str, Mapping[str, Array]]]
    provenance: Mapping[str, Any]
    variables: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    assumed: Mapping[str, str] = FrozenDict()
    vocabulary: SourceVocabulary | None = None

    @property
    def finest(self) -> str:
        """The float32 run with the most stages. Its values are the inputs when a stage is judged by itself."""
        return "float32" if "float32" in self.runs else "graph"


def write_reference(reference: Reference, path: Path) -> None:
    """Write the file, whole or not at all; it replaces what was at ``path``.

    Raises:
        OutputError: the file cannot be written.
    """
    import numpy as np

    arrays = {f"inputs/{probe}/{name}": a for probe, p in reference.probes.items() for name, a in p.inputs.items()}
    for run, probes in reference.runs.items():
        arrays |= {f"{run}/{probe}/{stage}": a for probe, stages in probes.items() for stage, a in stages.items()}
    record = {
        "version": _VERSION,
        "probes": {name: {**probe._asdict(), "inputs": None} for name, probe in reference.probes.items()},
        "provenance": reference.provenance,
        "variables": reference.variables,
        "notes": [record_of(note) for note in reference.notes],
        "assumed": {key: record_of(sentence) for key, sentence in reference.assumed.items()},
        "vocabulary": None if reference.vocabulary is None else reference.vocabulary.record(),
    }
    (file,) = plan_files(
        [(name, array.dtype.name, array.shape) for name, array in arrays.items()], None, {RECORDING: json.dumps(record)}
    )
    with store_at(path).replacing(path) as out:
        out.write(file.header)
        for name in sorted(file.offsets, key=file.offsets.__getitem__):
            out.write(np.ascontiguousarray(arrays[name]).data)


def is_reference(path: Path) -> bool:
    """Whether ``path`` is a file that :func:`write_reference` wrote."""
    return is_file(path) and path.suffix == ".safetensors" and RECORDING in Safetensors(path).metadata


@checked()
def read_reference(path: str | os.PathLike[str]) -> Reference:
    """Read the file at ``path``.

    Raises:
        CheckpointError: the file cannot be read or is not a reference.
        OptionError: ``path`` is not a path.
    """
    path = Path(path)
    hint = Sentence(
        "make one with {run}", run=Command("record", ("SRC", "reference.safetensors"), function="record_checkpoint")
    )
    if not is_file(path):
        raise CheckpointError(f"there is no reference {path}", path=path, hint=hint)
    with Safetensors(path) as file:
        text = file.metadata.get(RECORDING)
        if text is None:
            raise CheckpointError(f"{path} is not a reference: it holds other tensors", path=path, hint=hint)
        try:
            record = parse_json(text, RECORDING)
            if record["version"] != _VERSION:
                raise CheckpointError(f"{path} was recorded by another version of bridgeckpt", path=path, hint=hint)
            probes: dict[str, dict[str, Array]] = {name: {} for name in record["probes"]}
            runs: dict[str, dict[str, dict[str, Array]]] = {}
            for key in file:
                run, probe, name = key.split("/", 2)
                values = probes[probe] if run == "inputs" else runs.setdefault(run, {}).setdefault(probe, {})
                values[name] = file.get_tensor(key)
            kept = {
                name: Probe(probes[name], of["depth"], _positions(of["positions"]), of["directions"])
                for name, of in record["probes"].items()
            }
            notes = tuple(map(text_of, record["notes"]))
            if "assumed" in record:
                assumed = {key: text_of(text) for key, text in record["assumed"].items()}
            else:
                assumed, notes = assumed_in_notes(record["provenance"], notes)
            return Reference(
                probes=kept,
                runs=runs,
                provenance=record["provenance"],
                variables=record["variables"],
                notes=notes,
                assumed=assumed,
                vocabulary=vocabulary_of(record.get("vocabulary")),
            )
        except (TextError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is a damaged reference ({error!r})", path=path, hint=hint) from None


def _positions(stored: list[int] | None) -> tuple[int, ...] | None:
    return None if stored is None else tuple(stored)

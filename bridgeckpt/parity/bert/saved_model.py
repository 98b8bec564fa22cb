"""The functions of a SavedModel as a reference: they are run on probes of the sizes that they are made for."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import ParityError
from bridgeckpt.formats.fingerprint import fingerprint
from bridgeckpt.parity.bert.exported import LoadedModel
from bridgeckpt.parity.bert.probes import probes_of
from bridgeckpt.parity.bert.signatures import LAST_STATE
from bridgeckpt.parity.hints import OWN_FUNCTION
from bridgeckpt.parity.reference.probes import TYPES
from bridgeckpt.parity.reference.reference import Reference
from bridgeckpt.parity.tensorflow.nodes import UnusableGraph
from bridgeckpt.parity.tensorflow.runtime import computing, device_name
from bridgeckpt.parity.tensorflow.stored import finite
from bridgeckpt.sentences import Sentence, Setting

if TYPE_CHECKING:
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.formats.tensorflow.saved_model import SavedModel
    from bridgeckpt.parity.bert.running import Values
    from bridgeckpt.parity.reference.probes import Probe
    from bridgeckpt.parity.request import RecordingRequest

_POSITIONS, _TYPES = 16, 1  # rows that any model has, if no variable's name says more
_TABLES = {
    "words": re.compile(r"(word|token)_embeddings?(?!_)|embeddings/(word|token)s?\b|\bwte\b", re.IGNORECASE),
    "positions": re.compile(r"position(al)?_embeddings?(?!_)", re.IGNORECASE),
    "types": re.compile(r"(type|segment)_embeddings?(?!_)", re.IGNORECASE),
}


class Recorded(NamedTuple):
    """What the functions of a SavedModel computed.

    Attributes:
        probes: The probes that they were run on.
        values: Probe to stage to values.
        how: Which functions were run, for provenance.
        notes: What a reader of the verdict should know.
    """

    probes: dict[str, Probe]
    values: Values
    how: str
    notes: tuple[str, ...]


def functions_reference(
    tf: Any,  # noqa: ANN401 - TensorFlow has no types
    request: RecordingRequest,
    saved: SavedModel,
    checkpoint: Checkpoint,
    *notes: str,
) -> Reference:
    """A reference of the functions alone, for a model whose variables are not found by their names.

    Raises:
        ParityError: the request needs these names; and as :func:`run_functions` does.
    """
    asked = (
        Setting("scope", request.scope) if request.scope else None,
        Setting("ema", value=True) if request.ema else None,
        Setting("graph", value=False) if not request.graph else None,
    )
    for setting in filter(None, asked):
        raise ParityError(
            Sentence(
                "nothing but the functions of the SavedModel {folder} can be run, and {setting} needs "
                "variables whose names are those of a BERT",
                folder=saved.folder.name,
                setting=setting,
            ),
            hint=Sentence("leave {setting} out", setting=setting),
        )
    recorded = run_functions(tf, saved, checkpoint, lambda model: probes_of(request, saved.folder, _rows(model)))
    provenance = {
        **origin(tf, checkpoint, saved),
        "dtype": max((info.nbytes, info.dtype) for info in checkpoint.tensors.values() if info.dtype != "string")[1],
        "how": recorded.how,
        "seed": request.seed,
    }
    all_notes = (*checkpoint.remarks, *notes, *recorded.notes)
    return Reference(
        probes=recorded.probes, runs={"graph": recorded.values}, provenance=provenance, variables={}, notes=all_notes
    )


def origin(tf: Any, checkpoint: Checkpoint, saved: SavedModel | None) -> dict[str, str]:  # noqa: ANN401
    """Where a reference is from and what it was computed on, for provenance."""
    return {
        "device": device_name(tf),
        "checkpoint": checkpoint.path.name if saved is None else saved.folder.resolve().name,
        "format": checkpoint.format if saved is None else "SavedModel",
        "fingerprint": fingerprint(checkpoint),
    }


def run_functions(
    tf: Any,  # noqa: ANN401
    saved: SavedModel,
    checkpoint: Checkpoint,
    choose: Callable[[LoadedModel], dict[str, Probe]],
) -> Recorded:
    """Run a SavedModel's functions on the probes that ``choose`` makes for them.

    Raises:
        ParityError: it cannot be loaded or run, takes other inputs than token ids, or returns no stage.
    """
    notes = []
    try:
        with computing(tf, f"the SavedModel {saved.folder.name}"):
            model = LoadedModel(tf, saved.folder, [(name, of.shape) for name, of in checkpoint.tensors.items()])
            given = choose(model)
            probes = {name: probe for name, probe in given.items() if model.fits(probe)}
            deep = next((probe for probe in probes.values() if probe.only is None), None)
            if deep is None:
                raise UnusableGraph("its functions are made for fewer positions than the inputs have")
            if not model.takes_types and any(probe.inputs[TYPES].any() for probe in probes.values()):
                raise UnusableGraph("its functions take no token types")
            stages = model.choose(deep)
            if len(probes) < len(given):
                left_out = ", ".join(name for name in given if name not in probes)
                notes.append(f"its functions are made for fewer positions and were not run on: {left_out}")
            if "embeddings" not in stages:
                probes = {name: probe for name, probe in probes.items() if probe.only is None}
                notes.append("its functions return no embeddings: only tokens of the other inputs were looked up")
            values = {name: finite(model.run(probe), "the SavedModel") for name, probe in probes.items()}
    except UnusableGraph as reason:
        raise ParityError(f"the SavedModel {saved.folder.name} cannot be run: {reason}", hint=OWN_FUNCTION) from reason
    if LAST_STATE in stages:
        notes.append("nothing says how many layers there are: the last one's output is recorded as last_hidden_state")
    if model.unknown:
        notes.append(f"not recorded, for their names do not say which stage they are: {', '.join(model.unknown)}")
    names = ", ".join(one.name for one in model.functions)
    return Recorded(probes, values, f"the SavedModel's own functions: {names}", tuple(notes))


def _rows(model: LoadedModel) -> tuple[int, int, int]:
    """Rows of the tables of words, positions and types, by the names of variables; else a number that every model has.

    Raises:
        ParityError: no variable could be a table of words.
    """
    matrices = [(name, shape[0]) for name, shape in model.variables if len(shape) == 2]
    if not matrices:
        raise ParityError("the SavedModel reads no matrix that could be a table of words", hint=OWN_FUNCTION)
    found = {table: [rows for name, rows in matrices if pattern.search(name)] for table, pattern in _TABLES.items()}
    words = min(found["words"], default=max(rows for _, rows in matrices))
    positions = min([*found["positions"], *model.lengths], default=_POSITIONS)
    types = min(found["types"], default=_TYPES) if model.takes_types else _TYPES
    return words, positions, types

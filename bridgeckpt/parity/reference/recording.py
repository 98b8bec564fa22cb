"""Recording a reference: a model, or a function of the user's own, is run and what it computes is kept."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bridgeckpt.errors import OutputError, ParityError
from bridgeckpt.parity.reference.probes import Probe
from bridgeckpt.parity.reference.reference import Reference, write_reference

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

_RUNS = ("float32", "float64")  # the dtypes that are compared are the names of their runs


def record(
    fn: Callable[..., Mapping[str, Any]],
    inputs: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    provenance: Mapping[str, Any] | None = None,
) -> Reference:
    """Call ``fn(**inputs)``, whatever it computes with, and write what it returns as a reference.

    Args:
        fn: Returns float32 or float64 arrays by name: numpy arrays, TensorFlow's tensors, or lists of them, which
            become ``name.0``, ``name.1`` and so on. A name is that of a stage
            (:mod:`bridgeckpt.parity.bert.stages`), of an output of the PyTorch model, or of one of its modules. An
            output that is None is left out.
        inputs: Name to array; or, for several calls, a name for each to such a mapping.
        path: Where to write, ``.safetensors``.
        provenance: What reports should say of it, JSON-ready, beside versions.

    Returns:
        What was written. float64 outputs are the truth that rounding is measured against.

    Raises:
        ParityError: an input or output is of a dtype that is not compared, or not finite; or nothing is returned.
        OutputError: the file cannot be written.
    """
    file = _reference_path(path)
    nested = bool(inputs) and all(isinstance(value, Mapping) for value in inputs.values())
    probes = {name: _probe(name, of) for name, of in (inputs if nested else {"inputs": inputs}).items()}
    described = {**_versions(), "how": "the caller's function", **(provenance or {})}
    try:
        json.dumps(described)
    except (TypeError, ValueError) as error:
        raise ParityError(f"provenance cannot be written as JSON: {error}", hint="give text and numbers") from error
    runs: dict[str, dict[str, dict[str, Array]]] = {}
    for name, probe in probes.items():
        for stage, values in _outputs(fn(**probe.inputs), name).items():
            runs.setdefault(values.dtype.name, {}).setdefault(name, {})[stage] = values
    reference = Reference(probes, runs, described)
    write_reference(reference, file)
    return reference


def record_checkpoint(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    *,
    scope: str | None = None,
    ema: bool = False,
    config: str | os.PathLike[str] | None = None,
    heads: int | None = None,
    hidden_act: str | None = None,
    layer_norm_eps: float | None = None,
    texts: Sequence[str] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    seed: int = 0,
    float64: bool = True,
    graph: bool = True,
) -> Reference:
    """Run the BERT of a TensorFlow checkpoint or SavedModel in TensorFlow, on probes that read every weight.

    Args:
        source: The checkpoint, by any path that :func:`bridgeckpt.formats.open_checkpoint` takes; or the folder of a
            SavedModel, whose own functions are run.
        path: Where to write the reference, ``.safetensors``; None to keep it in memory.
        scope: Which model, when the checkpoint holds several, as in ``student/``.
        ema: Run the moving averages of the weights.
        config: A config file, or a folder with one; by default the one beside the checkpoint.
        heads: Number of attention heads, if no graph or config says.
        hidden_act: The activation by transformers' name ("gelu" is the error function).
        layer_norm_eps: What a LayerNorm adds to the variance.
        texts: Sentences to run in place of random tokens; a tab separates a pair.
        tokenizer: The folder, or the ``tokenizer.json`` itself, for ``texts``; by default beside the checkpoint.
        seed: Of the random probes.
        float64: Also compute in float64, the truth that rounding is measured against.
        graph: Also run the graph beside the checkpoint, or in the SavedModel, if there is one.

    Raises:
        ParityError: TensorFlow is missing, there is no model that can be run, or an output is not finite.
        CheckpointError: the checkpoint cannot be read.
        ConfigError: its config cannot be.
        OutputError: the file cannot be written.
    """
    file = None if path is None else _reference_path(path)
    if texts is not None and not texts:
        raise ParityError("there are no texts to run", hint="leave texts out to run random tokens")
    from bridgeckpt.parity.bert.recording import reference_of
    from bridgeckpt.parity.bert.request import Asked, Request

    request = Request(
        source=Path(source),
        scope=scope,
        ema=ema,
        config=None if config is None else Path(config),
        asked=Asked(heads, hidden_act, layer_norm_eps),
        texts=texts,
        tokenizer=None if tokenizer is None else Path(tokenizer),
        seed=seed,
        float64=float64,
        graph=graph,
    )
    reference = reference_of(request)
    reference = reference._replace(provenance={**_versions(), **reference.provenance})
    if file is not None:
        write_reference(reference, file)
    return reference


def check_source(source: str | os.PathLike[str]) -> None:
    """See that there is something at ``source`` that could be recorded; TensorFlow is not needed for that.

    Raises:
        CheckpointError: there is not.
    """
    from bridgeckpt.formats.locating.locate import locate
    from bridgeckpt.parity.bert.saved_model import find_saved_model

    if find_saved_model(Path(source)) is None:
        locate(Path(source))


def _reference_path(path: str | os.PathLike[str]) -> Path:
    file = Path(path)
    if file.suffix != ".safetensors":
        raise OutputError(
            f"{file} would not be known as a reference", hint=f"call it {file.with_suffix('.safetensors').name}"
        )
    return file


def _versions() -> dict[str, str]:
    try:
        own = version("bridgeckpt")
    except PackageNotFoundError:  # run from a checkout that was not installed
        own = "unknown"
    found = {"bridgeckpt": own, "numpy": np.__version__}
    if (tensorflow := sys.modules.get("tensorflow")) is not None:
        found["tensorflow"] = tensorflow.__version__
    return found


def _probe(name: str, inputs: Mapping[str, Any]) -> Probe:
    if "/" in name:
        raise ParityError(f'the name of inputs "{name}" holds a slash', hint="choose a name without one")
    arrays = {key: _array(value) for key, value in inputs.items()}
    for key, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise ParityError(
                f'input "{key}" is of dtype {array.dtype}, which is no number',
                hint="pass what the model is fed, as in token ids",
            )
    return Probe(arrays)


def _outputs(returned: object, probe: str) -> dict[str, Array]:
    """The arrays of a call, lists taken apart."""
    if not isinstance(returned, Mapping):
        raise ParityError(
            f"the function returned {type(returned).__name__}, not arrays by name", hint='return {"logits": logits}'
        )
    found: dict[str, Array] = {}
    for name, value in returned.items():
        parts = {f"{name}.{at}": one for at, one in enumerate(value)} if isinstance(value, list | tuple) else {}
        for stage, one in (parts or {str(name): value}).items():
            if one is None or (one is value and isinstance(value, list | tuple)):
                continue
            if stage in found:
                raise ParityError(f'the function returned "{stage}" twice', hint="give each output a name of its own")
            found[stage] = _checked(stage, _array(one), probe)
    if not found:
        raise ParityError(f"the function returned nothing for {probe}", hint='return {"logits": logits}')
    return found


def _checked(stage: str, values: Array, probe: str) -> Array:
    if values.dtype.name not in _RUNS:
        raise ParityError(
            f'output "{stage}" is of dtype {values.dtype}, and {" and ".join(_RUNS)} are compared',
            hint="cast it (a bfloat16 model: record it in float32), or leave it out",
        )
    if not values.size:
        raise ParityError(f'output "{stage}" is empty for {probe}: {list(values.shape)}', hint="leave it out")
    if not np.isfinite(values).all():
        raise ParityError(
            f'output "{stage}" is not finite for {probe}',
            hint="look for NaN or Inf in the weights, or for masked scores that were not meant to be returned",
        )
    return values


def _array(value: Any) -> Array:  # noqa: ANN401 - whatever the user's framework returns
    array: Array = np.asarray(value.numpy() if hasattr(value, "numpy") else value, order="C")
    return array

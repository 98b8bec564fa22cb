"""Recording a function of the user: it is called, and its outputs are kept as a reference."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bridgeckpt.errors import OutputError, ParityError
from bridgeckpt.options import checked
from bridgeckpt.parity.reference.probes import Probe
from bridgeckpt.parity.reference.reference import Reference, write_reference

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

_RUNS = ("float32", "float64")  # the dtypes that are compared are the names of their runs


@checked()
def record(
    fn: Callable[..., Mapping[str, Any]],
    inputs: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    provenance: Mapping[str, Any] | None = None,
) -> Reference:
    """Call ``fn(**inputs)``, in any framework, and write its outputs as a reference.

    Args:
        fn: Returns float32 or float64 arrays by name: numpy arrays, TensorFlow's tensors, or lists of them, which
            become ``name.0``, ``name.1`` and so on. A name is that of a stage of the model's family
            (:mod:`bridgeckpt.parity.family`), of an output of the PyTorch model, or of one of its modules. An output
            that is None is left out.
        inputs: Name to array. For several calls: the name of each call to such a mapping.
        path: Where to write, ``.safetensors``.
        provenance: What reports should show beside the versions, as JSON-ready values.

    Returns:
        What was written.

    Raises:
        ParityError: an input or output is of a dtype that is not compared, or not finite; or nothing is returned.
        OutputError: the file cannot be written.
        OptionError: an argument is not a valid value.
    """
    file = reference_path(path)
    nested = bool(inputs) and all(isinstance(value, Mapping) for value in inputs.values())
    probes = {name: _probe(name, of) for name, of in (inputs if nested else {"inputs": inputs}).items()}
    described = {**versions(), "how": "the caller's function", **(provenance or {})}
    try:
        json.dumps(described)
    except (TypeError, ValueError) as error:
        raise ParityError(f"provenance cannot be written as JSON: {error}", hint="give text and numbers") from error
    runs: dict[str, dict[str, dict[str, Array]]] = {}
    for name, probe in probes.items():
        for stage, values in _outputs(fn(**probe.inputs), name).items():
            runs.setdefault(values.dtype.name, {}).setdefault(name, {})[stage] = values
    reference = Reference(probes=probes, runs=runs, provenance=described)
    write_reference(reference, file)
    return reference


def reference_path(path: str | os.PathLike[str]) -> Path:
    """Where a reference is written.

    Raises:
        OutputError: the name does not end in ``.safetensors``, so that the file would not be recognised.
    """
    file = Path(path)
    if file.suffix != ".safetensors":
        raise OutputError(
            f"{file} would not be known as a reference", hint=f"call it {file.with_suffix('.safetensors').name}"
        )
    return file


def versions() -> dict[str, str]:
    """The versions of bridgeckpt, numpy and TensorFlow, for the provenance of a reference."""
    try:
        own = version("bridgeckpt")
    except PackageNotFoundError:  # run from a checkout that was not installed
        own = "unknown"
    known = {"bridgeckpt": own, "numpy": np.__version__}
    if (tensorflow := sys.modules.get("tensorflow")) is not None:
        known["tensorflow"] = tensorflow.__version__
    return known


def _probe(name: str, inputs: Mapping[str, Any]) -> Probe:
    if "/" in name:
        raise ParityError(f'the name of inputs "{name}" holds a slash', hint="choose a name without one")
    arrays = {key: _array(value) for key, value in inputs.items()}
    for key, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise ParityError(
                f'input "{key}" is of dtype {array.dtype}, which is not numeric',
                hint="pass what the model is fed, as in token ids",
            )
    return Probe(arrays)


def _outputs(returned: object, probe: str) -> dict[str, Array]:
    """The arrays that a call returned. Each item of a list is an array of its own."""
    if not isinstance(returned, Mapping):
        raise ParityError(
            f"the function returned {type(returned).__name__}, not arrays by name", hint='return {"logits": logits}'
        )
    outputs: dict[str, Array] = {}
    for name, value in returned.items():
        is_list = isinstance(value, list | tuple)
        parts = {f"{name}.{number}": item for number, item in enumerate(value)} if is_list else {}
        for stage, item in (parts or {str(name): value}).items():
            if item is None or (item is value and is_list):
                continue
            if stage in outputs:
                raise ParityError(f'the function returned "{stage}" twice', hint="give each output a name of its own")
            outputs[stage] = _checked(stage, _array(item), probe)
    if not outputs:
        raise ParityError(f"the function returned nothing for {probe}", hint='return {"logits": logits}')
    return outputs


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


def _array(value: Any) -> Array:  # noqa: ANN401 - a tensor of any framework
    array: Array = np.asarray(value.numpy() if hasattr(value, "numpy") else value, order="C")
    return array

"""A state dict with PyTorch's names from a TensorFlow checkpoint, without writing a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from bridgeckpt.converting.conversion import log_warnings, prepare, with_odd_values
from bridgeckpt.copying.engine import assemble
from bridgeckpt.copying.odd_values import OddValues
from bridgeckpt.errors import BridgeckptError
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.options import Dtype, PlanOptions, checked

if TYPE_CHECKING:
    import numpy as np
    import torch


Source = str | os.PathLike[str] | Checkpoint


@overload
def load_state_dict(
    source: Source,
    *,
    framework: Literal["np"] = "np",
    dtype: Dtype = None,
    verify: bool = True,
    **options: Unpack[PlanOptions],
) -> dict[str, np.ndarray[Any, np.dtype[Any]]]: ...


@overload
def load_state_dict(
    source: Source,
    *,
    framework: Literal["pt"],
    dtype: Dtype = None,
    verify: bool = True,
    **options: Unpack[PlanOptions],
) -> dict[str, torch.Tensor]: ...


@checked(PlanOptions)
def load_state_dict(
    source: Source,
    *,
    framework: Literal["np", "pt"] = "np",
    dtype: Dtype = None,
    verify: bool = True,
    **options: Unpack[PlanOptions],
) -> dict[str, Any]:
    """Load the state dict that :func:`bridgeckpt.convert` would write.

    Args:
        source: path of a checkpoint (its folder, prefix or one of its files), or an open checkpoint.
        framework: "np" for numpy arrays (bfloat16 as ``ml_dtypes.bfloat16``), "pt" for torch tensors.
        dtype: "float32", "float16" or "bfloat16" for floating-point parameters; None keeps the stored dtypes.
        verify: check the CRC-32C of every tensor while it is read.
        options: see :class:`bridgeckpt.PlanOptions`.

    Returns:
        Tensors by parameter name, C-contiguous, in the order of the mapping table. Tied parameters appear once.

    Raises:
        BridgeckptError: as :func:`bridgeckpt.convert`; or ``framework`` is "pt" and PyTorch is not installed.
    """
    if framework == "pt":
        _check_torch()
    planned = prepare(source, **options)
    jobs, odd = planned.jobs(dtype), OddValues()
    arrays = {job.name: assemble(job, verify=verify, odd=odd) for job in jobs}
    log_warnings(with_odd_values(planned, jobs, odd).warnings)
    if framework == "np":
        return arrays
    return {name: _to_torch(array) for name, array in arrays.items()}


def _check_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        hint = 'pip install "bridgeckpt[torch]"'
        raise BridgeckptError(f'framework="pt" needs PyTorch: {error}', hint=hint) from None


def _to_torch(array: np.ndarray[Any, np.dtype[Any]]) -> torch.Tensor:
    import torch

    if array.dtype.name == "bfloat16":  # torch reads no ml_dtypes arrays: hand over the bits
        return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
    return torch.from_numpy(array)

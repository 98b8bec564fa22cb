"""Devices and dtypes: where a model is run, whether it fits in memory, and whether a dtype's error is its rounding."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridgeckpt.dtypes import RUN_DTYPES
from bridgeckpt.errors import ParityError
from bridgeckpt.parity.judging.comparison import agreement, rank
from bridgeckpt.parity.judging.pytorch import Subject, float32_precision, run
from bridgeckpt.parity.judging.rounding import UNITS, measure
from bridgeckpt.parity.judging.verdict import DeviceResult
from bridgeckpt.sentences import Sentence, Setting

if TYPE_CHECKING:
    from bridgeckpt.parity.family import Family
    from bridgeckpt.parity.judging.comparison import Runs, Values
    from bridgeckpt.parity.reference.reference import Reference

_DEVICES = {"cpu": Setting("device", "cpu"), "cuda": Setting("device", "cuda:1")}
_BYTES = 4 + 8 + 4  # of a parameter: the model in float32 and float64, and its file in the page cache
# How PyTorch's messages begin or name errors of CUDA and its libraries.
_MEMORY_ERRORS = ("CUDA error: out of memory", "STATUS_ALLOC_FAILED")
_DEVICE_ERRORS = ("CUDA error", "CUDA driver error", "cuDNN error")


def check_device(device: str) -> str:
    """The device to run on: ``auto`` is CUDA if PyTorch sees such a device.

    Raises:
        ParityError: there is no such device.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if count else "cpu"
    kind, _, number = device.partition(":")
    if kind not in {"cpu", "cuda"} or (number and not number.isdecimal()) or (kind == "cpu" and number):
        raise ParityError(f"{device} is not a device", hint="one of auto, cpu, cuda, cuda:1")
    if kind == "cuda" and not count:
        why = "" if torch.backends.cuda.is_built() else " (this PyTorch was built without CUDA)"
        raise ParityError(
            f"PyTorch sees no CUDA device{why}",
            hint=Sentence("{cpu} verifies here; or take the reference to a machine with a GPU", **_DEVICES),
        )
    if kind == "cuda" and number and int(number) >= count:
        raise ParityError(
            f"there is no {device}", hint=f"PyTorch sees {', '.join(f'cuda:{at}' for at in range(count))}"
        )
    return device


def check_dtypes(dtypes: Sequence[str], device: str) -> None:
    """Refuse a dtype that is unknown, or in which the device cannot multiply, also because of the environment.

    Raises:
        ParityError: a dtype is refused.
    """
    import torch

    # NVIDIA's libraries read this variable themselves; it overrides what PyTorch asks for.
    forced = None if device == "cpu" else os.environ.get("NVIDIA_TF32_OVERRIDE")
    if forced == "1" or (forced == "0" and "tf32" in dtypes):
        asked, done = ("float32", "tf32") if forced == "1" else ("tf32", "float32")
        raise ParityError(
            f"NVIDIA_TF32_OVERRIDE={forced} in the environment makes {asked} on {device} {done}",
            hint="unset it to verify there",
        )
    for dtype in dtypes:
        if dtype not in RUN_DTYPES:
            raise ParityError(
                f"{dtype} is not a dtype to run in", hint=f"one of {', '.join(RUN_DTYPES)}; float32 is always run"
            )
        if dtype == "tf32" and (device == "cpu" or torch.cuda.get_device_capability(device)[0] < 8):
            raise ParityError(
                f"{device_name(device)} has no tf32", hint="it needs CUDA on an Ampere GPU or a newer one"
            )


def device_name(device: str) -> str:
    """The manufacturer's name of the device."""
    import torch

    if device != "cpu":
        return str(torch.cuda.get_device_name(device))
    import platform

    return platform.processor() or platform.machine()


def check_memory(subject: Subject) -> None:
    """Refuse a model whose copies do not fit in memory, if the system says how much is free.

    Raises:
        ParityError: they do not fit.
    """
    needed, free = subject.parameters * _BYTES, _available()
    if free is not None and needed > free:
        raise ParityError(
            f"{subject.folder} needs {needed / 1e9:.1f} GB of memory to be verified, and {free / 1e9:.1f} GB are free",
            hint="the model is run in float32 and float64 side by side; take the reference to a larger machine",
        )


def run_on(
    subject: Subject, reference: Reference, wanted: Mapping[str, set[str]], device: str, dtype: str = "float32"
) -> dict[str, dict[str, Any]]:
    """What the model computes in ``dtype`` on ``device``, by probe and stage.

    Raises:
        ParityError: the device does not have enough memory, or fails.
    """
    import torch

    number = getattr(torch, "float32" if dtype == "tf32" else dtype)
    model = subject.model
    try:
        if (device, number) != ("cpu", torch.float32):
            model = copy.deepcopy(model).to(device=device, dtype=number)
        with float32_precision(tf32=dtype == "tf32"):
            return {name: run(subject, model, reference.probes[name], names) for name, names in wanted.items()}
    except RuntimeError as error:
        raise _refusal(error, subject, device, dtype) from error


def judge_device(
    reference: Reference, runs: Runs, values: Values, family: Family, device: str, dtype: str
) -> DeviceResult:
    """Whether the rounding of ``dtype`` explains how far ``values``, computed on ``device``, are from the truth."""
    coarser = UNITS[dtype] / UNITS["float32"]
    pairs = [
        (stage, reference.probes[probe], actual, runs.free.truth[probe][stage], runs.free.rounded[probe][stage])
        for probe, stages in values.items()
        for stage, actual in stages.items()
        if family.is_coarse(stage) or not family.is_stage(stage)
    ]
    groups = sum(1 + sum(probe.rows(truth).shape) for _, probe, _, truth, _ in pairs)
    measured = []
    for stage, probe, actual, truth, rounded in pairs:
        t = probe.rows(truth)
        error, noise = probe.rows(actual) - t, (probe.rows(rounded) - t) * coarser
        measured.append((stage, measure(error, noise, t, UNITS[dtype], groups)))
    worst, figures = max(measured, key=lambda pair: rank(pair[1].excess))
    stages = {stage for stage, *_ in pairs}
    agreements = [agreement(reference, values, stage, family) for stage in stages]
    return DeviceResult(
        device=device,
        device_name=device_name(device),
        dtype=dtype,
        worst=worst,
        rms=figures.rms,
        limit=figures.limit,
        argmax=min((argmax for argmax, _ in agreements if argmax is not None), default=None),
        kl=max((kl for _, kl in agreements if kl is not None), default=None),
        passed=bool(figures.excess <= 1),
    )


def _refusal(error: RuntimeError, subject: Subject, device: str, dtype: str) -> ParityError:
    """The refusal for an error that the device raised; any other error is raised again.

    Only PyTorch's own allocator raises ``OutOfMemoryError``. If another process leaves no memory for CUDA's context
    or a library's workspace, only the text of the error shows it.

    Raises:
        RuntimeError: ``error`` was not raised by the device.
    """
    import torch

    message = str(error).partition("\n")[0]
    if isinstance(error, torch.cuda.OutOfMemoryError) or any(words in message for words in _MEMORY_ERRORS):
        return ParityError(
            f"{device_name(device)} does not have enough memory for {subject.folder} in {dtype}",
            hint=Sentence("free the GPU, choose another with {cuda}, or verify with {cpu}", **_DEVICES),
        )
    if any(words in message for words in _DEVICE_ERRORS):
        return ParityError(
            f"{device_name(device)} failed in {dtype}: {message}",
            hint=Sentence(
                "see what nvidia-smi says of it, choose another with {cuda}, or verify with {cpu}", **_DEVICES
            ),
        )
    raise error


def _available() -> int | None:
    """Bytes of memory that are available; None if the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            sizes = dict(line.split(":", 1) for line in file)
        return int(sizes["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None

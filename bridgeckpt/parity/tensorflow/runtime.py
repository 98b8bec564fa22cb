"""TensorFlow itself: importing it quietly, the device it computes on, and its errors as ParityError."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from bridgeckpt.errors import ParityError
from bridgeckpt.sentences import Command, Sentence

_RECORD = Command("record", ("SRC", "reference.safetensors"), function="record_checkpoint")
_ELSEWHERE = Sentence("record on another machine and verify here with the file: {run}", run=_RECORD)


def import_tensorflow() -> Any:  # noqa: ANN401 - TensorFlow has no types
    """The module ``tensorflow``; importing it prints nothing, and it takes no GPU memory that it does not need.

    Raises:
        ParityError: it is not installed, its installation is broken, or the caller works in its graph mode.
    """
    try:
        with _silenced():
            tf = import_module("tensorflow")
    except ImportError as error:
        raise ParityError(
            f"running the source model needs TensorFlow ({error})",
            hint=Sentence('pip install "bridgeckpt[tensorflow]"; or {elsewhere}', elsewhere=_ELSEWHERE),
        ) from error
    if not tf.executing_eagerly():
        raise ParityError(
            "running the source model needs TensorFlow's eager execution, and it is off here: this program called "
            "tf.compat.v1.disable_eager_execution() or disable_v2_behavior(), or is inside of a graph's as_default()",
            hint="record in a process of its own, in a shell: `bridgeckpt record SRC reference.safetensors`, and "
            "verify here with that file",
        )
    tf.get_logger().setLevel("ERROR")
    for gpu in tf.config.list_physical_devices("GPU"):
        try:  # without this it takes the whole GPU, and leaves none for PyTorch in the same process
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:  # the caller has used the GPU already, with settings of their own
            break
    return tf


@contextmanager
def _silenced() -> Iterator[None]:
    """Hide what TensorFlow's libraries log while they are loaded, unless the user asked for all of it.

    Some of it is written to file descriptor 2 before any log level applies.
    """
    # The level is read once, when TensorFlow is imported.
    if "tensorflow" in sys.modules or os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0":
        yield
        return
    try:
        saved = os.dup(2)
    except OSError:  # a process without a standard error
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def device_name(tf: Any) -> str:  # noqa: ANN401
    """What TensorFlow computes on: the name of its first GPU, or "CPU"."""
    gpus = tf.config.list_physical_devices("GPU")
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")) if gpus else "CPU"


@contextmanager
def computing(tf: Any, what: str) -> Iterator[None]:  # noqa: ANN401
    """Run a block on the first GPU, if there is one, in true float32; ``what`` names it in errors.

    Raises:
        ParityError: memory ran out, or an operation failed.
    """
    gpus = tf.config.list_logical_devices("GPU")
    allowed = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        with tf.device(gpus[0].name if gpus else "/CPU:0"):
            yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        where = "the GPU" if gpus else "memory"
        hint = 'hide the GPU (CUDA_VISIBLE_DEVICES="") to run on the CPU' if gpus else _ELSEWHERE
        raise ParityError(f"{what} does not fit in {where}", hint=hint) from error
    except (tf.errors.OpError, ValueError) as error:
        raise ParityError(f"{what} could not be run by TensorFlow: {first_line(error)}") from error
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(allowed)


def first_line(error: Exception) -> str:
    """The first line of TensorFlow's message; the rest may be pages of the graph."""
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__

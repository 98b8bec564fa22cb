"""The caller's TensorFlow: imported when it is needed, and not configured in any way."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bridgeckpt.errors import BridgeckptError


def tensorflow() -> Any:  # noqa: ANN401 - TensorFlow has no types
    """The module ``tensorflow``.

    Raises:
        BridgeckptError: TensorFlow is not installed, or its installation is broken.
    """
    try:
        return import_module("tensorflow")
    except ImportError as error:
        raise BridgeckptError(
            f"warm-starting a TensorFlow program needs TensorFlow ({error})",
            hint='pip install "bridgeckpt[tensorflow]"',
        ) from error

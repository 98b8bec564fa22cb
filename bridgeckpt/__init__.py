"""bridgeckpt moves model checkpoints from TensorFlow to PyTorch, every tensor accounted for, and proves the result.

The public API is what this module exports; it is imported on first use, so that ``import bridgeckpt`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bridgeckpt.conversion import Conversion, convert
    from bridgeckpt.difference import Difference, diff
    from bridgeckpt.errors import (
        BridgeckptError,
        CheckpointError,
        ConfigError,
        OutputError,
        ParityError,
        PlanError,
        PrecisionError,
        Problem,
        TableError,
    )
    from bridgeckpt.formats import open_checkpoint
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.lints import check
    from bridgeckpt.mapping.table import Table, load_table
    from bridgeckpt.parity.recording import record, record_checkpoint
    from bridgeckpt.parity.reference import Reference, read_reference
    from bridgeckpt.parity.verdict import DeviceResult, Diagnosis, StageResult, Verdict
    from bridgeckpt.parity.verifying import verify
    from bridgeckpt.planning.plan import Plan, plan
    from bridgeckpt.state_dict import load_state_dict

_HOME = {
    "BridgeckptError": "errors",
    "Checkpoint": "formats.checkpoint",
    "CheckpointError": "errors",
    "ConfigError": "errors",
    "Conversion": "conversion",
    "DeviceResult": "parity.verdict",
    "Diagnosis": "parity.verdict",
    "Difference": "difference",
    "OutputError": "errors",
    "ParityError": "errors",
    "Plan": "planning.plan",
    "PlanError": "errors",
    "PrecisionError": "errors",
    "Problem": "errors",
    "Reference": "parity.reference",
    "StageResult": "parity.verdict",
    "Table": "mapping.table",
    "TableError": "errors",
    "Verdict": "parity.verdict",
    "check": "mapping.lints",
    "convert": "conversion",
    "diff": "difference",
    "load_state_dict": "state_dict",
    "load_table": "mapping.table",
    "open_checkpoint": "formats",
    "plan": "planning.plan",
    "read_reference": "parity.reference",
    "record": "parity.recording",
    "record_checkpoint": "parity.recording",
    "verify": "parity.verifying",
}

__all__ = [
    "BridgeckptError",
    "Checkpoint",
    "CheckpointError",
    "ConfigError",
    "Conversion",
    "DeviceResult",
    "Diagnosis",
    "Difference",
    "OutputError",
    "ParityError",
    "Plan",
    "PlanError",
    "PrecisionError",
    "Problem",
    "Reference",
    "StageResult",
    "Table",
    "TableError",
    "Verdict",
    "__version__",
    "check",
    "convert",
    "diff",
    "load_state_dict",
    "load_table",
    "open_checkpoint",
    "plan",
    "read_reference",
    "record",
    "record_checkpoint",
    "verify",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the module exports
    if name not in _HOME:
        raise AttributeError(f"module 'bridgeckpt' has no attribute {name!r}")
    value = getattr(import_module(f"bridgeckpt.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

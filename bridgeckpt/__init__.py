"""bridgeckpt moves model checkpoints from TensorFlow to PyTorch, every tensor accounted for, and proves the result.

The public API is what this module exports. Each name is imported on first use, so that ``import bridgeckpt`` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bridgeckpt._version import __version__

if TYPE_CHECKING:
    from bridgeckpt.comparing.difference import Difference, diff
    from bridgeckpt.converting.conversion import Conversion, convert
    from bridgeckpt.converting.inspection import Inspection, inspect
    from bridgeckpt.converting.state_dict import load_state_dict
    from bridgeckpt.errors import (
        BridgeckptError,
        CheckpointError,
        ConfigError,
        OptionError,
        OutputError,
        ParityError,
        PlanError,
        PrecisionError,
        Problem,
        TableError,
    )
    from bridgeckpt.formats import open_checkpoint
    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.mapping.checking.lints import check
    from bridgeckpt.mapping.tables.dialect import Table, load_table
    from bridgeckpt.options import ConvertOptions, DiffOptions, PlanOptions, RecordOptions
    from bridgeckpt.parity.judging.verdict import DeviceResult, Diagnosis, StageResult, Verdict
    from bridgeckpt.parity.recording import record_checkpoint
    from bridgeckpt.parity.reference.recording import record
    from bridgeckpt.parity.reference.reference import Reference, read_reference
    from bridgeckpt.parity.verifying import verify
    from bridgeckpt.planning.plan import plan
    from bridgeckpt.planning.record import Plan

_HOME = {
    "BridgeckptError": "errors",
    "Checkpoint": "formats.checkpoint",
    "CheckpointError": "errors",
    "ConfigError": "errors",
    "Conversion": "converting.conversion",
    "ConvertOptions": "options",
    "DeviceResult": "parity.judging.verdict",
    "Diagnosis": "parity.judging.verdict",
    "DiffOptions": "options",
    "Difference": "comparing.difference",
    "Inspection": "converting.inspection",
    "OptionError": "errors",
    "OutputError": "errors",
    "ParityError": "errors",
    "Plan": "planning.record",
    "PlanError": "errors",
    "PlanOptions": "options",
    "PrecisionError": "errors",
    "Problem": "errors",
    "RecordOptions": "options",
    "Reference": "parity.reference.reference",
    "StageResult": "parity.judging.verdict",
    "Table": "mapping.tables.dialect",
    "TableError": "errors",
    "Verdict": "parity.judging.verdict",
    "check": "mapping.checking.lints",
    "convert": "converting.conversion",
    "diff": "comparing.difference",
    "inspect": "converting.inspection",
    "load_state_dict": "converting.state_dict",
    "load_table": "mapping.tables.dialect",
    "open_checkpoint": "formats",
    "plan": "planning.plan",
    "read_reference": "parity.reference.reference",
    "record": "parity.reference.recording",
    "record_checkpoint": "parity.recording",
    "verify": "parity.verifying",
}

__all__ = [
    "BridgeckptError",
    "Checkpoint",
    "CheckpointError",
    "ConfigError",
    "Conversion",
    "ConvertOptions",
    "DeviceResult",
    "Diagnosis",
    "DiffOptions",
    "Difference",
    "Inspection",
    "OptionError",
    "OutputError",
    "ParityError",
    "Plan",
    "PlanError",
    "PlanOptions",
    "PrecisionError",
    "Problem",
    "RecordOptions",
    "Reference",
    "StageResult",
    "Table",
    "TableError",
    "Verdict",
    "__version__",
    "check",
    "convert",
    "diff",
    "inspect",
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
    from bridgeckpt.options import shown

    value = shown(getattr(import_module(f"bridgeckpt.{_HOME[name]}"), name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

"""``bridgeckpt inspect``: what a checkpoint is, on one screen."""

from __future__ import annotations

import argparse
import sys

from bridgeckpt.cli.console import print_json
from bridgeckpt.cli.given import given
from bridgeckpt.cli.lines import Lines, table
from bridgeckpt.cli.words import say
from bridgeckpt.converting.inspection import Inspection, inspect
from bridgeckpt.errors import BridgeckptError, CheckpointError, PlanError
from bridgeckpt.options import PlanOptions
from bridgeckpt.store.sizes import format_size
from bridgeckpt.wording import shape_text


def run(arguments: argparse.Namespace) -> int:
    """Inspect as the arguments say. The exit status is 0 even if a conversion of the checkpoint would be refused."""
    inspection = inspect(arguments.source, **given(arguments, PlanOptions))
    if arguments.json:
        print_json({"ok": True, **inspection.record()})
        return 0
    _describe(inspection, Lines(sys.stdout))
    rows = [(f.name, str(f.tensors), f.dtype, shape_text(f.shape), f.state) for f in inspection.families]
    table(("tensor", "count", "dtype", "shape", "state"), rows)
    return 0


def _describe(inspection: Inspection, lines: Lines) -> None:
    checkpoint, plan = inspection.checkpoint, inspection.plan
    lines.add("checkpoint", str(checkpoint.path))
    lines.add("format", checkpoint.format + (f", written by {inspection.writer}" if inspection.writer else ""))
    lines.add("size", f"{len(checkpoint.tensors)} tensors, {format_size(checkpoint.nbytes)}")
    for note in plan.notes if plan else checkpoint.notes:
        lines.add("note", note)
    if inspection.incomplete is not None:
        lines.add("incomplete", _with_hint(inspection.incomplete))
    if plan is None:
        refusal = inspection.refusal
        if isinstance(refusal, PlanError) and refusal.kind == "unrecognised":
            lines.add("dialect", f"unknown: {say(refusal.message)}")
        elif isinstance(refusal, PlanError) and refusal.kind == "pytorch":
            lines.add("model", say(refusal.message))
            lines.add("next", say(refusal.hint or ""))
        elif refusal is not None and not (inspection.incomplete and isinstance(refusal, CheckpointError)):
            # The dialect is known, but the plan is refused for another reason.
            lines.add("refused", _with_hint(refusal))
        return
    lines.add("dialect", f"{plan.table.name}: {plan.table.title}")
    lines.add("class", plan.architecture.name)
    for key, value in plan.sizes.values.items():
        lines.add("sizes", f"{key} = {value} ({say(plan.sizes.origin[key])})")
    if plan.configuration is not None:
        for key, provenance in plan.configuration.provenance.items():
            lines.add("config", f"{key} = {plan.configuration.values[key]}, {say(provenance)}")
    if plan.casing is not None:
        lines.add("tokenizer", plan.casing.reason)
    for slot, count in inspection.slots.items():
        lines.add("slots", f"{slot}: {count} tensors")
    for problem in plan.problems:
        lines.add("problem", problem.line)
    for warning in plan.warnings:
        lines.add("warning", warning)


def _with_hint(error: BridgeckptError) -> str:
    return say(error.message) + (f" ({say(error.hint)})" if error.hint else "")

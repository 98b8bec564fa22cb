"""``bridgeckpt inspect``: what a checkpoint is, on one screen."""

from __future__ import annotations

import argparse
import sys

from bridgeckpt.cli.console import print_json
from bridgeckpt.cli.given import given
from bridgeckpt.cli.lines import WARNING, Lines, table
from bridgeckpt.cli.words import say
from bridgeckpt.converting.inspection import Inspection, inspect
from bridgeckpt.errors import BridgeckptError, CheckpointError, PlanError
from bridgeckpt.options import PlanOptions
from bridgeckpt.planning.problems import lines_of
from bridgeckpt.store.sizes import format_size
from bridgeckpt.wording import listed, shape_text

# States whose tensors are counted, not listed: there may be thousands, all named alike.
_COUNTED = ("slot", "average", "copy")


def run(arguments: argparse.Namespace) -> int:
    """Inspect as the arguments say. The exit status is 0 even if a conversion of the checkpoint would be refused."""
    inspection = inspect(arguments.source, **given(arguments, PlanOptions))
    if arguments.json:
        print_json({"ok": True, **inspection.record()})
        return 0
    lines = Lines(sys.stdout)
    _describe(inspection, lines)
    rows = [
        (family.name, str(family.tensors), family.dtype, shape_text(family.shape), family.state)
        for family in inspection.families
        if family.state not in _COUNTED
    ]
    table(("tensor", "count", "dtype", "shape", "state"), rows)
    if inspection.plan is not None:  # what has to be seen comes last
        for line in lines_of(inspection.plan.problems):
            lines.add("problem", line)
        for warning in inspection.plan.warnings:
            lines.add(WARNING, warning)
    return 0


def _describe(inspection: Inspection, lines: Lines) -> None:
    checkpoint, plan = inspection.checkpoint, inspection.plan
    lines.add("checkpoint", str(checkpoint.path))
    lines.add("format", checkpoint.format + (f", written by {inspection.writer}" if inspection.writer else ""))
    lines.add("size", f"{len(checkpoint.tensors)} tensors, {format_size(checkpoint.nbytes)}")
    for note in plan.notes if plan else checkpoint.remarks:
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
    else:
        lines.add("dialect", f"{plan.table.name}: {plan.table.title}")
        lines.add("class", plan.architecture.name)
        for origin in dict.fromkeys(plan.sizes.origin.values()):
            sizes = [f"{key} {size}" for key, size in plan.sizes.values.items() if plan.sizes.origin[key] == origin]
            lines.add("sizes", f"{', '.join(sizes)} ({say(origin)})")
        if plan.configuration is not None:
            for key, provenance in plan.configuration.provenance.items():
                lines.add("config", f"{key} = {plan.configuration.values[key]}, {say(provenance)}")
        if plan.casing is not None:
            lines.add("tokenizer", plan.casing.reason)
    if inspection.slots:
        lines.add("slots", ", ".join(f"{count} {slot}" for slot, count in inspection.slots.items()))
    if inspection.averages:
        lines.add("averages", ", ".join(f"{count} {word}" for word, count in inspection.averages.items()))
    copies = [family for family in inspection.families if family.state == "copy"]
    if copies:
        count = sum(family.tensors for family in copies)
        lines.add("copies", f"{count} of other tensors: {listed((family.name for family in copies), 2)}")


def _with_hint(error: BridgeckptError) -> str:
    return say(error.message) + (f" ({say(error.hint)})" if error.hint else "")

"""``bridgeckpt inspect``: what a checkpoint is, on one screen."""

from __future__ import annotations

import argparse
import sys

from bridgeckpt.cli.console import Lines, print_json, table
from bridgeckpt.cli.convert import plan_options
from bridgeckpt.cli.words import say
from bridgeckpt.converting.inspection import Inspection, inspect
from bridgeckpt.errors import PlanError
from bridgeckpt.store.sizes import format_size
from bridgeckpt.wording import shape_text


def run(arguments: argparse.Namespace) -> int:
    """Inspect as the arguments say. A checkpoint that would be refused is still inspected: exit status 0."""
    found = inspect(arguments.source, **plan_options(arguments))
    if arguments.json:
        print_json({"ok": True, **found.record()})
        return 0
    _describe(found, Lines(sys.stdout))
    rows = [(f.name, str(f.tensors), f.dtype, shape_text(f.shape), f.state) for f in found.families]
    table(("tensor", "count", "dtype", "shape", "state"), rows)
    return 0


def _describe(found: Inspection, lines: Lines) -> None:
    checkpoint, plan = found.checkpoint, found.plan
    lines.add("checkpoint", str(checkpoint.path))
    lines.add("format", checkpoint.format + (f", written by {found.writer}" if found.writer else ""))
    lines.add("size", f"{len(checkpoint.tensors)} tensors, {format_size(checkpoint.nbytes)}")
    for note in plan.notes if plan else checkpoint.notes:
        lines.add("note", note)
    if plan is None:
        refusal = found.refusal
        if isinstance(refusal, PlanError) and refusal.kind == "unrecognised":
            lines.add("dialect", f"unknown: {say(refusal.message)}")
        elif refusal is not None:  # the dialect is known, and there is another reason
            lines.add("refused", refusal.message)
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
    for slot, count in found.slots.items():
        lines.add("slots", f"{slot}: {count} tensors")
    for problem in plan.problems:
        lines.add("problem", problem.line)

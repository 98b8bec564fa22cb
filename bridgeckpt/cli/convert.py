"""``bridgeckpt convert``: plan, print the decisions, convert, print what was written."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from bridgeckpt.cli.console import print_json, progress
from bridgeckpt.cli.given import given
from bridgeckpt.cli.lines import Lines
from bridgeckpt.cli.words import say
from bridgeckpt.converting.conversion import Conversion, carry_out, prepare
from bridgeckpt.converting.huggingface_folder import REPORT, load_command
from bridgeckpt.converting.report import summary
from bridgeckpt.converting.rest import rest_of
from bridgeckpt.options import PlanOptions
from bridgeckpt.sidecar.tokenizer.files import has_tokenizer
from bridgeckpt.store.sizes import format_size
from bridgeckpt.wording import fold, listed

if TYPE_CHECKING:
    from bridgeckpt.planning.record import Plan


# What the states of tensors that are left out are called here.
_LEFT_OUT = {"bookkeeping": "ignored", "ignored": "ignored", "excluded": "excluded"}


def run(arguments: argparse.Namespace) -> int:
    """Convert as the arguments say."""
    began = perf_counter()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy only moves bytes: threads of BLAS would cost time
    destination = None if arguments.dry_run else arguments.destination
    planned = prepare(arguments.source, destination, force=arguments.force, **given(arguments, PlanOptions))
    lines = Lines(sys.stderr if arguments.json else sys.stdout)
    describe(planned, lines)
    rest = rest_of(planned) if arguments.keep_rest else None
    for note in rest.notes(dry_run=arguments.dry_run) if rest is not None else ():
        lines.add("kept", note)
    kept = {"unconverted": rest.record()} if rest is not None else {}
    if arguments.dry_run:
        lines.add("dry run", f"nothing was written; {arguments.destination} would hold {planned.architecture.name}")
        _warn(planned, lines)
        if arguments.json:
            print_json({"ok": True, "dry_run": True, **summary(planned), **kept})
        return 0
    with progress(quiet=arguments.json) as advance:
        done = carry_out(
            planned,
            arguments.destination,
            dtype=arguments.dtype,
            max_shard_size=arguments.max_shard_size,
            verify=arguments.verify,
            checksums=arguments.checksums,
            force=arguments.force,
            keep_rest=arguments.keep_rest,
            progress=advance,
        )
    seconds = perf_counter() - began
    _finished(done, seconds, lines)
    _warn(done.plan, lines)
    if arguments.json:
        record = {"ok": True, "path": str(done.path), "files": done.files, "seconds": round(seconds, 3)}
        record["load"] = load_command(done.plan, done.path)
        print_json({**record, **summary(done.plan), **kept})
    return 0


def describe(planned: Plan, lines: Lines) -> None:
    """Print what was found and what was decided."""
    checkpoint, ledger, sizes = planned.checkpoint, planned.ledger, planned.sizes.values
    count = len(checkpoint.tensors)
    lines.add(
        "checkpoint", f"{checkpoint.path} ({checkpoint.format}, {count} tensors, {format_size(checkpoint.nbytes)})"
    )
    scope = "".join(planned.wildcards.values())
    lines.add("dialect", f"{planned.table.name}: {planned.table.title}" + (f", under {scope}" if scope else ""))
    solved = ", ".join(f"{key} {value}" for key, value in sizes.items())
    lines.add("class", planned.architecture.name + (f" ({solved})" if solved else ""))
    lines.add("source", _states(ledger.source_counts()))
    for state in _LEFT_OUT:
        reasons: dict[str, list[str]] = {}
        for name, source_state in ledger.sources.items():
            if source_state == state:
                reasons.setdefault(ledger.reasons[name], []).append(name)
        for reason, names in reasons.items():
            folded = (text for text, _ in fold(names))
            lines.add(_LEFT_OUT[state], f"{listed(folded, 3)}: {say(reason)}")
    lines.add("target", _states(ledger.target_counts()))
    if planned.configuration is not None:
        for key, provenance in planned.configuration.provenance.items():
            lines.add("config", f"{key} = {planned.configuration.values[key]}, {say(provenance)}")
    if planned.casing is not None:
        lines.add("tokenizer", planned.casing.reason)
    elif has_tokenizer(planned.companions):
        lines.add("tokenizer", f"copied unchanged: {', '.join(path.name for path in planned.companions)}")
    else:
        lines.add("tokenizer", "no tokenizer: there is no vocabulary (vocab.txt) beside the checkpoint")
    for note in planned.notes:
        lines.add("note", note)


def _warn(planned: Plan, lines: Lines) -> None:
    for warning in planned.warnings:
        lines.add("warning", warning)


def _states(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _finished(done: Conversion, seconds: float, lines: Lines) -> None:
    lines.add("wrote", f"{done.path} ({format_size(done.nbytes)} of tensors in {seconds:.2f} s; details in {REPORT})")
    lines.add("load it", load_command(done.plan, done.path), whole=True)

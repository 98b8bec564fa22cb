"""``bridgeckpt record``: run the checkpoint in TensorFlow, print what was recorded."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter

from bridgeckpt.cli.console import print_json, steps
from bridgeckpt.cli.given import given
from bridgeckpt.cli.lines import Lines
from bridgeckpt.errors import ParityError
from bridgeckpt.options import RecordOptions
from bridgeckpt.parity import recording
from bridgeckpt.parity.reference.reference import Reference, is_reference
from bridgeckpt.parity.showing.figures import counted
from bridgeckpt.parity.showing.summary import provenance
from bridgeckpt.sentences import Sentence
from bridgeckpt.store.file import check_output
from bridgeckpt.store.sizes import format_size
from bridgeckpt.store.source import look
from bridgeckpt.store.texts import TextError, read_text


def run(arguments: argparse.Namespace) -> int:
    """Record as the arguments say."""
    began = perf_counter()
    path: Path = arguments.reference
    check_output(path, "a reference", is_reference)
    texts = read_texts(arguments.texts)
    if arguments.tokenizer is not None and texts is None:
        raise ParityError(
            Sentence("{tokenizer} is only for {texts}, and {texts} is not given"),
            hint=Sentence("leave it out, or give {texts:FILE}"),
        )
    with steps(quiet=arguments.json) as step:
        if step is not None:
            step("recording in TensorFlow")
        reference = recording.record_checkpoint(
            arguments.source,
            path,
            ema=arguments.ema,
            texts=texts,
            tokenizer=arguments.tokenizer,
            seed=arguments.seed or 0,
            float64=arguments.float64,
            graph=arguments.graph,
            **given(arguments, RecordOptions),
        )
    seconds = perf_counter() - began
    written = look(path)
    size = 0 if written is None else written.size
    if arguments.json:
        print_json(_record(reference, path, size, seconds))
    else:
        _describe(reference, path, size, seconds, Lines(sys.stdout))
    return 0


def read_texts(path: Path | None) -> list[str] | None:
    """The lines of a file that are not blank; None if ``path`` is None.

    Raises:
        ParityError: the file cannot be read or holds no text, or a line is not one text or two texts with a tab.
    """
    if path is None:
        return None
    try:
        lines = read_text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except TextError as error:
        raise ParityError(error.message, hint=error.hint) from error
    for number, line in enumerate(lines, 1):
        if (line.strip() and not all(part.strip() for part in line.split("\t", 1))) or line.count("\t") > 1:
            raise ParityError(
                f"line {number} of {path} is neither a text nor two texts with a tab between them",
                hint="put exactly one tab between the two texts",
            )
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise ParityError(f"{path} holds no text", hint="one text a line; leave --texts out to run random tokens")
    return texts


def _describe(reference: Reference, path: Path, size: int, seconds: float, lines: Lines) -> None:
    for key, text in provenance("from", reference.provenance):
        lines.add(key, text)
    for name, probe in reference.probes.items():
        shapes = {" x ".join(map(str, array.shape)) for array in probe.inputs.values()}
        lines.add("inputs", f"{name} ({', '.join(sorted(shapes))})")
    for run, stages in _kept(reference).items():
        lines.add("kept", f"{run}: {counted(len(stages), 'stage')}, {stages[0]} to {stages[-1]}")
    for note in reference.notes:
        lines.add("note", note)
    for why in reference.assumed.values():
        lines.add("unproven", why)
    lines.add("wrote", f"{path} ({format_size(size)} in {seconds:.2f} s)")
    lines.add("verify it", f"bridgeckpt verify {path} DST")


def _kept(reference: Reference) -> dict[str, list[str]]:
    """The stages of each run, over all probes."""
    return {
        run: [*dict.fromkeys(s for kept in probes.values() for s in kept)] for run, probes in reference.runs.items()
    }


def _record(reference: Reference, path: Path, size: int, seconds: float) -> dict[str, object]:
    return {
        "ok": True,
        "path": str(path),
        "bytes": size,
        "seconds": round(seconds, 3),
        "inputs": {
            name: {of: array.shape for of, array in probe.inputs.items()} for name, probe in reference.probes.items()
        },
        "runs": _kept(reference),
        "provenance": reference.provenance,
        "variables": reference.variables,
        "notes": reference.notes,
        "unproven": list(reference.assumed),
        "assumed": reference.assumed,
    }

"""conversion_report.json: where every parameter came from, what was left out and why, and where the config is from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any

from bridgeckpt._version import __version__
from bridgeckpt.converting.huggingface_folder import load_arguments
from bridgeckpt.formats.fingerprint import fingerprint
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.sidecar.tokenizer.files import TOKENIZER_NAMES

if TYPE_CHECKING:
    from bridgeckpt.copying.job import Job
    from bridgeckpt.planning.record import Plan


def summary(plan: Plan) -> dict[str, Any]:
    """The plan without its tensors, for the terminal and the head of the report."""
    checkpoint, table, ledger = plan.checkpoint, plan.table, plan.ledger
    return {
        "bridgeckpt": __version__,
        "source": {
            "checkpoint": checkpoint.path.name,
            "format": checkpoint.format,
            "tensors": len(checkpoint.tensors),
            "bytes": checkpoint.nbytes,
            "fingerprint": fingerprint(checkpoint),
            "ema": plan.ema,
        },
        "table": {
            "name": table.name,
            "title": table.title,
            "model": plan.model.name,
            "sha256": table.digests,
            "wildcards": dict(plan.wildcards),
        },
        "architecture": plan.architecture.name,
        "load_arguments": load_arguments(plan),
        "sizes": sized(plan),
        "config": decided(plan),
        "casing": plan.casing.reason if plan.casing else None,
        "notes": list(plan.notes),
        "warnings": list(plan.warnings),
        "unproven": list(plan.unproven),
        "source_states": ledger.source_counts(),
        "target_states": ledger.target_counts(),
    }


def sized(plan: Plan) -> dict[str, dict[str, Any]]:
    """The sizes, each with its origin."""
    return {key: {"value": value, "from": plan.sizes.origin[key]} for key, value in plan.sizes.values.items()}


def decided(plan: Plan) -> dict[str, dict[str, Any]]:
    """The values of the config that no tensor shows, each with its origin."""
    if plan.configuration is None:
        return {}
    configuration = plan.configuration
    return {
        key: {"value": configuration.value(key), "from": origin} for key, origin in configuration.provenance.items()
    }


def report(
    plan: Plan,
    jobs: Sequence[Job],
    files: Sequence[str],
    digests: Sequence[str] | None,
    *,
    verified: bool,
    rest: Mapping[str, Any] | None = None,
    texts: Mapping[str, bytes] = FrozenDict(),
) -> bytes:
    """The whole report as JSON, one line for each tensor.

    ``verified`` says whether the CRC-32C of every tensor that was read was checked. ``files`` and ``digests`` (SHA-256
    of the stored bytes, in hexadecimal) run parallel to ``jobs``. ``rest`` is what was kept of the excluded tensors.
    ``texts`` are the small files that were written.
    """
    ledger = plan.ledger
    head = {**summary(plan), "crc32c_checked": verified}
    for listed, left in (("slots", "slot"), ("averages", "average")):
        head[listed] = [name for name, state in ledger.sources.items() if state == left]
    head["filled"] = {name: f"{entry.value:g}: {entry.meaning}" for name, entry in ledger.filled.items()}
    for state in ("bookkeeping", "ignored", "excluded", "copy"):
        head[state] = {name: ledger.reasons[name] for name, own in ledger.sources.items() if own == state}
    left_out = [name for name, state in ledger.sources.items() if state in ("ignored", "excluded")]
    head["shapes"] = {name: plan.checkpoint.tensors[name].shape for name in left_out}
    if rest is not None:
        head["unconverted"] = rest
    tokenizer = {name: text for name, text in texts.items() if name in TOKENIZER_NAMES}
    head["tokenizer_files"] = {name: hashlib.sha256(text).hexdigest() for name, text in tokenizer.items()}
    head["tied"] = ledger.tied
    rows = [row for row, _, targets in ledger.assignments for _ in targets]
    lines = []
    encoded: dict[tuple[int, str, str, str], str] = {}  # facts that many tensors share are encoded once
    written = zip(jobs[: len(rows)], rows, files[: len(rows)], strict=True)  # those after them are filled
    for number, (job, row, file) in enumerate(written):
        stored = job.sources[0].dtype
        key = id(row), file, job.dtype, stored
        common = encoded.get(key)
        if common is None:
            facts = {"file": file, "dtype": job.dtype, "shape": job.shape, "source_dtype": stored}
            common = encoded[key] = json.dumps({**facts, "row": str(row.where), "layout": row.layout.text})[1:]
        sources = ", ".join([quoted(info.name) for info in job.sources])
        sha256 = f'"sha256": "{digests[number]}", ' if digests is not None else ""
        lines.append(f'{{"name": {quoted(job.name)}, "source": [{sources}], {sha256}{common}')
    text = json.dumps(head, indent=2)
    return (text[:-2] + ',\n  "tensors": [\n    ' + ",\n    ".join(lines) + "\n  ]\n}\n").encode()

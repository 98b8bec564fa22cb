"""A Hugging Face folder: the files that a conversion writes beside the tensors, and the files that are our own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bridgeckpt.errors import OutputError
from bridgeckpt.sidecar.tokenizer.files import OTHER_NAMES, TOKENIZER_NAMES, read_companion
from bridgeckpt.sidecar.tokenizer.kinds import KINDS
from bridgeckpt.store.folder import OwnFiles
from bridgeckpt.store.tensors import DTYPES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bridgeckpt.copying.job import Job
    from bridgeckpt.planning.record import Plan

CONFIG, REPORT = "config.json", "conversion_report.json"

# Files that a conversion writes, or that transformers adds when it saves the model again.
OWN_FILES = OwnFiles(
    patterns=(
        REPORT,
        "*.safetensors",
        "*.safetensors.index.json",
        f"*{CONFIG}",
        "*_map.json",
        *TOKENIZER_NAMES,
        *OTHER_NAMES,
    ),
    last=(CONFIG, REPORT),
)


def load_command(plan: Plan, folder: Path) -> str:
    """The Python expression that loads the converted ``folder`` with no parameter missing."""
    path = json.dumps(str(folder), ensure_ascii=False)
    return f"transformers.{plan.architecture.name}.from_pretrained({', '.join([path, *load_arguments(plan)])})"


def load_arguments(plan: Plan) -> list[str]:
    """The arguments with which the class is complete without the groups that the checkpoint lacks."""
    architecture = plan.architecture
    written = {assignment.row.group for assignment in plan.ledger.assignments}
    return [text for group, text in architecture.load_without.items() if group not in (*written, *architecture.groups)]


def small_files(plan: Plan, jobs: Sequence[Job]) -> dict[str, bytes]:
    """The content of the config and of the tokenizer's files, by name.

    Raises:
        ConfigError: a file that is to be copied cannot be read.
        OutputError: the plan has problems.
    """
    if plan.configuration is None:
        raise OutputError("a plan with problems cannot be carried out")
    files: dict[str, bytes] = {}
    values = dict(plan.configuration.values)
    values["dtype"] = _dtype(jobs)
    tokenizer = plan.tokenizer
    if tokenizer is not None and plan.vocabulary is not None and plan.casing is not None:
        longest = plan.sizes.of_axis(plan.model.roles.positions)
        files |= KINDS[tokenizer.kind].tokenizer_files(tokenizer, plan.vocabulary, plan.casing, longest)
    files |= {path.name: read_companion(path) for path in plan.companions}
    files[CONFIG] = (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()
    return files


def _dtype(jobs: Sequence[Job]) -> str:
    """The dtype that ``from_pretrained`` computes in: it rounds every tensor to it, so it holds all values of each."""
    dtypes = {job.dtype for job in jobs}
    floating = {name for name in dtypes if DTYPES[name].floating}
    if len(floating) > 1:
        return "float64" if "float64" in floating else "float32"
    return min(floating or dtypes)

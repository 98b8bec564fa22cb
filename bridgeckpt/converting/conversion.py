"""Converting: a plan carried out tensor by tensor. The Hugging Face folder appears complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, Unpack, cast

from bridgeckpt.converting.huggingface_folder import OWN_FILES, REPORT, small_files
from bridgeckpt.converting.odd_values import warnings_of
from bridgeckpt.converting.report import report
from bridgeckpt.converting.rest import Rest, rest_of
from bridgeckpt.copying.duplicates import check_copies
from bridgeckpt.copying.odd_values import OddValues
from bridgeckpt.copying.workers import Placed, finish, open_output, run
from bridgeckpt.errors import OutputError
from bridgeckpt.formats.checkpoint import Checkpoint  # noqa: TC001 - what `convert` takes is checked by its hints
from bridgeckpt.formats.huggingface.safetensors_files import INDEX_NAME, index_json, plan_files
from bridgeckpt.options import Constraint, ConvertOptions, Dtype, PlanOptions, checked
from bridgeckpt.planning.plan import plan
from bridgeckpt.store.folder import check_destination
from bridgeckpt.store.sizes import is_size, parse_size
from bridgeckpt.store.source import store_at
from bridgeckpt.store.writing import write_small

if TYPE_CHECKING:
    from bridgeckpt.copying.job import Job
    from bridgeckpt.formats.huggingface.safetensors_files import SafetensorsFile
    from bridgeckpt.planning.record import Plan
    from bridgeckpt.store.checksums import Checksums


_SIZE = Constraint("a size above zero, as in 500MB or 5GB", is_size)


class Conversion(NamedTuple):
    """A finished conversion: its plan, the folder, the names of its files, and the number of bytes of its tensors.

    The plan also has the warnings about the values that were copied.
    """

    plan: Plan
    path: Path
    files: tuple[str, ...]
    nbytes: int


@checked(ConvertOptions)
def convert(
    source: str | os.PathLike[str] | Checkpoint,
    destination: str | os.PathLike[str],
    *,
    dtype: Dtype = None,
    max_shard_size: Annotated[int | str, _SIZE] = "5GB",
    force: bool = False,
    verify: bool = True,
    checksums: bool = False,
    **options: Unpack[ConvertOptions],
) -> Conversion:
    """Convert a TensorFlow checkpoint into a folder that ``transformers.AutoModel.from_pretrained`` loads.

    Args:
        source: path of a checkpoint (its folder, prefix or one of its files), or an open checkpoint.
        destination: the folder to create; missing parents are created too.
        dtype: "float32", "float16" or "bfloat16" for floating-point parameters; None keeps the stored dtypes.
        max_shard_size: begin a new file above this size, in bytes or as text such as "5GB".
        force: replace ``destination`` if it is a converted model. If the conversion fails, the old folder stays.
        verify: check the CRC-32C of every tensor while it is read.
        checksums: write the SHA-256 of every parameter into the report.
        options: see :class:`bridgeckpt.ConvertOptions`.

    Returns:
        What was written: the plan, the folder, its files and the number of bytes.

    Raises:
        CheckpointError: the source cannot be read or is damaged.
        ConfigError: the config or the vocabulary is malformed or belongs to another model.
        TableError: the mapping table is malformed.
        PlanError: the conversion is refused; ``problems`` holds every reason.
        PrecisionError: a value does not fit ``dtype``.
        OutputError: ``destination`` exists already (see ``force``) or cannot be written.
        OptionError: an argument is not a valid value.
    """
    folder = Path(destination)
    keep_rest = options.pop("keep_rest", False)
    planned = prepare(source, folder, force=force, **cast("PlanOptions", options))
    log_warnings(planned.warnings)
    done = carry_out(
        planned,
        folder,
        dtype=dtype,
        max_shard_size=parse_size(max_shard_size),
        verify=verify,
        checksums=checksums,
        force=force,
        keep_rest=keep_rest,
    )
    log_warnings(done.plan.warnings[len(planned.warnings) :])
    return done


def log_warnings(warnings: Sequence[str]) -> None:
    """Log warnings, for callers that only take the result. Python prints them unless told otherwise."""
    for warning in warnings:
        import logging  # only if there is one: most programs that only read a checkpoint do not need it

        logging.getLogger("bridgeckpt").warning("%s", warning)


def prepare(
    source: str | os.PathLike[str] | Checkpoint,
    destination: Path | None = None,
    *,
    force: bool = False,
    **options: Unpack[PlanOptions],
) -> Plan:
    """Make the plan, and check the source's files and the destination (if any), before anything is written.

    Raises:
        BridgeckptError: as :func:`convert`.
    """
    if destination is not None:
        check_destination(destination, OWN_FILES, force=force)
    planned = plan(source, **options)
    planned.checkpoint.check_files()
    if destination is not None and planned.checkpoint.path.resolve().is_relative_to(destination.resolve()):
        raise OutputError(f"{destination} holds the source {planned.checkpoint.path}", hint="give another path")
    check_copies(planned.checkpoint, planned.copies)
    return planned


def carry_out(
    planned: Plan,
    destination: Path,
    *,
    dtype: str | None,
    max_shard_size: int,
    verify: bool,
    checksums: bool,
    force: bool = False,
    keep_rest: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Write what :func:`prepare` returned; ``keep_rest``: also a file of what was excluded.

    ``progress`` is called from worker threads with the number of bytes written since its last call, and the number of
    all bytes to write.
    """
    jobs, odd = planned.jobs(dtype), OddValues()
    rest = rest_of(planned) if keep_rest else Rest()
    everything = [*jobs, *rest.jobs]
    total = sum(job.nbytes for job in everything) if progress is not None else 0
    advance = None if progress is None else lambda nbytes: progress(nbytes, total)
    model_files = plan_files([(job.name, job.dtype, job.shape) for job in jobs], max_shard_size, {"format": "pt"})
    files = [*model_files, *rest.files]
    with store_at(destination).staged(destination, OWN_FILES, force=force) as folder:
        placed = [*_place(jobs, model_files, 0), *_place(rest.jobs, rest.files, len(model_files))]
        computed = planned.checkpoint.checksums
        digests = _write_tensors(
            folder, files, placed, computed, odd, verify=verify, checksums=checksums, progress=advance
        )
        planned = with_odd_values(planned, jobs, odd)
        texts = small_files(planned, jobs)
        if len(model_files) > 1:
            texts[INDEX_NAME] = index_json(model_files)
        kept = rest.record() if keep_rest else None
        names_of_files = [files[place.file].name for place in placed[: len(jobs)]]
        own_digests = digests[: len(jobs)] if digests is not None else None
        texts[REPORT] = report(planned, jobs, names_of_files, own_digests, verified=verify, rest=kept, texts=texts)
        for name, content in texts.items():
            write_small(folder / name, content)
    names = (*(file.name for file in files), *texts)
    return Conversion(planned, destination, names, sum(file.size - len(file.header) for file in model_files))


def with_odd_values(planned: Plan, jobs: Sequence[Job], odd: OddValues) -> Plan:
    """The plan with warnings about the values that ``odd`` counted in the tensors of ``jobs``."""
    dtypes = {job.name: job.dtype for job in jobs}
    counts = {name: count for name, count in odd.counts.items() if name in dtypes}
    return planned._replace(warnings=(*planned.warnings, *warnings_of(counts, dtypes)))


def _place(jobs: Sequence[Job], files: Sequence[SafetensorsFile], first: int) -> list[Placed]:
    """Where each job's bytes go; ``first`` is the number of the first of ``files``."""
    places = {
        name: (number, offset) for number, file in enumerate(files, first) for name, offset in file.offsets.items()
    }
    return [Placed(job, *places[job.name]) for job in jobs]


def _write_tensors(
    folder: Path,
    files: list[SafetensorsFile],
    placed: list[Placed],
    computed: Checksums,
    odd: OddValues,
    *,
    verify: bool,
    checksums: bool,
    progress: Callable[[int], None] | None,
) -> list[str] | None:
    outputs: list[int] = []
    try:
        for file in files:
            outputs.append(open_output(folder / file.name, file.size))
            os.write(outputs[-1], file.header)
        digests = run(placed, outputs, verify=verify, checksums=checksums, found=computed, odd=odd, progress=progress)
        for output in outputs:
            finish(output)
    finally:
        for output in outputs:
            os.close(output)
    return digests

"""What a conversion leaves out, kept in a file of its own under TensorFlow's names, so that nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.copying.job import whole
from bridgeckpt.formats.huggingface.safetensors_files import can_hold, plan_file

if TYPE_CHECKING:
    from bridgeckpt.copying.job import Job
    from bridgeckpt.formats.huggingface.safetensors_files import SafetensorsFile
    from bridgeckpt.planning.record import Plan

REST = "unconverted.safetensors"


class Rest(NamedTuple):
    """The tensors that are kept, as jobs, and those whose dtype the file cannot hold, by name."""

    jobs: tuple[Job, ...] = ()
    unfit: tuple[tuple[str, str], ...] = ()

    @property
    def files(self) -> list[SafetensorsFile]:
        """The file with the tensors, if there are any."""
        tensors = [(job.name, job.dtype, job.shape) for job in self.jobs]
        return [plan_file(REST, tensors, {"format": "tf"})] if tensors else []

    def notes(self, *, dry_run: bool = False) -> tuple[str, ...]:
        """What to say about it."""
        are = "would be" if dry_run else "are"
        kept = f"{len(self.jobs)} excluded tensors {are} kept in {REST}" if self.jobs else f"nothing for {REST}"
        return kept, *(f"not in {REST}: {name}, of dtype {dtype}" for name, dtype in self.unfit)

    def record(self) -> dict[str, Any]:
        """The same for the report."""
        return {
            "file": REST if self.jobs else None,
            "tensors": {job.name: {"dtype": job.dtype, "shape": job.shape} for job in self.jobs},
            "unfit": dict(self.unfit),
        }


def rest_of(plan: Plan) -> Rest:
    """Every tensor of the source that the chosen class lacks, as it is stored.

    Vectors among the bookkeeping are, too: beside a head, they may be the names of its labels.
    """
    tensors, states = plan.checkpoint.tensors, plan.ledger.sources.items()
    rest = [name for name, state in states if state == "excluded" or (state == "bookkeeping" and tensors[name].shape)]
    infos = [(name, tensors[name]) for name in rest]
    return Rest(
        tuple(whole(info)._replace(name=name) for name, info in infos if can_hold(info.dtype)),
        tuple((name, info.dtype) for name, info in infos if not can_hold(info.dtype)),
    )

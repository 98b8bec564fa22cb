"""The records of a search: what a checkpoint has for each variable, whether by its own names or through a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.store.tensors import DTYPES

if TYPE_CHECKING:
    import numpy as np

    from bridgeckpt.copying.job import Job
    from bridgeckpt.formats.checkpoint import Checkpoint

    Array = np.ndarray[Any, np.dtype[Any]]


class Wanted(NamedTuple):
    """What a variable of the program holds: its whole ``shape`` (None if TensorFlow does not know it) and its dtype."""

    shape: tuple[int, ...] | None
    dtype: str


class StoredValue(NamedTuple):
    """The value for a variable: the stored tensors that it is made of, and ``make``, which reads it in a given dtype.

    ``checkpoint`` is kept alive because its temporary files are deleted with it.
    """

    checkpoint: Checkpoint
    sources: tuple[str, ...]
    make: Callable[[str], Array]

    def read(self, dtype: str) -> Array:
        """The whole value in ``dtype`` and in the variable's shape.

        Raises:
            CheckpointError: a tensor is damaged, truncated or missing.
            PrecisionError: a value does not fit ``dtype``.
        """
        return self.make(dtype)


class Misfit(NamedTuple):
    """A stored tensor whose ``shape`` is not the shape ``needed`` for the variable."""

    source: str
    shape: tuple[int, ...]
    needed: tuple[int, ...]


class Answer(NamedTuple):
    """What a checkpoint has for each name that was asked for.

    Attributes:
        how: How the checkpoint's names were understood, as text.
        values: The values, by the names asked for.
        misfits: The tensors of another shape, by the names asked for.
        reasons: Why a variable has no value, by the names asked for, if the reason is known.
        available: All names that could have been asked for.
        used: The tensors that were paired with a variable, by their stored or PyTorch names.
        unused: The other tensors, without optimizer state.
        slots: The number of unused tensors of optimizer state.
        notes: Remarks for the report.
        translated: Whether the names were translated by tables.
        as_stored: Whether each name asked for is the stored name of one tensor, so that TensorFlow finds it too.
    """

    how: str
    values: Mapping[str, StoredValue]
    misfits: Mapping[str, Misfit]
    reasons: Mapping[str, str]
    available: tuple[str, ...]
    used: frozenset[str]
    unused: tuple[str, ...]
    slots: int = 0
    notes: tuple[str, ...] = ()
    translated: bool = False
    as_stored: bool = False

    @property
    def known(self) -> int:
        """The number of variables that it has a tensor for, misfits included."""
        return len(self.values) + len(self.misfits)

    def lacking(self, wanted: Iterable[str]) -> list[str]:
        """The names in ``wanted`` that it has no tensor for."""
        return [name for name in wanted if name not in self.values and name not in self.misfits]


def merge(answer: Answer, other: Answer) -> Answer:
    """Both answers as one; ``answer`` wins for a name that both have."""
    values = {**other.values, **answer.values}
    misfits = {**other.misfits, **answer.misfits}
    return answer._replace(
        values=values,
        misfits={name: misfit for name, misfit in misfits.items() if name not in values},
        reasons={**other.reasons, **answer.reasons},
        available=tuple(dict.fromkeys((*answer.available, *other.available))),
        used=answer.used | other.used,
        unused=tuple(name for name in answer.unused if name not in other.used),
    )


def dtype_conflict(job: Job, dtype: str) -> str | None:
    """Why a tensor cannot become a value of ``dtype``; None if it can."""
    if job.dtype == dtype:
        return None if dtype in DTYPES and DTYPES[dtype].itemsize else f"it is of dtype {dtype}"
    if all(name in DTYPES and DTYPES[name].floating for name in (job.dtype, dtype)):
        return None
    return f"it is {job.dtype} in the checkpoint and {dtype} in the program: only floating dtypes are converted"

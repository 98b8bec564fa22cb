"""Answers: what a checkpoint has for the variables that are asked of it, whichever way its names were understood."""

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
    """What a variable of the program holds: its whole ``shape`` (None where TensorFlow does not know it) and dtype."""

    shape: tuple[int, ...] | None
    dtype: str


class Found(NamedTuple):
    """The value for a variable: the stored names that it is made of, and ``make``, which makes it in a given dtype.

    ``checkpoint`` is held because what it keeps in temporary files is gone when nobody holds it.
    """

    checkpoint: Checkpoint
    sources: tuple[str, ...]
    make: Callable[[str], Array]

    def read(self, dtype: str) -> Array:
        """The whole value, of ``dtype``, with the variable's shape.

        Raises:
            CheckpointError: a tensor is damaged, cut short or missing.
            PrecisionError: a value does not fit ``dtype``.
        """
        return self.make(dtype)


class Misfit(NamedTuple):
    """A tensor that is there, of ``shape``, where the variable needs it to be of shape ``needed``."""

    source: str
    shape: tuple[int, ...]
    needed: tuple[int, ...]


class Answer(NamedTuple):
    """What a checkpoint has, by the names it was asked for.

    ``how`` says how its names were understood, ``reasons`` why a variable has nothing where that is known.
    ``available`` are all names that could have been asked for. ``used`` are tensors, by their stored or their PyTorch
    names, that something is made of, ``unused`` the others; of the latter ``slots`` more are optimizer state.
    ``as_stored`` says that each name asked for is that of one stored tensor, so that TensorFlow can find it too.
    """

    how: str
    found: Mapping[str, Found]
    misfits: Mapping[str, Misfit]
    reasons: Mapping[str, str]
    available: tuple[str, ...]
    used: frozenset[str]
    unused: tuple[str, ...]
    slots: int = 0
    notes: tuple[str, ...] = ()
    as_stored: bool = False

    @property
    def known(self) -> int:
        """How many of the variables asked for it knows, those that do not fit included."""
        return len(self.found) + len(self.misfits)

    def lacking(self, wanted: Iterable[str]) -> list[str]:
        """Which of the variables asked for it does not know."""
        return [name for name in wanted if name not in self.found and name not in self.misfits]


def joined(answer: Answer, other: Answer) -> Answer:
    """What either reading found, the first one's where both did."""
    found = {**other.found, **answer.found}
    return answer._replace(
        found=found,
        misfits={name: one for name, one in {**other.misfits, **answer.misfits}.items() if name not in found},
        reasons={**other.reasons, **answer.reasons},
        available=tuple(dict.fromkeys((*answer.available, *other.available))),
        used=answer.used | other.used,
        unused=tuple(name for name in answer.unused if name not in other.used),
    )


def unreadable(job: Job, dtype: str) -> str | None:
    """Why a tensor cannot become a value of ``dtype``; None if it can."""
    if job.dtype == dtype:
        return None if dtype in DTYPES and DTYPES[dtype].itemsize else f"it is of dtype {dtype}"
    both = (job.dtype, dtype)
    if all(name in DTYPES and DTYPES[name].floating for name in both):
        return None
    return f"it is {job.dtype} there and {dtype} here, which are not converted into one another"

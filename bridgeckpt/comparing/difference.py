"""Comparing two checkpoints tensor by tensor: what is identical, what differs and where, what one side lacks."""

from __future__ import annotations

import os
from math import isnan
from typing import TYPE_CHECKING, Literal, NamedTuple, Unpack

from bridgeckpt.aligning.pairs import pair_tensors
from bridgeckpt.aligning.sides import PYTORCH, AlignedSide, open_sides
from bridgeckpt.errors import ParityError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.checkpoint import Checkpoint
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.options import DiffOptions, checked
from bridgeckpt.sentences import Sentence
from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridgeckpt.aligning.pairs import Pair
    from bridgeckpt.comparing.elements import Gap
    from bridgeckpt.copying.job import Job


class Stored(NamedTuple):
    """A tensor as one side has it: the names and dtype under which it is stored, and its PyTorch shape."""

    names: tuple[str, ...]
    dtype: str
    shape: tuple[int, ...]


class Compared(NamedTuple):
    """A tensor that both sides have: its name (PyTorch's, if either side has one), and how the sides differ.

    ``differing`` is the number of elements that differ. ``largest`` is the largest absolute difference, ``where`` its
    index, and ``values`` are the two elements there. ``largest`` is NaN if only one side has a NaN there; ``nans``
    counts such elements. ``scale`` is the largest finite absolute value of either side. ``rounded``: one side is the
    other, rounded to a narrower dtype. ``tied`` is a note if a side keeps the parameter under another of its names.
    """

    name: str
    a: Stored
    b: Stored
    tied: str | None = None
    differing: int = 0
    largest: float = 0.0
    where: tuple[int, ...] = ()
    values: tuple[float, float] = (0.0, 0.0)
    scale: float = 0.0
    nans: int = 0
    rounded: bool = False

    @property
    def relative(self) -> float:
        """``largest`` as a share of ``scale``."""
        return self.largest / self.scale if self.scale else self.largest


class Uncompared(NamedTuple):
    """A stored tensor of side "a" or "b" that was not compared, and why."""

    side: Literal["a", "b"]
    name: str
    reason: str


class Difference(NamedTuple):
    """The result of :func:`diff`.

    ``a`` and ``b`` are the checkpoints, and ``naming`` says by which kind of names each was matched. ``differing`` is
    sorted, the worst first. ``shapes`` are pairs of different shapes. ``missing`` are only in A, ``extra`` only in B.
    ``unmapped`` are tensors with no known counterpart on the other side. ``uncompared`` are not weights of the
    model, or not part of the class that is compared.
    """

    a: Checkpoint
    b: Checkpoint
    naming: tuple[str, str]
    identical: tuple[Compared, ...]
    differing: tuple[Compared, ...]
    shapes: tuple[Compared, ...]
    missing: Mapping[str, Stored]
    extra: Mapping[str, Stored]
    unmapped: tuple[Uncompared, ...]
    uncompared: tuple[Uncompared, ...]
    notes: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether all weights of both sides are equal, element by element, and at least one was compared."""
        others = (self.differing, self.shapes, self.missing, self.extra, self.unmapped)
        return bool(self.identical) and not any(others)


@checked(DiffOptions)
def diff(
    a: str | os.PathLike[str] | Checkpoint,
    b: str | os.PathLike[str] | Checkpoint,
    *,
    verify: bool = True,
    **options: Unpack[DiffOptions],
) -> Difference:
    """Compare two checkpoints of TensorFlow or Hugging Face, in any order.

    Two TensorFlow checkpoints whose names mean the same are compared by those names, also the optimizer state that both
    have, unless ``mapping``, ``architecture``, ``scope`` or ``ema`` is given. All others are compared by
    PyTorch's names.

    Args:
        a: path of a checkpoint (its folder, prefix or one of its files), or an open checkpoint.
        b: the other one.
        verify: check the CRC-32C of every tensor that is read, if the format stores one.
        options: how to read the TensorFlow side; see :class:`bridgeckpt.DiffOptions`.

    Returns:
        The tensors that are equal, that differ, and that could not be compared.

    Raises:
        CheckpointError: a checkpoint cannot be read or is damaged.
        PlanError: no table reads the TensorFlow side, or it holds several models.
        ConfigError: the config beside the TensorFlow side is malformed or belongs to another model.
        TableError: the mapping table is malformed.
        ParityError: the two have no tensor in common, so nothing can be compared.
        OptionError: an argument is not a valid value.
    """
    first, second = (side if isinstance(side, Checkpoint) else open_checkpoint(side) for side in (a, b))
    side_a, side_b, model = open_sides(first, second, options)
    paired = pair_tensors(side_a, side_b, model)
    if not paired.pairs:
        raise _nothing_in_common(side_a, side_b)
    for checkpoint in (first, second):
        checkpoint.check_files()
    alike = [pair for pair in paired.pairs if pair.a.shape == pair.b.shape]
    from bridgeckpt.comparing.elements import compare  # imports numpy

    results = [_compared(pair, gap) for pair, gap in zip(alike, compare(alike, verify=verify), strict=True)]
    differing = sorted((result for result in results if result.differing), key=_rank)
    return Difference(
        a=first,
        b=second,
        naming=(side_a.naming, side_b.naming),
        identical=tuple(result for result in results if not result.differing),
        differing=tuple(differing),
        shapes=tuple(_compared(pair) for pair in paired.pairs if pair.a.shape != pair.b.shape),
        missing=FrozenDict({name: _stored(side_a.jobs[name]) for name in paired.missing}),
        extra=FrozenDict({name: _stored(side_b.jobs[name]) for name in paired.extra}),
        unmapped=(*_reasons("a", side_a.unmapped), *_reasons("b", side_b.unmapped)),
        uncompared=(*_reasons("a", side_a.left_out), *_reasons("b", side_b.left_out)),
        notes=tuple(_notes(side_a, side_b, [key for key, value in options.items() if value])),
    )


def _notes(a: AlignedSide, b: AlignedSide, given: list[str]) -> Iterator[str]:
    for label, side in (("A", a), ("B", b)):
        yield from (Sentence("{label}: {note}", label=label, note=note) for note in side.notes)
    if given and all(side.naming == PYTORCH for side in (a, b)):
        yield f"neither side is a TensorFlow checkpoint, which is what {' and '.join(given)} would say how to read"


def _reasons(side: Literal["a", "b"], reasons: dict[str, str]) -> Iterator[Uncompared]:
    return (Uncompared(side, name, reason) for name, reason in reasons.items())


def _rank(tensor: Compared) -> tuple[bool, float, float]:
    """A key that sorts the worst first: NaNs, then the largest difference relative to the tensor's own values."""
    return not tensor.nans, -(0.0 if isnan(tensor.relative) else tensor.relative), -float(tensor.differing)


def _nothing_in_common(a: AlignedSide, b: AlignedSide) -> ParityError:
    def first_names(side: AlignedSide) -> str:
        names = [*side.jobs, *side.unmapped, *side.left_out]
        return f"  {side.checkpoint.path} ({side.naming}) has {listed(names, 2) or 'no tensor'}"

    return ParityError(
        "\n".join(["the two checkpoints have no tensor in common:", first_names(a), first_names(b)]),
        hint=Sentence(
            "are they of one model? {run:inspect} says what each is; for names that no shipped table knows, "
            "give a mapping table ({mapping:FILE})"
        ),
    )


def _stored(job: Job) -> Stored:
    return Stored(tuple(info.name for info in job.sources), job.dtype, job.shape)


def _compared(pair: Pair, gap: Gap | None = None) -> Compared:
    compared = Compared(name=pair.name, a=_stored(pair.a), b=_stored(pair.b), tied=pair.tied)
    return compared._replace(**gap._asdict()) if gap is not None else compared

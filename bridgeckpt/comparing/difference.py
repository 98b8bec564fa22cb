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

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridgeckpt.aligning.pairs import Pair
    from bridgeckpt.comparing.elements import Gap
    from bridgeckpt.copying.job import Job


class Stored(NamedTuple):
    """What a side has of a tensor: the names it is stored by, its dtype there, and its PyTorch shape."""

    names: tuple[str, ...]
    dtype: str
    shape: tuple[int, ...]


class Compared(NamedTuple):
    """A tensor that both sides have: its name (PyTorch's, where either side has one), and how the sides differ.

    ``differing`` elements are not the same, and are ``largest`` apart ``where``, where the sides hold ``values``:
    NaN if only one side has a NaN there, of which there are ``nans``. ``scale`` is the largest finite absolute value of
    either side. ``rounded``: one side is the other one, rounded to its own dtype. ``tied`` says by which other name of
    the same parameter a side keeps it.
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
    """A stored tensor that was not compared, of side "a" or "b", and why."""

    side: Literal["a", "b"]
    name: str
    reason: str


class Difference(NamedTuple):
    """What :func:`diff` found.

    ``a`` and ``b`` are the checkpoints, ``naming`` says whose names each was matched by. ``differing`` is sorted, the
    worst first; ``shapes`` are of different shapes. ``missing`` are in A only and ``extra`` in B only, by name.
    ``unmapped`` are tensors of which nobody knows what they would be on the other side; ``uncompared`` are known to be
    none of the model's weights, or of the class that is compared.
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
        """Whether every weight of either side is the other's, element by element, and at least one was compared."""
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
    """Compare two checkpoints, of TensorFlow or Hugging Face, in any order.

    Two TensorFlow checkpoints whose names mean the same are compared by those names, optimizer state included, unless
    ``mapping``, ``architecture``, ``scope`` or ``ema`` is given; all others under the names of PyTorch.

    Args:
        a: any path of a checkpoint (folder, prefix, one of its files), or one that is open.
        b: the other one.
        verify: check the CRC-32C of every tensor that is read, where the format keeps one.
        options: how to read TensorFlow's side; see :class:`bridgeckpt.DiffOptions`.

    Raises:
        CheckpointError: one cannot be read or is damaged.
        PlanError: no table reads TensorFlow's side, or it holds several models.
        ConfigError: the config beside TensorFlow's side is malformed or of another model.
        TableError: the mapping table is malformed.
        ParityError: the two have no tensor in common, so that nothing could be compared.
        OptionError: an argument is not a valid value.
    """
    first, second = (side if isinstance(side, Checkpoint) else open_checkpoint(side) for side in (a, b))
    side_a, side_b, model = open_sides(first, second, options)
    matched = pair_tensors(side_a, side_b, model)
    if not matched.pairs:
        raise _nothing(side_a, side_b)
    for checkpoint in (first, second):
        checkpoint.check_files()
    alike = [pair for pair in matched.pairs if pair.a.shape == pair.b.shape]
    from bridgeckpt.comparing.elements import compare  # imports numpy

    results = [_pair(pair, gap) for pair, gap in zip(alike, compare(alike, verify=verify), strict=True)]
    worst = sorted((one for one in results if one.differing), key=_rank)
    return Difference(
        a=first,
        b=second,
        naming=(side_a.naming, side_b.naming),
        identical=tuple(one for one in results if not one.differing),
        differing=tuple(worst),
        shapes=tuple(_pair(pair) for pair in matched.pairs if pair.a.shape != pair.b.shape),
        missing=FrozenDict({name: _stored(side_a.jobs[name]) for name in matched.missing}),
        extra=FrozenDict({name: _stored(side_b.jobs[name]) for name in matched.extra}),
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


def _rank(one: Compared) -> tuple[bool, float, float]:
    """Sorts the worst first: a NaN, then what is largest beside the tensor's own values."""
    return not one.nans, -(0.0 if isnan(one.relative) else one.relative), -float(one.differing)


def _nothing(a: AlignedSide, b: AlignedSide) -> ParityError:
    def some(side: AlignedSide) -> str:
        names = [*side.jobs, *side.unmapped, *side.left_out]
        return f"  {side.checkpoint.path} ({side.naming}) has {', '.join(names[:2]) or 'no tensor'}" + (
            f" and {len(names) - 2} more" if len(names) > 2 else ""
        )

    return ParityError(
        "\n".join(["the two checkpoints have no tensor in common:", some(a), some(b)]),
        hint=Sentence(
            "are they of one model? `bridgeckpt inspect` says what each is; a mapping table reads names that no "
            "shipped one knows ({mapping:FILE})"
        ),
    )


def _stored(job: Job) -> Stored:
    return Stored(tuple(info.name for info in job.sources), job.dtype, job.shape)


def _pair(pair: Pair, gap: Gap | None = None) -> Compared:
    compared = Compared(pair.name, _stored(pair.a), _stored(pair.b), pair.tied)
    return compared._replace(**gap._asdict()) if gap is not None else compared

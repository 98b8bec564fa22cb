"""Small tensors: many are read and made at a time, because system calls for each would cost more than its bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from bridgeckpt.copying.job import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.copying.job import Job
    from bridgeckpt.copying.odd_values import OddValues
    from bridgeckpt.store.checked_files import Sources
    from bridgeckpt.store.tensors import TensorInfo

    Item = tuple[int, int, TensorInfo]  # offset, id, record

SMALL = 64 << 10  # the most bytes of a small tensor
BATCH = 1 << 20  # the most bytes of small tensors in memory at a time
_GAP = 64 << 10  # bytes between two tensors: reading them is cheaper than a second call


def is_small(job: Job, nbytes: int) -> bool:
    """Whether :func:`make_small` can make a job of ``nbytes``."""
    if nbytes > SMALL:
        return False
    for move in job.moves:
        extents = job.sources[move.source].extents
        if len(extents) != 1 or extents[0].nbytes > SMALL:
            return False
    return True


def make_small(jobs: Sequence[tuple[Job, Kind]], sources: Sources, odd: OddValues | None = None) -> list[bytes]:
    """The target's bytes of each job, for jobs that :func:`is_small` accepts. ``odd`` counts their odd values.

    Raises:
        CheckpointError: A tensor is damaged, or a file is missing or too short.
        PrecisionError: A value does not fit the target's dtype.
    """
    stored = _read((job.sources[move.source] for job, _ in jobs for move in job.moves), sources)
    made = [_make(job, kind, stored, odd) for job, kind in jobs]
    if odd is not None:
        odd.judge_batch((job.name, job.dtype, data) for (job, _), data in zip(jobs, made, strict=True))
    return made


def _make(job: Job, kind: Kind, stored: dict[int, bytes], odd: OddValues | None) -> bytes:
    if kind is Kind.PLAIN:
        return stored[id(job.sources[job.moves[0].source])]
    from bridgeckpt.copying.engine import rearrange, turn

    if kind is Kind.TURNED:
        return turn(job, stored[id(job.sources[job.moves[0].source])])
    return rearrange(job, [stored[id(source)] for source in job.used.values()], odd)


def _read(infos: Iterable[TensorInfo], sources: Sources) -> dict[int, bytes]:
    """The stored bytes of tensors, checked, by ``id`` of their record."""
    files: dict[Path, list[Item]] = {}
    path, file = None, []
    for info in infos:
        extent = info.extents[0]
        if extent.path is not path:  # neighbours share the object, and hashing a path is slow
            path = extent.path
            file = files.setdefault(path, [])
        file.append((extent.offset, id(info), info))
    stored: dict[int, bytes] = {}
    for path, file in files.items():
        file.sort()
        for begin, end, items in _windows(file):
            window = sources.read(path, begin, end - begin, items[-1][2].name)
            for offset, key, info in items:
                extent = info.extents[0]
                data = stored[key] = window[offset - begin : offset - begin + extent.nbytes]
                sources.check(info, data)
    return stored


def _windows(file: list[Item]) -> Iterator[tuple[int, int, list[Item]]]:
    """Neighbouring tensors, by ascending offset, that are read in one call: where it begins and ends, and its items."""
    items: list[Item] = []
    begin = end = 0
    for item in file:
        offset, stop = item[0], item[0] + item[2].extents[0].nbytes
        if items and (offset > end + _GAP or stop > begin + BATCH):
            yield begin, end, items
            items = []
        if not items:
            begin = end = offset
        items.append(item)
        end = max(end, stop)
    if items:
        yield begin, end, items

"""Carrying out jobs: two threads that copy whole tensors into the output files, the largest first.

:func:`run` is all that a conversion knows of the copying engine, so that a compiled one can take its place: it is given jobs, each
with an output file and an offset, and files that have their size, and returns when every byte is in its place.

Threads and not processes: reading, writing, transposing and hashing all release the interpreter lock, so two threads reach
what two processes do, and a library must not fork under a caller that has torch loaded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.copying.job import Job, Kinds
from bridgeckpt.copying.reading import Sources
from bridgeckpt.copying.small import BATCH, is_small, make_small
from bridgeckpt.copying.writing import finish, flush, open_output, write

if TYPE_CHECKING:
    from bridgeckpt.copying.engine import Copier

__all__ = ["Placed", "finish", "open_output", "run"]

_FLUSH = 8 << 20  # bytes


class Placed(NamedTuple):
    """A job and where its bytes go: the number of an output file and the offset in it."""

    job: Job
    file: int
    offset: int


class _Task(NamedTuple):
    """What a worker takes at a time: one tensor, or a batch of small ones. ``plain``: nothing in it needs numpy."""

    nbytes: int
    numbers: tuple[int, ...]
    plain: bool
    small: bool


def run(
    placed: Sequence[Placed],
    outputs: Sequence[int],
    *,
    verify: bool = True,
    checksums: bool = False,
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
) -> list[str] | None:
    """Write every job's tensor to its place.

    Args:
        placed: The jobs, in any order; the order of the output is the fastest for small tensors.
        outputs: Descriptors of the output files, open for writing and of their final size (see :func:`open_output`).
        verify: Compare each source tensor that is read with its CRC-32C, once.
        checksums: Return the SHA-256 of each target's bytes.
        workers: Number of threads.
        progress: Called from the workers with the bytes that were written since its last call.

    Returns:
        The SHA-256 of each target in hexadecimal, in the order of ``placed``, or None without ``checksums``.

    Raises:
        CheckpointError: A source is damaged, cut short or missing.
        PrecisionError: A value does not fit the target's dtype.
        OutputError: The disk is full or fails.
    """
    digests = [""] * len(placed) if checksums else None
    with Sources(verify=verify) as sources:
        _Run(placed, outputs, sources, digests, progress).carry_out(workers)
    return digests


class _Run:
    """The state that the workers share."""

    def __init__(
        self,
        placed: Sequence[Placed],
        outputs: Sequence[int],
        sources: Sources,
        digests: list[str] | None,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._placed = placed
        self._outputs = outputs
        self._sources = sources
        self._digests = digests
        self._progress = progress
        self._kinds = Kinds()
        tasks = sorted(self._tasks(), reverse=True)
        self._plain = deque(task for task in tasks if task.plain)
        self._moved = deque(task for task in tasks if not task.plain)
        self._failures: list[BaseException] = []

    def carry_out(self, workers: int) -> None:
        """Work until everything is done or something fails."""
        from threading import Thread

        # Every other worker begins with the tensors that need no numpy: they fill the time in which it is imported.
        queues = (self._moved, self._plain), (self._plain, self._moved)
        threads = [Thread(target=self._work, args=(queues[number % 2],), daemon=True) for number in range(workers)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException as interrupt:
            self._failures.append(interrupt)  # the workers see it and stop
            for thread in threads:
                thread.join()
            raise
        if self._failures:
            raise self._failures[0]

    def _work(self, queues: Iterable[deque[_Task]]) -> None:
        copier: Copier | None = None
        try:
            for task in _taken(queues):
                if self._failures:
                    return
                if task.small:
                    self._copy_small(task)
                elif task.plain:
                    job = self._placed[task.numbers[0]].job
                    (source,) = job.used.values()
                    self._copy_large(task, self._sources.reader(source, whole=True).pieces())
                else:
                    if copier is None:
                        from bridgeckpt.copying.engine import Copier

                        copier = Copier(self._sources)
                    self._copy_large(task, copier.stream(self._placed[task.numbers[0]].job))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._failures.append(error)

    def _copy_large(self, task: _Task, pieces: Iterable[bytes | memoryview]) -> None:
        (number,) = task.numbers
        job, file, offset = self._placed[number]
        digest = sha256() if self._digests is not None else None
        flushed = offset
        for data in pieces:
            if self._failures:
                return
            if digest is not None:
                digest.update(data)
            write(self._outputs[file], data, offset, job.name)
            offset += len(data)
            if offset - flushed >= _FLUSH:
                flush(self._outputs[file], flushed, offset - flushed)
                flushed = offset
            if self._progress is not None:
                self._progress(len(data))
        flush(self._outputs[file], flushed, offset - flushed)
        if self._digests is not None and digest is not None:
            self._digests[number] = digest.hexdigest()

    def _copy_small(self, task: _Task) -> None:
        placed = [self._placed[number] for number in task.numbers]
        made = make_small([one.job for one in placed], self._kinds, self._sources)
        if self._digests is not None:
            for number, data in zip(task.numbers, made, strict=True):
                self._digests[number] = sha256(data).hexdigest()
        begin, end = 0, placed[0].offset
        for at, (one, data) in enumerate(zip(placed, made, strict=True)):
            if one.offset != end or one.file != placed[begin].file:
                self._write(placed[begin], made[begin:at])
                begin = at
            end = one.offset + len(data)
        self._write(placed[begin], made[begin:])
        if self._progress is not None:
            self._progress(task.nbytes)

    def _write(self, first: Placed, tensors: list[bytes]) -> None:
        """Write tensors that lie side by side."""
        write(self._outputs[first.file], b"".join(tensors), first.offset, first.job.name)

    def _tasks(self) -> Iterator[_Task]:
        """Every large tensor on its own, small ones in batches, in the order of the output."""
        batch: list[int] = []
        plain, nbytes = True, 0
        for number, (job, _, _) in enumerate(self._placed):
            size = job.nbytes
            is_plain = self._kinds.is_plain(job)
            if not is_small(job, size):
                yield _Task(size, (number,), is_plain, small=False)
                continue
            if nbytes + size > BATCH:
                yield _Task(nbytes, tuple(batch), plain, small=True)
                batch, plain, nbytes = [], True, 0
            batch.append(number)
            plain, nbytes = plain and is_plain, nbytes + size
        if batch:
            yield _Task(nbytes, tuple(batch), plain, small=True)


def _taken(queues: Iterable[deque[_Task]]) -> Iterator[_Task]:
    """Take tasks from queues that other threads take from too, until they are empty."""
    for queue in queues:
        try:
            while True:
                yield queue.popleft()
        except IndexError:
            continue

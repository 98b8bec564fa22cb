"""Carrying out jobs: two threads that copy whole tensors into the output files, the largest first.

:func:`run` is the only interface between a conversion and the copying engine, so that a compiled engine can replace
this one. It takes jobs, each with an output file and an offset, and files of their final size. It returns when every
byte is written.

Why threads and not processes: reading, writing, transposing and hashing all release the interpreter lock, so two
threads are at most a tenth slower than two processes. And a library must not fork a program that has loaded torch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.copying.job import Job, Kind, Kinds
from bridgeckpt.copying.small import BATCH, is_small, make_small
from bridgeckpt.store.checked_files import Sources
from bridgeckpt.store.writing import finish, flush, open_output, write

if TYPE_CHECKING:
    import hashlib

    from bridgeckpt.copying.engine import Copier
    from bridgeckpt.copying.odd_values import OddValues
    from bridgeckpt.store.checksums import Checksums

__all__ = ["Placed", "finish", "open_output", "run"]

_FLUSH = 8 << 20  # bytes
_OTHER_STRIP = 2304 << 10  # strip size, in bytes, of all workers but the first: the size of a smaller matrix


class Placed(NamedTuple):
    """A job and the place of its bytes: the number of an output file, and the offset in it."""

    job: Job
    file: int
    offset: int


class _Task(NamedTuple):
    """The work that a worker takes at a time: one tensor, or a batch of small ones. ``plain``: it needs no numpy."""

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
    found: Checksums | None = None,
    odd: OddValues | None = None,
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
) -> list[str] | None:
    """Write every job's tensor to its place.

    Args:
        placed: The jobs in any order. For small tensors, the order of the output is the fastest.
        outputs: Descriptors of the output files, open for writing and of their final size (see :func:`open_output`).
        verify: Check the CRC-32C of each source tensor that is read, once.
        checksums: Return the SHA-256 of each target's bytes.
        found: Receives the CRC-32C of source tensors whose files store none.
        odd: Counts NaN, infinity and what became 0, by target.
        workers: Number of threads.
        progress: Called from the workers with the number of bytes written since its last call.

    Returns:
        The SHA-256 of each target in hexadecimal, in the order of ``placed``, or None without ``checksums``.

    Raises:
        CheckpointError: A source is damaged, cut short or missing.
        PrecisionError: A value does not fit the target's dtype.
        OutputError: The disk is full or fails.
    """
    with Sources(verify=verify, checksums=found) as sources:
        return _Run(placed, outputs, sources, progress, odd, checksums=checksums).carry_out(workers)


class _Run:
    """The state that the workers share."""

    def __init__(
        self,
        placed: Sequence[Placed],
        outputs: Sequence[int],
        sources: Sources,
        progress: Callable[[int], None] | None,
        odd: OddValues | None,
        *,
        checksums: bool,
    ) -> None:
        self._placed = placed
        self._outputs = outputs
        self._sources = sources
        self._progress = progress
        self._odd = odd
        self._digests = [""] * len(placed)
        self._sha256 = _sha256() if checksums else None
        kinds = Kinds()
        self._kinds = [kinds.of(place.job) for place in placed]
        tasks = sorted(self._tasks(), reverse=True)
        self._plain = deque(task for task in tasks if task.plain)
        self._moved = deque(task for task in tasks if not task.plain)
        self._failures: list[BaseException] = []
        self._all_started = Event()
        # For work that always needs the interpreter lock: two threads would compete for it.
        self._one_at_a_time = Lock()

    def carry_out(self, workers: int) -> list[str] | None:
        """Work until everything is done, then return the digests. Stop if something fails."""
        # Events and not Thread.join: before Python 3.12, an interrupted join marks a running thread as ended.
        ended = [Event() for _ in range(workers)]
        threads = [
            Thread(target=self._work, args=(number == 0, ended[number]), daemon=True) for number in range(workers)
        ]
        started = 0
        try:
            for thread in threads:
                thread.start()
                started += 1
            self._all_started.set()
            for event in ended:
                event.wait()
        except BaseException as interrupt:
            self._failures.append(interrupt)  # the workers see it and stop
            self._all_started.set()
            for event in ended[:started]:
                event.wait()
            raise
        finally:
            for thread in threads[:started]:
                thread.join()
        if self._failures:
            raise self._failures[0]
        return self._digests if self._sha256 else None

    def _work(self, first: bool, ended: Event) -> None:
        """Carry out tasks until all are done.

        The first worker begins with the largest tensors that are not plain. The others begin with the plain ones, which
        need no numpy, while the first worker imports it. Then they continue with the smallest. So only the first worker
        needs memory for a whole large tensor; the others may meet one only when little is left to do.
        """
        copier: Copier | None = None
        self._all_started.wait()  # so that no thread works if an interrupt comes between two starts
        try:
            for task in self._taken(first):
                if self._failures:
                    return
                if task.small:
                    self._copy_small(task)
                    continue
                number = task.numbers[0]
                job = self._placed[number].job
                if task.plain:
                    (source,) = job.used.values()
                    self._copy_large(number, self._sources.reader(source, whole=True).pieces())
                    continue
                if copier is None:
                    from bridgeckpt.copying.engine import STRIP, Copier

                    copier = Copier(self._sources, STRIP if first else _OTHER_STRIP, odd=self._odd)
                self._copy_large(number, copier.stream(job))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._failures.append(error)
        finally:
            ended.set()

    def _taken(self, first: bool) -> Iterator[_Task]:
        """The tasks of one worker. Other workers take from the same queues at the same time."""
        smallest, largest = self._moved.pop, self._moved.popleft
        for take in (largest, self._plain.popleft) if first else (self._plain.popleft, smallest):
            try:
                while True:
                    yield take()
            except IndexError:  # the queue is empty
                continue

    def _copy_large(self, number: int, pieces: Iterable[bytes | memoryview]) -> None:
        job, file, offset = self._placed[number]
        output = self._outputs[file]
        digest = self._sha256() if self._sha256 else None
        flushed = offset
        for data in pieces:
            if self._failures:
                return
            write(output, data, offset, job.name)
            offset += len(data)
            if self._odd is not None:
                self._odd.judge(job.name, job.dtype, data)
            if digest is not None:
                digest.update(data)
            if offset - flushed >= _FLUSH:
                flush(output, flushed, offset - flushed)
                flushed = offset
            if self._progress is not None:
                self._progress(len(data))
        flush(output, flushed, offset - flushed)
        if digest is not None:
            self._digests[number] = digest.hexdigest()

    def _copy_small(self, task: _Task) -> None:
        placed = [self._placed[number] for number in task.numbers]
        with self._one_at_a_time:
            made = make_small(
                [(self._placed[number].job, self._kinds[number]) for number in task.numbers], self._sources, self._odd
            )
        if self._sha256 is not None:
            for number, data in zip(task.numbers, made, strict=True):
                self._digests[number] = self._sha256(data).hexdigest()
        begin, end = 0, placed[0].offset
        for index, (place, data) in enumerate(zip(placed, made, strict=True)):
            if place.offset != end or place.file != placed[begin].file:
                self._write(placed[begin], made[begin:index])
                begin = index
            end = place.offset + len(data)
        self._write(placed[begin], made[begin:])
        if self._progress is not None:
            self._progress(task.nbytes)

    def _write(self, first: Placed, tensors: list[bytes]) -> None:
        """Write tensors that are next to each other in the output."""
        write(self._outputs[first.file], b"".join(tensors), first.offset, first.job.name)

    def _tasks(self) -> Iterator[_Task]:
        """One task for every large tensor, and batches of small ones in the order of the output."""
        batch: list[int] = []
        plain, nbytes = True, 0
        for number, (job, _, _) in enumerate(self._placed):
            size = job.nbytes
            is_plain = self._kinds[number] is Kind.PLAIN
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


def _sha256() -> Callable[..., hashlib._Hash]:
    from hashlib import sha256  # OpenSSL takes 15 ms to load

    return sha256

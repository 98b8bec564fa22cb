"""Carrying out jobs: two threads that copy whole tensors into the output files, the largest first.

:func:`run` is all that a conversion knows of the copying engine, so that a compiled one can take its place: it is given
jobs, each with an output file and an offset, and files of their final size, and returns when every byte is there.

Threads and not processes: reading, writing, transposing and hashing all release the interpreter lock, so that two
threads come within a tenth of two processes, and a library must not fork under a caller that has torch loaded.
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
    from bridgeckpt.store.checksums import Checksums

__all__ = ["Placed", "finish", "open_output", "run"]

_FLUSH = 8 << 20  # bytes
_OTHER_STRIP = 2304 << 10  # bytes of a target that workers other than the first hold at a time: a smaller matrix


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
    found: Checksums | None = None,
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
) -> list[str] | None:
    """Write every job's tensor to its place.

    Args:
        placed: The jobs, in any order; the order of the output is the fastest for small tensors.
        outputs: Descriptors of the output files, open for writing and of their final size (see :func:`open_output`).
        verify: Compare each source tensor that is read with its CRC-32C, once.
        checksums: Return the SHA-256 of each target's bytes.
        found: Takes the CRC-32C of the source tensors for which their files hold none.
        workers: Number of threads.
        progress: Called from the workers with the bytes that were written since its last call.

    Returns:
        The SHA-256 of each target in hexadecimal, in the order of ``placed``, or None without ``checksums``.

    Raises:
        CheckpointError: A source is damaged, cut short or missing.
        PrecisionError: A value does not fit the target's dtype.
        OutputError: The disk is full or fails.
    """
    with Sources(verify=verify, checksums=found) as sources:
        return _Run(placed, outputs, sources, progress, checksums=checksums).carry_out(workers)


class _Run:
    """The state that the workers share."""

    def __init__(
        self,
        placed: Sequence[Placed],
        outputs: Sequence[int],
        sources: Sources,
        progress: Callable[[int], None] | None,
        *,
        checksums: bool,
    ) -> None:
        self._placed = placed
        self._outputs = outputs
        self._sources = sources
        self._progress = progress
        self._digests = [""] * len(placed)
        self._sha256 = _sha256() if checksums else None
        kinds = Kinds()
        self._kinds = [kinds.of(one.job) for one in placed]
        tasks = sorted(self._tasks(), reverse=True)
        self._plain = deque(task for task in tasks if task.plain)
        self._moved = deque(task for task in tasks if not task.plain)
        self._failures: list[BaseException] = []
        self._all_started = Event()
        self._one_at_a_time = Lock()  # for what needs the interpreter lock throughout: two threads would fight for it

    def carry_out(self, workers: int) -> list[str] | None:
        """Work until everything is done, then return the digests, or until something fails."""
        # Events and not Thread.join: until 3.12, an interrupted join takes a running thread for one that has ended.
        ended = [Event() for _ in range(workers)]
        threads = [Thread(target=self._work, args=(at == 0, ended[at]), daemon=True) for at in range(workers)]
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
        """Carry out tasks until none is left.

        The first worker begins with the largest tensors that are not plain. The others begin with the plain ones, which
        need no numpy and fill the time in which the first imports it, and go on with the smallest: so only the first
        needs room for a whole large tensor, and the others meet one, if at all, when little is left to do.
        """
        copier: Copier | None = None
        self._all_started.wait()  # an interrupt between two starts finds nobody at work
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

                    copier = Copier(self._sources, STRIP if first else _OTHER_STRIP)
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
            except IndexError:  # none is left
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
                [(self._placed[number].job, self._kinds[number]) for number in task.numbers], self._sources
            )
        if self._sha256 is not None:
            for number, data in zip(task.numbers, made, strict=True):
                self._digests[number] = self._sha256(data).hexdigest()
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

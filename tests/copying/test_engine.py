"""The copying engine against numpy: every kind of move, dtype, partition and damage, in one piece and in many."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import google_crc32c
import ml_dtypes
import numpy as np
import pytest

from bridgeckpt.copying import engine, panels, workers
from bridgeckpt.copying.engine import Copier, assemble
from bridgeckpt.copying.geometry import blocks
from bridgeckpt.copying.job import Job
from bridgeckpt.copying.workers import Placed, finish, open_output, run
from bridgeckpt.errors import BridgeckptError, CheckpointError, OutputError, PrecisionError
from bridgeckpt.mapping.notation.layout import Layout
from bridgeckpt.store import local, reading
from bridgeckpt.store.checked_files import Sources
from bridgeckpt.store.tensors import Extent, TensorInfo

RNG = np.random.default_rng(7)


class Store:
    """Tensors in a raw file, at odd offsets."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "data"
        self.path.write_bytes(b"...")

    def _append(self, array: np.ndarray, start: tuple[int, ...]) -> Extent:
        data = np.ascontiguousarray(array).tobytes()
        with self.path.open("ab") as file:
            offset = file.tell()
            file.write(data + b"pad")
        return Extent(self.path, offset, len(data), start, array.shape, google_crc32c.value(data))

    def add(self, array: np.ndarray, name: str = "t", *, cuts: list[int] | None = None, axis: int = 0) -> TensorInfo:
        """Store an array; ``cuts`` partition it along ``axis``, and the parts are stored last first."""
        edges = [0, *(cuts or []), array.shape[axis] if array.ndim else 1]
        extents = []
        for first, last in pairwise(edges):
            part = array.take(range(first, last), axis) if cuts else array
            start = tuple(first if at == axis else 0 for at in range(array.ndim))
            extents.insert(0, (part, start))
        native = array.dtype.newbyteorder("=")
        return TensorInfo(
            name, native.name, array.shape, tuple(self._append(*extent) for extent in extents), array.dtype != native
        )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def bits(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    """Random bits of a dtype: NaNs of every payload among them."""
    return np.frombuffer(RNG.bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize), dtype).reshape(shape)


def same_bits(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and found.dtype == expected.dtype and found.tobytes() == expected.tobytes()


def job(
    layout: str, sizes: dict[str, int], *sources: TensorInfo, target: int = 0, dtype: str = "", fill: float = 0
) -> Job:
    parsed = Layout.parse(layout)
    return Job("out", sources, parsed.moves(sizes)[target], parsed.pt.shape(sizes), dtype or sources[0].dtype, fill)


def stream(one: Job) -> list[bytes]:
    with Sources() as sources:
        return [bytes(piece) for piece in Copier(sources).stream(one)]


# (layout, sizes, shapes of the sources, what numpy makes of them)
MOVES = {
    "identity": ("a b", {"a": 37, "b": 11}, [(37, 11)], lambda x: x),
    "scalar": ("1 ->", {}, [(1,)], lambda x: x.reshape(())),
    "transpose": ("a b -> b a", {"a": 67, "b": 129}, [(67, 129)], lambda x: x.T),
    "long rows": ("a b -> b a", {"a": 3, "b": 4001}, [(3, 4001)], lambda x: x.T),
    "long columns": ("a b -> b a", {"a": 4001, "b": 3}, [(4001, 3)], lambda x: x.T),
    "three axes": ("a b c -> c a b", {"a": 5, "b": 7, "c": 9}, [(5, 7, 9)], lambda x: x.transpose(2, 0, 1)),
    "heads": (
        "hidden heads dim -> (heads dim) hidden",
        {"hidden": 24, "heads": 3, "dim": 8},
        [(24, 3, 8)],
        lambda x: x.reshape(24, 24).T,
    ),
    "swap inner": ("a b c -> b a c", {"a": 6, "b": 5, "c": 33}, [(6, 5, 33)], lambda x: x.swapaxes(0, 1)),
    "unit axis": ("1 a b -> a b", {"a": 6, "b": 9}, [(1, 6, 9)], lambda x: x[0]),
    "fuse": (
        "[qkv] hidden out -> (qkv out) hidden",
        {"qkv": 3, "hidden": 17, "out": 23},
        [(17, 23)] * 3,
        lambda *x: np.concatenate([one.T for one in x]),
    ),
    "fuse inside": (
        "[qkv] hidden out -> hidden (qkv out)",
        {"qkv": 3, "hidden": 17, "out": 23},
        [(17, 23)] * 3,
        lambda *x: np.concatenate(x, axis=1),
    ),
    "stack": (
        "[layer] a b -> layer b a",
        {"layer": 4, "a": 9, "b": 13},
        [(9, 13)] * 4,
        lambda *x: np.stack([y.T for y in x]),
    ),
    "crop": ("(vocab + pad) hidden -> vocab hidden", {"vocab": 91, "pad": 5, "hidden": 7}, [(96, 7)], lambda x: x[:91]),
    "pad": (
        "vocab hidden -> (vocab + pad) hidden",
        {"vocab": 91, "pad": 5, "hidden": 7},
        [(91, 7)],
        lambda x: np.concatenate([x, np.zeros((5, 7), x.dtype)]),
    ),
    "crop and turn": (
        "(vocab + pad) hidden -> hidden vocab",
        {"vocab": 91, "pad": 5, "hidden": 7},
        [(96, 7)],
        lambda x: x[:91].T,
    ),
    "crop inside": (
        "hidden (vocab + pad) -> vocab hidden",
        {"vocab": 91, "pad": 500, "hidden": 13},
        [(13, 591)],
        lambda x: x[:, :91].T,
    ),
    "empty": ("a b -> b a", {"a": 0, "b": 5}, [(0, 5)], lambda x: x.T),
}


@pytest.fixture(params=["one strip", "many strips", "many strips and calls"])
def strips(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small tensors in the engine's own buffers, and in buffers so small that every one takes many."""
    if request.param != "one strip":
        gap = 0 if request.param == "many strips and calls" else 100
        monkeypatch.setattr(engine.Copier.__init__, "__defaults__", (256,))
        monkeypatch.setattr(workers, "_OTHER_STRIP", 256)
        monkeypatch.setattr(panels, "_PANEL", 64)
        monkeypatch.setattr(panels, "_ROWS", (2, 3))
        monkeypatch.setattr(panels, "_GAP", gap)
        for module in (engine, panels, reading):
            monkeypatch.setattr(module, "PIECE", 48)
    return request.param


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("dtype", ["float32", "uint8", "float64", "complex128", ">f4", ">i2", ">c8"])
def test_moves_as_numpy_does(move: str, dtype: str, store: Store, strips: str) -> None:
    layout, sizes, shapes, expected = MOVES[move]
    arrays = [bits(shape, dtype) for shape in shapes]
    one = job(layout, sizes, *(store.add(array) for array in arrays))
    wanted = np.asarray(expected(*(array.astype(array.dtype.newbyteorder("=")) for array in arrays)), order="C")
    assert same_bits(assemble(one), wanted)
    pieces = stream(one)
    assert b"".join(pieces) == wanted.tobytes()
    assert max(map(len, pieces), default=0) <= reading.PIECE


@pytest.mark.parametrize(("layout", "transform"), [("a b", lambda x: x), ("a b -> b a", lambda x: x.T)])
@pytest.mark.parametrize("axis", [0, 1])
def test_partitioned_source(layout: str, transform, axis: int, store: Store, strips: str) -> None:
    array = bits((29, 31))
    source = store.add(array, cuts=[3, 4, 20], axis=axis)
    one = job(layout, {"a": 29, "b": 31}, source)
    assert same_bits(assemble(one), np.ascontiguousarray(transform(array)))
    assert b"".join(stream(one)) == transform(array).tobytes()


@pytest.mark.parametrize("axis", [0, 1])
def test_every_extent_of_a_partition_is_checked(axis: int, store: Store, strips: str) -> None:
    source = store.add(bits((29, 31)), cuts=[3, 4, 20], axis=axis)
    good = store.path.read_bytes()
    for extent in source.extents:
        damaged = bytearray(good)
        damaged[extent.offset + extent.nbytes - 1] ^= 1
        store.path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="CRC-32C"):
            assemble(job("a b -> b a", {"a": 29, "b": 31}, source))


def test_one_stacked_tensor_to_one_target_per_layer(store: Store, strips: str) -> None:
    array = bits((5, 9, 13))
    source = store.add(array)
    for layer in range(5):
        one = job("layer a b -> [layer] b a", {"layer": 5, "a": 9, "b": 13}, source, target=layer)
        assert same_bits(assemble(one), np.ascontiguousarray(array[layer].T))


def test_fused_tensor_to_one_target_per_part(store: Store, strips: str) -> None:
    array = bits((20, 3 * 40))
    source = store.add(array)
    for part in range(3):
        one = job("in (qkv out) -> [qkv] out in", {"qkv": 3, "in": 20, "out": 40}, source, target=part)
        assert same_bits(assemble(one), np.ascontiguousarray(array[:, part * 40 : part * 40 + 40].T))


def test_padding_takes_the_fill_value(store: Store, strips: str) -> None:
    array = bits((5, 4))
    one = job("a b -> b (a + pad)", {"a": 5, "b": 4, "pad": 3}, store.add(array), fill=-1.5)
    assert same_bits(assemble(one), np.concatenate([array.T, np.full((4, 3), -1.5, np.float32)], axis=1))


@pytest.mark.parametrize("layout", ["a b", "a b -> b a"])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("float32", "float16"),
        ("float32", "bfloat16"),
        ("bfloat16", "float32"),
        ("float64", "float32"),
        ("float16", "float64"),
    ],
)
def test_dtype_conversion_rounds_as_numpy_does(
    before: str, after: str, big_endian: bool, layout: str, store: Store, strips: str
) -> None:
    values = (RNG.standard_normal((41, 23)) * 100).astype(before)
    values[3, 4], values[5, 6], values[7, 8] = np.nan, np.inf, -np.inf
    source = store.add(values)
    if big_endian:
        raw = values.view(f"u{values.itemsize}")
        source = store.add(raw.astype(raw.dtype.newbyteorder(">")))
        source = TensorInfo("t", before, source.shape, source.extents, big_endian=True)
    expected = values.astype(after)
    one = job(layout, {"a": 41, "b": 23}, source, dtype=after)
    assert same_bits(assemble(one), np.ascontiguousarray(expected if "->" not in layout else expected.T))


@pytest.mark.parametrize(
    ("before", "after", "value", "hint"),
    [
        ("float32", "float16", -1e5, "bfloat16 or float32"),
        ("float64", "float32", 1e300, "float64"),
        ("float32", "float8_e4m3fn", 1e6, "bfloat16 or float32"),
    ],
)
def test_value_that_does_not_fit_is_an_error(
    before: str, after: str, value: float, hint: str, store: Store, strips: str
) -> None:
    values = np.zeros((30, 40), before)
    values[17, 23] = value
    source = store.add(values, "bert/kernel")
    one = job("a b -> b a", {"a": 30, "b": 40}, source, dtype=after)
    with pytest.raises(PrecisionError, match=rf"bert/kernel\[17, 23\] is .*, too large for {after}") as caught:
        assemble(one)
    assert hint in str(caught.value.hint)


def test_integers_are_not_converted(store: Store) -> None:
    with pytest.raises(PrecisionError, match="t is int64, which is not converted to float32"):
        assemble(job("a", {"a": 3}, store.add(np.arange(3)), dtype="float32"))


def test_string_tensor_is_refused(store: Store) -> None:
    extent = store.add(np.zeros(4, np.uint8)).extents[0]
    source = TensorInfo("names", "string", (2, 3), (extent,))
    with pytest.raises(CheckpointError, match="names is of dtype string, which is not a dtype of numbers"):
        stream(job("a b -> b a", {"a": 2, "b": 3}, source, dtype="uint8"))


def test_ml_dtypes_move_without_conversion(store: Store) -> None:
    array = bits((7, 6), "uint16").view(ml_dtypes.bfloat16)
    found = assemble(job("a b -> b a", {"a": 7, "b": 6}, store.add(array)))
    assert same_bits(found, np.ascontiguousarray(array.T))


def test_job_without_moves_is_all_fill() -> None:
    assert same_bits(assemble(Job("ones", (), (), (2, 3), "float32", 1)), np.ones((2, 3), np.float32))


def test_blocks_cover_in_order() -> None:
    for sizes in [(), (0, 3), (5,), (4, 1, 6), (3, 4, 5)]:
        numbers = np.arange(int(np.prod(sizes))).reshape(sizes)
        for limit in (1, 3, 7, 100):
            cut = [numbers[block].reshape(-1) for block in blocks(sizes, limit)]
            assert np.concatenate([*cut, []]).tolist() == numbers.reshape(-1).tolist()
            assert all(0 < len(one) <= limit for one in cut)


# --- damage


def placed(jobs: list[Job], gap: int = 0) -> tuple[list[Placed], int]:
    out, offset = [], 16
    for one in jobs:
        out.append(Placed(one, 0, offset))
        offset += one.nbytes + gap
    return out, offset


def converted(jobs: list[Job], folder: Path, **options) -> bytes:
    places, size = placed(jobs)
    output = open_output(folder / "out", size)
    try:
        run(places, [output], **options)
        finish(output)
    finally:
        os.close(output)
    return (folder / "out").read_bytes()[16:]


@pytest.mark.parametrize("rows", [10, 400])  # a small tensor, read in a batch, and one read by itself
@pytest.mark.parametrize("layout", ["a b", "a b -> b a"])
def test_damaged_tensor_is_named(layout: str, rows: int, store: Store, tmp_path: Path) -> None:
    source = store.add(bits((rows, 100)), "bert/kernel")
    data = bytearray(store.path.read_bytes())
    data[source.extents[0].offset + 1234] ^= 0x40
    store.path.write_bytes(data)
    one = job(layout, {"a": rows, "b": 100}, source)
    with pytest.raises(CheckpointError, match=r"bert/kernel is damaged: .*at byte 3 of .*data have CRC-32C") as caught:
        converted([one], tmp_path)
    assert caught.value.path == store.path
    assert "verify=False" in str(caught.value.hint)
    (tmp_path / "out").unlink()
    assert len(converted([one], tmp_path, verify=False)) == rows * 400


@pytest.mark.parametrize("rows", [10, 400])
@pytest.mark.parametrize("layout", ["a b", "a b -> b a"])
def test_truncated_file_is_an_error(layout: str, rows: int, store: Store, tmp_path: Path) -> None:
    source = store.add(bits((rows, 100)), "bert/kernel")
    os.truncate(store.path, store.path.stat().st_size - 100)
    for verify in (True, False):
        with pytest.raises(CheckpointError, match=r"bert/kernel is truncated: .*data ends at byte"):
            converted([job(layout, {"a": rows, "b": 100}, source)], tmp_path, verify=verify)
        (tmp_path / "out").unlink()


def test_missing_file_is_an_error(store: Store, tmp_path: Path) -> None:
    source = store.add(bits((10, 100)))
    store.path.unlink()
    with pytest.raises(CheckpointError, match=r"cannot read .*data: No such file"):
        converted([job("a b", {"a": 10, "b": 100}, source)], tmp_path)


@pytest.mark.parametrize(
    ("layout", "sizes", "shape", "targets"),
    [
        ("layer a b -> [layer] b a", {"layer": 4, "a": 90, "b": 300}, (4, 90, 300), 4),  # shared between jobs
        ("layer a -> [layer] a", {"layer": 4, "a": 30}, (4, 30), 4),  # shared between small jobs
        ("(a + pad) b -> a b", {"a": 90, "b": 300, "pad": 9}, (99, 300), 1),  # used in part
        ("a b -> b a", {"a": 300, "b": 400}, (300, 400), 1),
        ("a b", {"a": 300, "b": 400}, (300, 400), 1),
    ],
)
def test_each_source_byte_is_checked_once(
    layout: str, sizes: dict, shape: tuple, targets: int, store: Store, strips: str, tmp_path: Path, monkeypatch
) -> None:
    source, checked = store.add(bits(shape)), []
    extend = google_crc32c.extend
    monkeypatch.setattr(google_crc32c, "extend", lambda crc, data: checked.append(len(data)) or extend(crc, data))
    converted([job(layout, sizes, source, target=target) for target in range(targets)], tmp_path, workers=1)
    assert sum(checked) == source.nbytes


# --- run


def mixed_jobs(store: Store, count: int = 40) -> tuple[list[Job], list[bytes]]:
    """Jobs of every kind and size, and the bytes they make."""
    jobs, expected = [], []
    for number in range(count):
        kind = number % 5
        if kind == 0:
            array = bits((number + 1,))
            jobs.append(job("a", {"a": number + 1}, store.add(array, f"t{number}")))
        elif kind == 1:
            array = bits((5, number)).T
            jobs.append(job("a b -> b a", {"a": number, "b": 5}, store.add(array, f"t{number}")))
            array = array.T
        elif kind == 2:
            array = bits((100 + number, 700))
            jobs.append(job("a b", {"a": 100 + number, "b": 700}, store.add(array, f"t{number}")))
        elif kind == 3:
            array = bits((100 + number, 700))
            jobs.append(job("a b -> b a", {"a": 100 + number, "b": 700}, store.add(array, f"t{number}")))
            array = array.T
        else:
            array = bits((number, 6))
            jobs.append(job("(a + pad) b -> a b", {"a": number - 1, "pad": 1, "b": 6}, store.add(array, f"t{number}")))
            array = array[:-1]
        expected.append(array.tobytes())
    return jobs, expected


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("shuffled", [False, True])
def test_run_puts_every_tensor_in_its_place(count: int, shuffled: bool, store: Store, tmp_path: Path) -> None:
    jobs, expected = mixed_jobs(store)
    places, size = placed(jobs, gap=3)
    places = [place._replace(file=number % 2) for number, place in enumerate(places)]  # two files, with holes
    order = list(range(len(places)))
    if shuffled:
        random.Random(3).shuffle(order)
    done: list[int] = []
    outputs = [open_output(tmp_path / f"out{number}", size) for number in range(2)]
    digests = run([places[at] for at in order], outputs, checksums=True, workers=count, progress=done.append)
    for output in outputs:
        finish(output)
        os.close(output)
    files = [(tmp_path / f"out{number}").read_bytes() for number in range(2)]
    for at, place in enumerate(places):
        assert files[place.file][place.offset : place.offset + len(expected[at])] == expected[at]
    assert digests == [hashlib.sha256(expected[at]).hexdigest() for at in order]
    assert sum(done) == sum(map(len, expected))


def test_run_leaves_the_gaps_alone(store: Store, tmp_path: Path) -> None:
    jobs, _ = mixed_jobs(store, 10)
    places, size = placed(jobs, gap=5)
    output = open_output(tmp_path / "out", size)
    os.pwrite(output, b"\xff" * size, 0)
    run(places, [output])
    os.close(output)
    data = (tmp_path / "out").read_bytes()
    assert data[:16] == b"\xff" * 16
    assert all(data[at.offset + at.job.nbytes :][:5] == b"\xff" * 5 for at in places)


def test_run_with_the_smallest_of_jobs(store: Store, tmp_path: Path) -> None:
    gates = bits((4,))
    source, empty = store.add(gates, "gates"), store.add(bits((0, 3)), "empty")
    jobs = [job("layer -> [layer]", {"layer": 4}, source, target=layer) for layer in (2, 0)]
    jobs.append(job("a b -> b a", {"a": 0, "b": 3}, empty))
    jobs.append(Job("ones", (), (), (2,), "float32", 1))
    jobs.append(job("a", {"a": 4}, source, dtype="float64"))
    expected = [gates[2:3], gates[:1], np.ones(2, np.float32), gates.astype(np.float64)]
    assert converted(jobs, tmp_path) == b"".join(array.tobytes() for array in expected)


def test_nothing_to_do() -> None:
    assert run([], []) is None
    assert run([], [], checksums=True) == []


def test_many_small_tensors_take_few_calls(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = [bits((4, 8)) for _ in range(3000)]
    jobs = [job("a b -> b a", {"a": 4, "b": 8}, store.add(array, str(at))) for at, array in enumerate(arrays)]
    calls: list[str] = []
    for module, name in ((local, "_pread"), (local, "_pread_into"), (workers, "write")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, real=real, name=name: calls.append(name) or real(*a))
    order = list(range(len(jobs)))
    random.Random(5).shuffle(order)  # the order in the source file is another than in the output
    data = converted([jobs[at] for at in order], tmp_path)
    assert data == b"".join(arrays[at].T.tobytes() for at in order)
    assert len(calls) < 10


def test_error_in_one_worker_stops_the_others(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, _ = mixed_jobs(store)
    damaged = bytearray(store.path.read_bytes())
    largest = max(jobs, key=lambda one: one.nbytes).sources[0].extents[0]
    damaged[largest.offset] ^= 1
    store.path.write_bytes(damaged)
    before = threading.active_count()
    done: list[int] = []
    with pytest.raises(CheckpointError, match="damaged"):
        converted(jobs, tmp_path, workers=1, progress=done.append)
    assert threading.active_count() == before
    assert sum(done) < sum(one.nbytes for one in jobs)


def test_interrupt_stops_the_workers(store: Store, tmp_path: Path) -> None:
    jobs, _ = mixed_jobs(store)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        converted(jobs, tmp_path, progress=interrupt)
    assert threading.active_count() == before


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C is what it is in a terminal, also where SIGINT is ignored by who runs the tests, as under nohup."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="sends a signal to the main thread")
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_stops_the_workers(store: Store, tmp_path: Path) -> None:
    jobs, _ = mixed_jobs(store)
    done: list[int] = []

    def interrupt(nbytes: int) -> None:
        if not done:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        done.append(nbytes)
        time.sleep(0.1)

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        converted(jobs, tmp_path, progress=interrupt)
    assert threading.active_count() == before
    assert len(done) < len(jobs)


def test_a_thread_that_cannot_start_stops_the_others(store: Store, tmp_path: Path, monkeypatch) -> None:
    jobs, _ = mixed_jobs(store)
    start, started = threading.Thread.start, []

    def refuse(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(start(thread))

    monkeypatch.setattr(threading.Thread, "start", refuse)
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="can't start new thread"):
        converted(jobs, tmp_path)
    assert threading.active_count() == before


def test_plain_jobs_need_no_numpy(store: Store, tmp_path: Path) -> None:
    source = store.add(bits((300, 400)))
    code = (
        "import sys, os; from pathlib import Path\n"
        "from bridgeckpt.copying.job import Job; from bridgeckpt.copying.workers import Placed, open_output, run\n"
        "from bridgeckpt.store.tensors import Extent, TensorInfo\n"
        "from bridgeckpt.mapping.notation.layout import Layout\n"
        f"extent = Extent(Path({str(store.path)!r}), 3, 480000, (0, 0), (300, 400), {source.extents[0].crc32c})\n"
        "info = TensorInfo('t', 'float32', (300, 400), (extent,)); sizes = {'a': 300, 'b': 400}\n"
        "job = lambda layout: Job('t', (info,), Layout.parse(layout).moves(sizes)[0], (300, 400), 'float32')\n"
        f"out = open_output(Path({str(tmp_path)!r}) / 'out', 480000)\n"
        "run([Placed(job('a b'), 0, 0)], [out]); print('numpy' in sys.modules)\n"
        "run([Placed(job('a b -> b a'), 0, 0)], [out]); print('numpy' in sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]  # the second line shows that the first can fail


# --- output files


def test_output_is_created_with_its_size_and_never_over_another(tmp_path: Path) -> None:
    for size in (0, 12345):
        os.close(open_output(tmp_path / str(size), size))
        assert (tmp_path / str(size)).stat().st_size == size
    with pytest.raises(OutputError, match=r"cannot create .*12345: File exists"):
        open_output(tmp_path / "12345", 1)
    with pytest.raises(OutputError, match=r"cannot create .*nowhere"):
        open_output(tmp_path / "nowhere" / "x", 1)


def test_no_space_is_said_before_anything_is_written(tmp_path: Path) -> None:
    about = os.statvfs(tmp_path)
    too_much = about.f_bavail * about.f_frsize + (1 << 34)
    with pytest.raises(OutputError, match=rf"no space left for .*out: it takes {too_much:,} bytes, [\d,]+ are free"):
        open_output(tmp_path / "out", too_much)
    assert not (tmp_path / "out").exists()


def test_file_system_without_preallocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    os.close(open_output(tmp_path / "out", 4096))
    assert (tmp_path / "out").stat().st_size == 4096


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("rows", [10, 400])
def test_disk_that_fills_up_while_writing(rows: int, store: Store) -> None:
    one = job("a b -> b a", {"a": rows, "b": 100}, store.add(bits((rows, 100))))
    output = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OutputError, match=r"cannot write out: No space left on device") as caught:
            run([Placed(one, 0, 0)], [output])
    finally:
        os.close(output)
    assert "free some space" in str(caught.value.hint)
    assert isinstance(caught.value, BridgeckptError)

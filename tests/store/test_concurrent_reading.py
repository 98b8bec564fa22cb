"""One open checkpoint read by sixteen threads at once, and by the children of a fork while the parent reads.

What is read is compared with what TensorFlow, h5py or safetensors wrote. A reader that shares a position between
threads or processes returns other tensors' values, without an error where the format keeps no checksums.
"""

from __future__ import annotations

import json
import multiprocessing
import pickle
import random
import threading
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import safetensors
from safetensors.numpy import save_file
from tfwrite import save, save_shards, tensorflow

from bridgeckpt.formats import open_checkpoint

Tensors = dict[str, np.ndarray]

THREADS, CHILDREN = 16, 4
SMALL, LARGE = (16, 8), (1024, 1024)  # 512 bytes and 4 MiB of float32
HOW_MANY = {SMALL: 24, LARGE: 6}
PATIENCE = 100  # seconds until a child counts as one that hangs
READ = 3  # large tensors that each thread reads, after all the small ones

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="processes do not fork here"
)


def tensors() -> Tensors:
    generator = np.random.default_rng(0)
    return {
        f"{'small' if shape == SMALL else 'large'}{number}": generator.standard_normal(shape, np.float32)
        for shape, count in HOW_MANY.items()
        for number in range(count)
    }


def bundle(folder: Path) -> Path:
    return save(folder / "model.ckpt", tensors())


def bundle_shards(folder: Path) -> Path:
    every = list(tensors().items())
    return save_shards(folder / "model.ckpt", [dict(every[::2]), dict(every[1::2])])


def saved_model(folder: Path) -> Path:
    tf = tensorflow()
    module = tf.Module()
    for name, value in tensors().items():
        setattr(module, name, tf.Variable(value, name=name))
    tf.saved_model.save(module, str(folder))
    return folder


def v1(folder: Path) -> Path:
    tf = tensorflow()
    names, values = list(tensors()), [tf.convert_to_tensor(value) for value in tensors().values()]
    tf.raw_ops.SaveSlices(
        filename=str(folder / "model.ckpt"), tensor_names=names, shapes_and_slices=[""] * len(names), data=values
    )
    return folder / "model.ckpt"


def frozen_graph(folder: Path) -> Path:
    tf = tensorflow()
    graph = tf.compat.v1.GraphDef()
    for number, (name, value) in enumerate(tensors().items()):
        node = graph.node.add(name=name, op="Const")
        node.attr["dtype"].type = 1
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        if number % 2:  # a list in place of memory
            node.attr["value"].tensor.tensor_content = b""
            node.attr["value"].tensor.float_val.extend(value.ravel().tolist())
        graph.node.add(name=f"{name}/read", op="Identity", input=[name])
    (folder / "graph.pb").write_bytes(graph.SerializeToString())
    return folder / "graph.pb"


def one_safetensors(folder: Path) -> Path:
    save_file(tensors(), folder / "model.safetensors")
    return folder / "model.safetensors"


def safetensors_shards(folder: Path) -> Path:
    every = list(tensors().items())
    weight_map = {}
    for number, shard in enumerate((dict(every[::2]), dict(every[1::2])), 1):
        name = f"model-{number:05d}-of-00002.safetensors"
        save_file(shard, folder / name)
        weight_map |= dict.fromkeys(shard, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def hdf5(path: Path, *, compress: bool = False) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in tensors().items():
            chunks = tuple(size // 2 for size in value.shape)
            options = {"chunks": chunks, "compression": "gzip", "compression_opts": 1, "shuffle": True}
            file.create_dataset(name, data=value, **(options if compress else {}))
    return path


def keras_contiguous(folder: Path) -> Path:
    return hdf5(folder / "model.weights.h5")


def keras_compressed(folder: Path) -> Path:
    return hdf5(folder / "model.weights.h5", compress=True)


def keras_archive(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.write(hdf5(folder / "apart.h5"), "model.weights.h5")
        archive.writestr("metadata.json", '{"keras_version": "3.10.0"}')
        archive.writestr("config.json", "{}")
    (folder / "apart.h5").unlink()
    return folder / "model.keras"


BY_TENSORFLOW = (bundle, bundle_shards, saved_model, v1, frozen_graph)
FORMATS = (
    *(pytest.param(make, marks=pytest.mark.slow) for make in BY_TENSORFLOW),
    one_safetensors,
    safetensors_shards,
    keras_contiguous,
    keras_compressed,
    keras_archive,
)


@pytest.fixture(scope="module", params=FORMATS, ids=lambda make: make.__name__)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return request.param(tmp_path_factory.mktemp(request.param.__name__))


def stored(path: Path, expected: Tensors) -> tuple[Any, Tensors]:
    """An open checkpoint of which nothing was read, and what it should hold under the names that it has."""
    checkpoint = open_checkpoint(path)
    by_name = {name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): name for name in checkpoint}
    return checkpoint, {by_name[name]: value for name, value in expected.items()}


def misread(reader: Any, expected: Mapping[str, np.ndarray], seed: int) -> list[str]:
    """The names of the tensors that are not what they should be, or could not be read."""
    order = random.Random(seed)
    small = [name for name, value in expected.items() if value.shape == SMALL]
    large = [name for name, value in expected.items() if value.shape == LARGE]
    names = order.sample(small, len(small)) + order.sample(large, READ)
    wrong = []
    for name in names:
        try:
            found = reader.get_tensor(name)
        except Exception as error:  # noqa: BLE001 - whatever it is, the tensor is sound
            wrong.append(f"{name}: {error!r}")
            continue
        if found.tobytes() != expected[name].tobytes():
            wrong.append(name)
    return wrong


def in_threads(read: Callable[[int], list[str]]) -> list[str]:
    """What ``read`` returns in sixteen threads that begin together."""
    wrong: list[str] = []
    barrier = threading.Barrier(THREADS)

    def work(number: int) -> None:
        barrier.wait()
        wrong.extend(read(number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def test_sixteen_threads_read_one_checkpoint(written: Path) -> None:
    checkpoint, expected = stored(written, tensors())
    with checkpoint:
        assert in_threads(lambda seed: misread(checkpoint, expected, seed)) == []


def test_sixteen_threads_beside_safe_open(tmp_path: Path) -> None:
    path, expected = one_safetensors(tmp_path), tensors()
    with open_checkpoint(path) as checkpoint, safetensors.safe_open(path, framework="np") as other:
        readers = checkpoint, other
        assert in_threads(lambda seed: misread(readers[seed % 2], expected, seed)) == []


def test_a_thread_that_closes_the_checkpoint_disturbs_no_other(written: Path) -> None:
    checkpoint, expected = stored(written, tensors())

    def read(number: int) -> list[str]:
        if number:
            return misread(checkpoint, expected, number)
        for _ in range(1000):
            checkpoint.close()
        return []

    assert in_threads(read) == []


@pytest.mark.parametrize("begun", [False, True], ids=["before the first read", "between reads"])
def test_children_read_while_the_parent_reads(written: Path, begun: bool) -> None:
    checkpoint, expected = stored(written, tensors())
    if begun:  # the files are open, and what is encoded has been decoded
        checkpoint.get_tensor(next(iter(expected)))
    assert in_children(lambda seed: misread(checkpoint, expected, seed)) == []
    assert misread(checkpoint, expected, 0) == []  # the children took nothing along when they ended


def in_children(read: Callable[[int], list[str]]) -> list[str]:
    """What ``read`` returns in forked processes, and in two threads of this one at the same time."""
    context = multiprocessing.get_context("fork")
    wrong: list[str] = []
    ended = threading.Event()
    pipes = [context.Pipe(duplex=False) for _ in range(CHILDREN)]

    def work(seed: int) -> None:
        while not ended.is_set():
            wrong.extend(read(seed))

    threads = [threading.Thread(target=work, args=(100 + number,)) for number in range(2)]
    children = [
        context.Process(target=lambda seed, to: to.send(read(seed)), args=(number, to), daemon=True)
        for number, (_, to) in enumerate(pipes)
    ]
    for thread in threads:
        thread.start()
    try:
        for child in children:
            child.start()
        for number, (result, _) in enumerate(pipes):
            wrong.extend(result.recv() if result.poll(PATIENCE) else [f"child {number} hangs"])
        for child in children:
            child.join(PATIENCE / 10)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        for child in children:
            child.kill()
    return wrong + [f"a child ended with {child.exitcode}" for child in children if child.exitcode != 0]


def test_an_open_checkpoint_can_be_pickled(written: Path) -> None:
    checkpoint, expected = stored(written, tensors())
    misread(checkpoint, expected, 0)
    stored_as = pickle.dumps(checkpoint)
    del checkpoint  # and with it what it decoded
    assert misread(pickle.loads(stored_as), expected, 1) == []

"""The TensorBundle reader against what real TensorFlow wrote, bit for bit."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tfwrite

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.tensorflow.slices import Block, tile
from bridgeckpt.store.dtypes import numpy_dtype
from bridgeckpt.store.tensors import TensorInfo

pytestmark = pytest.mark.slow


def numbers() -> list[str]:
    """The dtypes of numbers on TensorFlow's own list; the quantized ones have a test of their own."""
    tf = tfwrite.tensorflow()
    from tensorflow.core.framework.types_pb2 import DataType

    dtypes = [tf.as_dtype(number) for number in DataType.values() if 0 < number < 100]  # from 101 on, references
    others = tf.string, tf.resource, tf.variant
    return [dtype.name for dtype in dtypes if dtype not in others and not dtype.name.startswith(("qint", "quint"))]


def random(dtype: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Any bit pattern of the dtype, NaNs with payloads among them."""
    generator = np.random.default_rng(seed)
    numpy_dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    if dtype in ("bool", "int2", "uint2", "int4", "uint4", "float4_e2m1fn"):  # narrower than their byte
        return generator.integers(0, 2, shape).astype(numpy_dtype)
    size = int(np.prod(shape))
    return np.frombuffer(generator.bytes(size * numpy_dtype.itemsize), numpy_dtype).reshape(shape)


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """Every dtype, each as a scalar, a matrix and an empty tensor."""
    shapes = [(), (3, 5), (4, 0, 2)]
    tensors = {f"{dtype}/{len(shape)}": random(dtype, shape) for dtype in numbers() for shape in shapes}
    return tfwrite.save(tmp_path_factory.mktemp("many") / "model.ckpt", tensors), tensors


def test_every_dtype_bit_for_bit(many):
    prefix, tensors = many
    with open_checkpoint(prefix) as checkpoint:
        assert checkpoint.format == "TensorBundle V2"
        assert checkpoint.keys() == sorted(tensors)
        for name, expected in tensors.items():
            info = checkpoint.tensors[name]
            assert (info.dtype, info.shape, info.nbytes) == (name.split("/")[0], expected.shape, expected.nbytes)
            assert_same(checkpoint.get_tensor(name), expected)


def test_a_dtype_that_ml_dtypes_lacks_is_an_error():
    with pytest.raises(CheckpointError, match=rf"ml_dtypes {ml_dtypes.__version__} has no float12"):
        numpy_dtype("float12")


@pytest.mark.parametrize("dtype", ["qint8", "quint8", "qint16", "quint16", "qint32"])
def test_quantized_types_are_plain_integers(tmp_path, dtype):
    tf = tfwrite.tensorflow()
    plain = random(dtype[1:], (6,))
    tfwrite.save(tmp_path / "q", {"w": tf.bitcast(plain, getattr(tf, dtype))})
    assert_same(open_checkpoint(tmp_path / "q").get_tensor("w"), plain)


def test_strings(tmp_path):
    texts = np.array([[b"", b"ends in nul\0"], ["größer".encode(), b"x" * 70_000]], object)
    tfwrite.save(tmp_path / "s", {"texts": texts, "one": np.array(b"alone"), "none": np.empty((0, 2), object)})
    checkpoint = open_checkpoint(tmp_path / "s")
    assert checkpoint.tensors["texts"].dtype == "string"
    assert checkpoint.get_tensor("texts").tolist() == texts.tolist()
    assert checkpoint.get_tensor("one")[()] == b"alone"
    assert checkpoint.get_tensor("none").shape == (0, 2)


def test_damaged_strings(tmp_path):
    prefix = tfwrite.save(tmp_path / "s", {"texts": np.array([b"abc", b"defg"], object)})
    shard = Path(f"{prefix}.data-00000-of-00001")
    sound = shard.read_bytes()
    for at in range(len(sound)):
        shard.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        with pytest.raises(CheckpointError, match="texts"):
            open_checkpoint(prefix).get_tensor("texts")


def test_variants_are_listed_but_not_read(tmp_path):
    tf = tfwrite.tensorflow()
    handle = tf.raw_ops.TensorListReserve(element_shape=[2], num_elements=3, element_dtype=tf.float32)
    tfwrite.save(tmp_path / "v", {"list": handle, "w": np.float32(1)})
    checkpoint = open_checkpoint(tmp_path / "v")
    assert checkpoint.tensors["list"].dtype == "variant"
    assert checkpoint.get_tensor("w") == 1
    with pytest.raises(CheckpointError, match="list is of dtype variant, which is not a dtype of numbers"):
        checkpoint.get_tensor("list")


def test_many_shards(tmp_path):
    shards = [{f"v{n}": random("float32", (n, 3), n)} for n in range(5)]
    prefix = tfwrite.save_shards(tmp_path / "model.ckpt-7", shards)
    checkpoint = open_checkpoint(prefix)
    checkpoint.check_files()
    for n, shard in enumerate(shards):
        assert_same(checkpoint.get_tensor(f"v{n}"), shard[f"v{n}"])
    assert {info.extents[0].path.name for info in checkpoint.tensors.values()} == {
        f"model.ckpt-7.data-{n:05d}-of-00005" for n in range(5)
    }


def test_nine_thousand_long_names(tmp_path):
    names = [f"{'long_scope_name/' * 8}layer_{n % 97}/part_{n:05d}/kernel" for n in range(9_000)]
    prefix = tfwrite.save(tmp_path / "model.ckpt", {name: np.float32(n) for n, name in enumerate(names)})
    assert Path(f"{prefix}.index").stat().st_size > 262_144, "one block holds it all: this tests nothing"
    checkpoint = open_checkpoint(prefix)
    assert checkpoint.keys() == sorted(names)
    assert [float(checkpoint.get_tensor(name)) for name in names[::777]] == list(range(9_000))[::777]


@pytest.mark.parametrize("shape", [(40, 6), (4, 10, 3), (1000,)])
def test_partitioned_variables_are_joined(tmp_path, shape):
    tf = tfwrite.tensorflow()
    expected = random("float32", shape)
    with tf.Graph().as_default():
        tf.compat.v1.get_variable(
            "table",
            initializer=tf.constant(expected),
            partitioner=tf.compat.v1.fixed_size_partitioner(3, axis=len(shape) - 1),
            use_resource=False,
        )
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            tf.compat.v1.train.Saver(sharded=True).save(session, str(tmp_path / "model.ckpt"))
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.keys() == ["table"]
    assert checkpoint.tensors["table"].shape == shape
    assert len(checkpoint.tensors["table"].extents) == 3
    assert_same(checkpoint.get_tensor("table"), tfwrite.read(checkpoint.path)["table"])


SLICES = {
    "two axes": ["300 6 0,70:0,2", "300 6 0,70:2,4", "300 6 70,230:0,2", "300 6 70,230:2,4"],
    "the second axis": ["300 6 -:0,2", "300 6 -:2,4"],
    "steps of every width": ["300 6 0,1:-", "300 6 1,63:-", "300 6 64,64:-", "300 6 128,172:-"],
}


@pytest.mark.parametrize("specifications", SLICES.values(), ids=SLICES)
def test_slices_of_any_shape(tmp_path, specifications):
    whole = random("int64", (300, 6))
    rows = []
    for specification in specifications:
        spans = [part.split(",") for part in specification.split()[2].split(":")]
        index = tuple(slice(None) if s == ["-"] else slice(int(s[0]), int(s[0]) + int(s[1])) for s in spans)
        rows.append(("w", specification, whole[index]))
    tfwrite.save(tmp_path / "m", {"other": np.float32(1)}, rows)
    assert_same(open_checkpoint(tmp_path / "m").get_tensor("w"), whole)


def test_slices_of_large_sizes(tmp_path):
    """Keys of slices hold numbers of up to 10 bytes."""
    size = 3_000_000
    whole = random("int8", (size,))
    cuts = [0, 8191, 8192, 1_048_575, 1_048_576, size]
    rows = [("w", f"{size} {at},{end - at}", whole[at:end]) for at, end in pairwise(cuts)]
    tfwrite.save(tmp_path / "m", {}, rows)
    assert_same(open_checkpoint(tmp_path / "m").get_tensor("w"), whole)


@pytest.mark.parametrize(
    "rows",
    [
        [(0, 10), (10, 20)],  # the end is missing
        [(0, 15), (10, 40)],  # an overlap
        [(0, 10), (10, 20), (15, 25), (30, 40)],  # as many rows as there are, some twice and some missing
    ],
)
def test_slices_that_do_not_fill_the_whole_are_refused(tmp_path, rows):
    tfwrite.save(tmp_path / "m", {}, [("w", f"40 2 {a},{b - a}:-", np.zeros((b - a, 2), np.float32)) for a, b in rows])
    with pytest.raises(CheckpointError, match=r"w: its \d slices do not fill \[40, 2\] without gaps or overlaps"):
        open_checkpoint(tmp_path / "m")


def test_a_missing_slice_is_refused(tmp_path):
    prefix = tfwrite.save(tmp_path / "m", {}, [("w", f"4 {at},2", np.zeros(2, np.float32)) for at in (0, 2)])
    header, first, *rest = tfwrite.index_entries(prefix)
    tfwrite.write_index(prefix, [header, *rest])
    with pytest.raises(CheckpointError, match=r"w: its slice \[0:2\] is missing"):
        open_checkpoint(prefix)
    tfwrite.write_index(prefix, [header, first, *rest[:-1]])
    with pytest.raises(CheckpointError, match="2 slices that belong to no tensor"):
        open_checkpoint(prefix)


def test_tiling():
    """A pinwheel fills a square without one cut going through; the same with a part moved has a gap and an overlap."""
    pinwheel = [((0, 0), (2, 1)), ((0, 1), (1, 2)), ((1, 2), (2, 1)), ((2, 0), (1, 2)), ((1, 1), (1, 1))]
    assert tile((3, 3), [Block(*part) for part in pinwheel])
    assert not tile((3, 3), [Block(*part) for part in [*pinwheel[:-1], ((0, 0), (1, 1))]])


def test_object_graph_checkpoint(tmp_path):
    tf = tfwrite.tensorflow()
    layer = tf.Variable(random("float32", (3, 4)), name="kernel")
    path = tf.train.Checkpoint(model=tf.train.Checkpoint(kernel=layer)).save(str(tmp_path / "ckpt"))
    checkpoint = open_checkpoint(tmp_path)
    assert str(checkpoint.path) == path
    assert_same(checkpoint.get_tensor("model/kernel/.ATTRIBUTES/VARIABLE_VALUE"), layer.numpy())
    graph = checkpoint.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")[()]
    assert graph == tf.train.load_checkpoint(path).get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
    assert b"kernel" in graph


def test_snappy_index(many, tmp_path):
    prefix, tensors = many
    copy = tmp_path / prefix.name
    Path(f"{copy}.data-00000-of-00001").write_bytes(Path(f"{prefix}.data-00000-of-00001").read_bytes())
    tfwrite.write_index(copy, tfwrite.index_entries(prefix), snappy=True, block_size=700)
    assert Path(f"{copy}.index").stat().st_size < Path(f"{prefix}.index").stat().st_size
    assert_same(tfwrite.read(copy)["float32/2"], tensors["float32/2"])  # TensorFlow takes the helper's table for sound
    assert open_checkpoint(copy).keys() == open_checkpoint(prefix).keys()
    assert_same(open_checkpoint(copy).get_tensor("int64/2"), tensors["int64/2"])


def test_big_endian(tmp_path):
    widths = {
        "float32": 4,
        "float64": 8,
        "complex64": 4,
        "complex128": 8,
        "int8": 1,
        "bfloat16": 2,
        "uint16": 2,
        "bool": 1,
    }
    tensors = {dtype: random(dtype, (2, 3)) for dtype in widths}
    prefix = tfwrite.save(tmp_path / "m", tensors)
    tfwrite.big_endian(prefix, widths)
    assert_same(tfwrite.read(prefix)["complex64"], tensors["complex64"])  # TensorFlow takes it for what it should be
    checkpoint = open_checkpoint(prefix)
    assert all(info.big_endian for info in checkpoint.tensors.values())
    for dtype, expected in tensors.items():
        assert_same(checkpoint.get_tensor(dtype), expected)


def test_checksums(tmp_path):
    prefix = tfwrite.save(tmp_path / "m", {"a/kernel": np.arange(64, dtype=np.float32), "b": np.float32(2)})
    shard = Path(f"{prefix}.data-00000-of-00001")
    data = bytearray(shard.read_bytes())
    data[100] ^= 4
    shard.write_bytes(data)
    checkpoint = open_checkpoint(prefix)
    assert checkpoint.get_tensor("b") == 2
    with pytest.raises(
        CheckpointError, match=r"a/kernel is damaged: its 256 bytes at byte 0 of .* have CRC-32C"
    ) as error:
        checkpoint.get_tensor("a/kernel")
    assert error.value.path == shard
    assert "pass verify=False" in str(error.value)
    assert checkpoint.get_tensor("a/kernel", verify=False).shape == (64,)


def test_missing_and_short_shards(tmp_path):
    prefix = tfwrite.save_shards(tmp_path / "m", [{f"v{n}": random("float32", (10,), n)} for n in range(3)])
    shards = [Path(f"{prefix}.data-0000{n}-of-00003") for n in range(3)]
    shards[0].unlink()
    shards[1].write_bytes(shards[1].read_bytes()[:-1])
    checkpoint = open_checkpoint(prefix)  # the index is enough to look at it
    with pytest.raises(
        CheckpointError,
        match=r"m is incomplete: m\.data-00000-of-00003 is missing; m\.data-00001-of-00003 has 39 bytes of at least 40",
    ):
        checkpoint.check_files()
    with pytest.raises(CheckpointError, match="No such file"):
        checkpoint.get_tensor("v0")
    with pytest.raises(CheckpointError, match=r"v1 ends at byte 40 of .* which has 39"):
        checkpoint.get_tensor("v1")
    assert checkpoint.get_tensor("v2").shape == (10,)


def test_a_shard_that_is_a_git_lfs_pointer(tmp_path):
    prefix = tfwrite.save(tmp_path / "m", {"w": np.zeros(1000, np.float32)})
    Path(f"{prefix}.data-00000-of-00001").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(CheckpointError, match=r"is a Git LFS pointer, not the file itself\n.*git lfs pull"):
        open_checkpoint(prefix).check_files()


def test_unknown_names_are_answered_with_the_nearest(many):
    with pytest.raises(CheckpointError, match='has no tensor "float32/4"') as error:
        open_checkpoint(many[0]).get_tensor("float32/4")
    assert "float32/2" in str(error.value.hint)


def test_it_behaves_like_a_collection(many):
    prefix, tensors = many
    with open_checkpoint(prefix) as checkpoint:
        assert len(checkpoint) == len(tensors)
        assert "bool/0" in checkpoint
        assert "no" not in checkpoint
        assert list(checkpoint) == checkpoint.keys()
        assert repr(checkpoint) == f"<TensorBundle V2 '{prefix}': {len(tensors)} tensors>"
        assert isinstance(checkpoint.tensors["bool/0"], TensorInfo)
        assert (checkpoint.metadata, checkpoint.notes) == ({}, ())
        assert checkpoint.nbytes == sum(array.nbytes for array in tensors.values())
        assert (checkpoint.directory, checkpoint.graph_path) == (prefix.parent, None)


def test_published_checkpoints(samples):
    """What other people's code wrote: compressed indexes, two shards, indexes without data."""
    read = 0
    for index in sorted((samples / "real").rglob("*.index")):
        folder = next(parent for parent in index.parents if parent.parent.name == "real")
        checkpoint = open_checkpoint(index)
        assert len(checkpoint) > 0
        if not (folder / "tf_expected.json").exists():
            with pytest.raises(CheckpointError, match=r"is incomplete: variables.data-00000-of-00001 is missing"):
                checkpoint.check_files()
            continue
        checkpoint.check_files()
        expected = json.loads((folder / "tf_expected.json").read_text())
        assert set(checkpoint) == set(expected)
        for name, about in expected.items():
            info = checkpoint.tensors[name]
            assert (info.dtype, list(info.shape)) == (about["dtype"], about["shape"])
            array = checkpoint.get_tensor(name)
            # The expected hashes take a string with its length before it.
            data = len(array[()]).to_bytes(8, "little") + array[()] if info.dtype == "string" else array.tobytes()
            assert hashlib.sha256(data).hexdigest() == about["sha256"]
            read += 1
    assert read > 500

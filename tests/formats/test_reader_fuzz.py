"""Damaged and hostile checkpoints: a CheckpointError, never another exception, a hang, or memory beyond the file's.

Half of the mutations are made behind the checksums, which are computed again, so that they reach the parsers.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from time import process_time

import cramjam
import numpy as np
import pytest
import tfwrite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.huggingface.safetensors import Safetensors
from bridgeckpt.formats.tensorflow import wire
from bridgeckpt.formats.tensorflow.bundle import TensorBundle
from bridgeckpt.formats.tensorflow.sstable import entries
from bridgeckpt.formats.tensorflow.wire import BYTES, FIXED32, VARINT, tag

pytestmark = pytest.mark.slow

FUZZ = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
HUGE = [0, 1, 127, 128, 2**31 - 1, 2**31, 2**32, 2**56, 2**63 - 16, 2**63 - 1, 2**63, 2**64 - 1]
MEMORY = 40  # times the size of the files: records of Python objects are larger than their bytes
TIME = 2.0  # seconds; an opened file of this size takes 5 ms


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbers, strings, empty tensors and slices, in several blocks."""
    generator = np.random.default_rng(0)
    tensors = {f"layer_{n}/kernel": generator.standard_normal((n, 3)).astype("f") for n in range(8)}
    tensors |= {"text": np.array([b"one", b"", b"three" * 9], object), "scalar": np.int64(3), "on": np.array(True)}
    slices = [("parts", f"6 4 {at},3:-", generator.standard_normal((3, 4)).astype("f")) for at in (0, 3)]
    prefix = tfwrite.save(tmp_path_factory.mktemp("fuzz") / "m", tensors, slices)
    tfwrite.write_index(prefix, tfwrite.index_entries(prefix), block_size=200)
    return prefix


@st.composite
def damage(draw: st.DrawFn, data: bytes) -> bytes:
    """A few bytes of ``data`` changed, removed, doubled, cut off, or replaced by a huge number."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["flip", "set", "insert", "remove", "cut", "double", "number"]))
        if kind == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
        elif kind == "set" and at < len(data):
            data = data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
        elif kind == "insert":
            data = data[:at] + draw(st.binary(max_size=12)) + data[at:]
        elif kind == "remove":
            data = data[:at] + data[at + draw(st.integers(1, 12)) :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "double":
            data = data[:at] + data[at : at + draw(st.integers(1, 64))] + data[at:]
        elif kind == "number":
            data = data[:at] + tfwrite.varint(draw(st.sampled_from(HUGE))) + data[at + draw(st.integers(0, 2)) :]
    return data


def read_all(path: Path) -> int:
    """Read whatever can be read, within bounds; the number of tensors that could."""
    size = sum(file.stat().st_size for file in path.parent.iterdir())
    started, read = process_time(), 0
    tracemalloc.start()
    try:
        with open_checkpoint(path) as checkpoint:
            repr(checkpoint.tensors)
            for name in checkpoint:
                for verify in (True, False):
                    try:
                        array = checkpoint.get_tensor(name, verify=verify)
                    except CheckpointError as error:
                        assert str(error)
                    else:
                        assert array.shape == checkpoint.tensors[name].shape
                        read += 1
            checkpoint.check_files()
    except CheckpointError as error:
        assert str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MEMORY * size + 1_000_000
    assert process_time() - started < TIME
    return read


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    for part in bundle.parent.iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    read_all(tmp_path / "m")  # whatever numpy and the others import is not the reader's memory
    return tmp_path / "m"


def test_the_undamaged_bundle_is_read(copy):
    assert read_all(copy) == 24


@FUZZ
@given(data=st.data())
def test_damaged_index(copy, bundle, data):
    sound = Path(f"{bundle}.index").read_bytes()
    Path(f"{copy}.index").write_bytes(data.draw(damage(sound)))
    read_all(copy)


@FUZZ
@given(data=st.data())
def test_damaged_data(copy, bundle, data):
    name = "m.data-00000-of-00001"
    (copy.parent / name).write_bytes(data.draw(damage((bundle.parent / name).read_bytes())))
    read_all(copy)


@FUZZ
@given(data=st.data())
def test_damaged_entries_behind_the_checksums(copy, bundle, data):
    rows = tfwrite.index_entries(bundle)
    for _ in range(data.draw(st.integers(1, 3))):
        row = data.draw(st.integers(0, len(rows) - 1))
        key, value = rows[row]
        if data.draw(st.booleans()):
            rows[row] = (key, data.draw(damage(value)))
        else:
            rows[row] = (data.draw(damage(key)), value)
    tfwrite.write_index(copy, sorted(rows), snappy=data.draw(st.booleans()))
    read_all(copy)


@FUZZ
@given(data=st.data())
def test_huge_numbers_in_entries(copy, bundle, data):
    """Each field of an entry in turn: dtype, dimensions, shard, offset, size, slices."""
    rows = tfwrite.index_entries(bundle)
    row = data.draw(st.integers(0, len(rows) - 1))
    key, value = rows[row]
    number = data.draw(st.sampled_from(HUGE))
    field = data.draw(st.integers(1, 7))
    dim = tfwrite.message((tag(1, VARINT), number))
    added = {2: dim, 7: tfwrite.message((tag(1, BYTES), dim + tfwrite.message((tag(2, VARINT), number))))}
    value += tfwrite.message((tag(field, BYTES), added[field]) if field in added else (tag(field, VARINT), number))
    rows[row] = (key, value)
    tfwrite.write_index(copy, rows)
    read_all(copy)


@FUZZ
@given(data=st.data())
def test_damaged_blocks_behind_the_checksums(copy, bundle, data):
    snappy = data.draw(st.booleans())
    rows = tfwrite.index_entries(bundle)
    edit = lambda block: data.draw(damage(block)) if data.draw(st.integers(0, 3)) == 0 else block  # noqa: E731
    tfwrite.write_index(copy, rows, snappy=snappy, block_size=300, edit=edit)
    read_all(copy)


@FUZZ
@given(data=st.data())
def test_damaged_safetensors(tmp_path, data):
    header = b'{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},' \
             b'"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}  '  # fmt: skip
    header = data.draw(damage(header)) if data.draw(st.booleans()) else header
    content = len(header).to_bytes(8, "little") + header + bytes(32)
    path = tmp_path / "model.safetensors"
    path.write_bytes(data.draw(damage(content)) if data.draw(st.booleans()) else content)
    read_all(path)


@pytest.fixture(scope="module")
def frozen() -> bytes:
    """A frozen graph of three weights."""
    tf = tfwrite.tensorflow()
    graph = tf.compat.v1.GraphDef()
    for number in range(3):
        node = graph.node.add(name=f"layer/w{number}", op="Const")
        node.attr["dtype"].type = 1
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.arange(6.0, dtype="f").reshape(2, 3)))
        graph.node.add(name=f"layer/w{number}/read", op="Identity", input=[node.name])
    content: bytes = graph.SerializeToString()
    return content


@FUZZ
@given(data=st.data())
def test_damaged_frozen_graphs(frozen, tmp_path, data):
    (tmp_path / "graph.pb").write_bytes(frozen)
    assert read_all(tmp_path / "graph.pb") == 2 * 3
    (tmp_path / "graph.pb").write_bytes(data.draw(damage(frozen)))
    read_all(tmp_path / "graph.pb")


@FUZZ
@given(st.binary(max_size=200))
def test_messages_of_any_bytes(content):
    try:
        for key, number, payload in wire.fields(content):
            assert key >= 0
            assert 0 <= number < 2**64
            assert len(payload) < len(content)
    except wire.WireError:
        pass


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_numbers_round_trip(values):
    packed = b"".join(map(tfwrite.varint, values))
    assert list(wire.numbers(packed)) == values
    for value in values:
        with pytest.raises(wire.WireError):
            wire.varint(tfwrite.varint(value)[:-1], 0)


def test_numbers_of_more_than_64_bits():
    wire.varint(b"\xff" * 9 + b"\1", 0)
    for content in (b"\xff" * 9 + b"\2", b"\x80" * 10 + b"\0", b"\xff" * 1000):
        with pytest.raises(wire.WireError):
            wire.varint(content, 0)


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(path)
    return str(error.value)


HEADER = tfwrite.message((tag(1, VARINT), 1))


def entry(*dims: int, dtype: int = 1, size: int = 0, shard: int = 0, offset: int = 0) -> bytes:
    shape = b"".join(tfwrite.message((tag(2, BYTES), tfwrite.message((tag(1, VARINT), dim)))) for dim in dims)
    return tfwrite.message(
        (tag(1, VARINT), dtype),
        (tag(2, BYTES), shape),
        (tag(3, VARINT), shard),
        (tag(4, VARINT), offset),
        (tag(5, VARINT), size),
        (tag(6, FIXED32), 0),
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (entry(4, size=15), r"w: it has 15 bytes, and float32 \[4\] takes 16"),
        (entry(2**62, size=0), "no array has the shape"),
        (entry(0, 2**60, 2**60, size=0), "no array has the shape"),
        (entry(2**64 - 1, size=0), r"no array has the shape \[-1\]"),
        (entry(*[1] * 33, size=4), "no array has the shape"),
        (entry(size=4, dtype=99), "w: it has dtype number 99, which TensorFlow up to 2.21 does not have"),
        (entry(size=4, dtype=0), "dtype number 0"),
        (entry(size=4, shard=1), "w: it lies in shard 1 of 1, counted from 0"),
        (entry(size=4, shard=2**64 - 1), "it lies in shard"),
    ],
)
def test_impossible_entries(tmp_path, value, message):
    tfwrite.write_index(tmp_path / "m", [(b"", HEADER), (b"w", value)])
    with pytest.raises(CheckpointError, match=message):
        TensorBundle(tmp_path / "m")


@pytest.mark.parametrize("offset", [8, 2**63 - 16, 2**64 - 1])
def test_places_beyond_the_file(tmp_path, offset):
    tfwrite.write_index(tmp_path / "m", [(b"", HEADER), (b"w", entry(4, size=16, offset=offset))])
    (tmp_path / "m.data-00000-of-00001").write_bytes(bytes(16))
    checkpoint = open_checkpoint(tmp_path / "m")
    with pytest.raises(CheckpointError, match=f"w ends at byte {offset + 16:,} of .*, which has 16"):
        checkpoint.get_tensor("w")
    with pytest.raises(CheckpointError, match=f"has 16 bytes of at least {offset + 16:,}"):
        checkpoint.check_files()


def test_a_large_tensor_in_a_small_file_takes_no_memory(tmp_path):
    tfwrite.write_index(tmp_path / "m", [(b"", HEADER), (b"w", entry(2**40, size=2**42))])
    (tmp_path / "m.data-00000-of-00001").write_bytes(bytes(16))
    assert read_all(tmp_path / "m") == 0


@pytest.mark.parametrize("header", [b"", HEADER + b"\x10\x02", HEADER + tfwrite.message((tag(3, BYTES), b"\x10\x02"))])
def test_headers_from_elsewhere(tmp_path, header):
    """No shards, no byte order that is known, a version that is newer."""
    tfwrite.write_index(tmp_path / "m", [(b"", header), (b"w", entry(size=4))])
    assert refused(tmp_path / "m")


def test_an_index_without_a_header(tmp_path):
    tfwrite.write_index(tmp_path / "m", [(b"w", entry(size=4))])
    assert "the header: it is missing" in refused(tmp_path / "m")


def test_a_block_with_another_checksum(bundle, copy):
    data = bytearray(Path(f"{copy}.index").read_bytes())
    data[3] ^= 1
    Path(f"{copy}.index").write_bytes(data)
    assert "the block at byte 0 has checksum" in refused(copy)


@pytest.mark.parametrize("length", [10_000_000_000, 100_000])
def test_snappy_that_promises_too_much(tmp_path, length):
    """A block of a few bytes does not get the memory that it asks for."""
    path = tmp_path / "m.index"
    sound = bytes(cramjam.snappy.compress_raw(b"x" * 50))
    path.write_bytes(with_block(tfwrite.varint(length) + sound[1:], b"\1"))
    with pytest.raises(CheckpointError, match=f"claims {length:,} bytes in"):
        list(entries(path))
    path.write_bytes(with_block(sound[:-1], b"\1"))
    with pytest.raises(CheckpointError, match="is not valid Snappy"):
        list(entries(path))
    path.write_bytes(with_block(sound, b"\2"))
    with pytest.raises(CheckpointError, match="unknown compression 2"):
        list(entries(path))


def with_block(block: bytes, compression: bytes) -> bytes:
    """A table whose index block is ``block``."""
    handle = tfwrite.varint(0) + tfwrite.varint(len(block))
    trailer = compression + tfwrite.checksum(block + compression)
    return block + trailer + (handle * 2).ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def test_keys_that_unfold_without_end(tmp_path):
    """Each entry of six bytes repeats a key of 60,000: the keys would take thousands of times their file."""
    block = tfwrite.varint(0) + tfwrite.varint(60_000) + b"\0" + b"k" * 60_000
    for number in range(20_000):  # each key is the one before and one byte more
        block += tfwrite.varint(60_000 + number) + b"\1\0x"
    content = block + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")
    rows = [(b"x", tfwrite.varint(0) + tfwrite.varint(len(content)))]
    path = tmp_path / "m.index"
    path.write_bytes(nested(content, rows))
    with pytest.raises(CheckpointError, match="an entry of a block claims 6"):
        list(entries(path))


def test_a_block_listed_many_times(tmp_path):
    """An index that points at one empty block again and again would be read for hours."""
    content = bytes(100_000) + (25_000).to_bytes(4, "little")
    handle = tfwrite.varint(0) + tfwrite.varint(len(content))
    path = tmp_path / "m.index"
    path.write_bytes(nested(content, [(f"{n:06d}".encode(), handle) for n in range(10_000)]))
    with pytest.raises(CheckpointError, match="the block at byte 0 overlaps the one before"):
        list(entries(path))


def nested(content: bytes, index: list[tuple[bytes, bytes]]) -> bytes:
    """A table of one data block as it is, and an index block of ``index``."""
    written = content + b"\0" + tfwrite.checksum(content + b"\0")
    block = tfwrite.block_of(index)
    handle = tfwrite.varint(len(written)) + tfwrite.varint(len(block))
    written += block + b"\0" + tfwrite.checksum(block + b"\0")
    return written + (handle * 2).ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def test_parts_that_share_their_bytes(tmp_path):
    """A hundred slices of one small file do not make a tensor of a hundred times its size."""
    count, size = 100, 4096
    prefix = tfwrite.save(
        tmp_path / "m",
        {},
        [("w", f"{count * size} {at * size},{size}", np.zeros(size, np.int8)) for at in range(count)],
    )
    rows = tfwrite.index_entries(prefix)
    rows = [(key, value + tfwrite.message((tag(4, VARINT), 0)) if key[:1] == b"\0" else value) for key, value in rows]
    tfwrite.write_index(prefix, rows)
    (tmp_path / "m.data-00000-of-00001").write_bytes(bytes(size))
    checkpoint = open_checkpoint(prefix)
    with pytest.raises(CheckpointError, match="its parts overlap"):
        checkpoint.get_tensor("w", verify=False)


def test_a_reader_survives_a_file_that_shrinks(tmp_path):
    path = tmp_path / "model.safetensors"
    header = b'{"a":{"dtype":"U8","shape":[90000],"data_offsets":[0,90000]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(90_000))
    checkpoint = Safetensors(path)
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="a ends at byte"):
        checkpoint.get_tensor("a")

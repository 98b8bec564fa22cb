"""V1 checkpoints, written by real TensorFlow: one file, shards, slices, every dtype; damage; and a whole BERT."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tfwrite import read, tensorflow

import bridgeckpt
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.locating.registry import FORMATS
from bridgeckpt.formats.locating.tensorflow_files import V1_CHECKPOINT

pytestmark = pytest.mark.slow

RANDOM = np.random.default_rng(0)
TENSORS = {
    "float32": RANDOM.standard_normal((7, 5)).astype(np.float32),
    "float64": RANDOM.standard_normal((3, 2, 2)),
    "int32": np.array([[0, 1, -1], [2**31 - 1, -(2**31), 7]], np.int32),
    "int64": np.array([0, -1, 2**63 - 1, -(2**63)]),
    "uint8": np.arange(256, dtype=np.uint8),
    "int8": np.arange(-128, 128).astype(np.int8),
    "int16": np.array([-(2**15), 2**15 - 1, 0], np.int16),
    "bool": np.array([[True, False], [False, True]]),
    "complex64": np.array([1 + 2j, -3.5j], np.complex64),
    "float16": np.array([0.5, -2, np.inf, 6e-8], np.float16),
    "scalar": np.float32(3.25),
    "step": np.int64(300),
    "empty": np.zeros((0, 4), np.float32),
    "zeros": np.zeros((300, 100), np.float32),  # which Snappy compresses
}


def write(path: Path, tensors=TENSORS, slices=()):
    """One V1 table, of whole tensors and of slices as (name, "7 5 0,3:-", value)."""
    tf = tensorflow()
    rows = [(name, "", value) for name, value in tensors.items()] + list(slices)
    names, specifications, values = (list(column) for column in zip(*rows, strict=True))
    data = [tf.convert_to_tensor(value) for value in values]
    tf.raw_ops.SaveSlices(filename=str(path), tensor_names=names, shapes_and_slices=specifications, data=data)
    return path


def check(checkpoint, expected):
    assert set(checkpoint.tensors) == set(expected)
    for name, values in expected.items():
        found = checkpoint.get_tensor(name)
        assert (found.dtype, found.shape) == (values.dtype, values.shape), name
        assert found.tobytes() == values.tobytes(), name


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write(tmp_path_factory.mktemp("v1") / "model.ckpt")


def test_every_dtype_is_read_as_tensorflow_reads_it(written):
    assert FORMATS.identify(written) is V1_CHECKPOINT
    with open_checkpoint(written) as checkpoint:
        assert checkpoint.format == "TensorFlow V1"
        check(checkpoint, {name: np.asarray(value) for name, value in TENSORS.items()})
    unread = {"complex64", "float16"}  # TensorFlow writes them, and cannot read them back
    kept = {name: value for name, value in TENSORS.items() if name not in unread}
    path = write(written.with_name("kept"), kept)
    check(open_checkpoint(path), read(path))


def test_nothing_is_decoded_until_it_is_needed(written):
    checkpoint = open_checkpoint(written)
    spool = next(extent.path for extent in checkpoint.tensors["float32"].extents)
    assert not spool.exists()
    checkpoint.check_files()
    assert spool.stat().st_size >= checkpoint.nbytes
    del checkpoint
    assert not spool.exists()


def test_slices_are_put_together(tmp_path):
    whole = TENSORS["float32"]
    slices = [("w", "7 5 0,3:-", whole[:3]), ("w", "7 5 3,4:0,2", whole[3:, :2]), ("w", "7 5 3,4:2,3", whole[3:, 2:])]
    path = write(tmp_path / "model.ckpt", {"b": np.float32([1])}, slices)
    check(open_checkpoint(path), {"w": whole, "b": np.float32([1])})


def test_shards_are_one_checkpoint_by_every_path(tmp_path):
    whole = TENSORS["float32"]
    write(tmp_path / "export-00000-of-00002", {"a": np.float32([1, 2])}, [("w", "7 5 0,3:-", whole[:3])])
    write(tmp_path / "export-00001-of-00002", {"c": np.int32([3])}, [("w", "7 5 3,4:-", whole[3:])])
    expected = {"a": np.float32([1, 2]), "c": np.int32([3]), "w": whole}
    for path in ("export", "export-00000-of-00002", "export-00001-of-00002", ""):
        check(open_checkpoint(tmp_path / path), expected)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/another/machine/export-?????-of-00002"\n')
    check(open_checkpoint(tmp_path), expected)
    (tmp_path / "export-00001-of-00002").unlink()
    with pytest.raises(bridgeckpt.CheckpointError, match="export-00001-of-00002 of its 2 shards are missing"):
        open_checkpoint(tmp_path / "export")


def test_shards_that_contradict_one_another_are_refused(tmp_path):
    write(tmp_path / "m-00000-of-00002", {"a": np.float32([1, 2])})
    write(tmp_path / "m-00001-of-00002", {"a": np.float32([1, 2, 3])})
    with pytest.raises(bridgeckpt.CheckpointError, match="something else in another shard"):
        open_checkpoint(tmp_path / "m")


def test_slices_with_a_gap_are_refused(tmp_path):
    path = write(tmp_path / "m", {}, [("w", "7 5 0,3:-", TENSORS["float32"][:3])])
    with pytest.raises(bridgeckpt.CheckpointError, match="the 1 slices of w do not fill"):
        open_checkpoint(path)


def test_the_state_file_and_the_graph_beside_it(tmp_path):
    write(tmp_path / "model.ckpt-3")
    write(tmp_path / "model.ckpt-20")
    (tmp_path / "model.ckpt-20.meta").write_bytes(b"")
    assert open_checkpoint(tmp_path).path.name == "model.ckpt-20"
    assert open_checkpoint(tmp_path / "model.ckpt-20.meta").graph_path == tmp_path / "model.ckpt-20.meta"
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-3"\n')
    assert open_checkpoint(tmp_path).path.name == "model.ckpt-3"


@pytest.mark.parametrize("name", ["v1-softmax-1000", "serving-v1-sharded"])
def test_published_checkpoints(name, samples):
    folder = samples / "real" / name
    expected = json.loads((folder / "tf_expected.json").read_text())
    checkpoint = open_checkpoint(folder)
    assert set(checkpoint.tensors) == set(expected)
    for tensor, facts in expected.items():
        assert hashlib.sha256(checkpoint.get_tensor(tensor).tobytes()).hexdigest() == facts["sha256"]


# Damage


def test_a_file_that_was_cut_short(written, tmp_path):
    path = tmp_path / "cut"
    data = written.read_bytes()
    for size in (len(data) // 2, len(data) - 1, 100, 1):
        path.write_bytes(data[:size])
        with pytest.raises(bridgeckpt.CheckpointError):
            open_checkpoint(path).check_files()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 1 << 30), flip=st.integers(1, 255))
def test_flipped_bytes_are_never_anything_but_refused(written, tmp_path_factory, at, flip):
    data = bytearray(written.read_bytes())
    data[at % len(data)] ^= flip
    path = written.with_name("flipped")
    path.write_bytes(data)
    try:
        with open_checkpoint(path) as checkpoint:
            checkpoint.check_files()
    except bridgeckpt.CheckpointError:
        return
    check(checkpoint, {name: np.asarray(value) for name, value in TENSORS.items()})  # a byte that means nothing


# A whole BERT


@pytest.fixture
def pair(built, tmp_path):
    """One BERT as TensorFlow's V2 and V1, with its graph and files."""
    made = built(head="pretraining", slots="adamw")
    folder = tmp_path / "v1"
    folder.mkdir()
    write(folder / "bert_model.ckpt", read(made.prefix))
    for name in ("bert_config.json", "vocab.txt", "bert_model.ckpt.meta"):
        (folder / name).write_bytes((made.directory / name).read_bytes())
    return made.directory, folder


def test_a_bert_converts_to_the_same_bytes(pair, tmp_path):
    for kind, folder in zip(("v2", "v1"), pair, strict=True):
        bridgeckpt.convert(folder, tmp_path / f"{kind}-out")
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (tmp_path / "v1-out" / name).read_bytes() == (tmp_path / "v2-out" / name).read_bytes()
    assert bridgeckpt.diff(*pair).same


def test_a_bert_is_proven(pair, tmp_path):
    bridgeckpt.convert(pair[1], tmp_path / "out")
    verdict = bridgeckpt.verify(pair[1], tmp_path / "out", device="cpu")
    assert verdict.passed

"""Safetensors, read and planned, against the safetensors library and huggingface_hub."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bridgeckpt.errors import CheckpointError, OutputError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.huggingface.safetensors_files import SafetensorsFile, index_json, plan_files

safetensors = pytest.importorskip("safetensors")
safetensors_numpy = pytest.importorskip("safetensors.numpy")

NUMPY = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    "float64",
]
TENSORS = {
    f"{dtype}.{len(shape)}": np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    for dtype in NUMPY
    for shape in [(), (3, 5), (4, 0, 2)]
}


def write(folder: Path, files: list[SafetensorsFile], tensors: dict[str, np.ndarray]) -> None:
    """What a writer does with a plan."""
    for file in files:
        with (folder / file.name).open("wb") as out:
            out.write(file.header)
            for name, offset in file.offsets.items():
                out.seek(offset)
                out.write(tensors[name].tobytes())
            out.truncate(file.size)


def described(tensors: dict[str, np.ndarray]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(name, str(array.dtype), array.shape) for name, array in tensors.items()]


def test_reads_what_the_library_writes(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors_numpy.save_file(TENSORS, path, metadata={"format": "np", "größe": "ü"})
    with open_checkpoint(path) as checkpoint:
        assert (checkpoint.format, checkpoint.metadata) == ("safetensors", {"format": "np", "größe": "ü"})
        assert set(checkpoint) == set(TENSORS)
        for name, expected in TENSORS.items():
            found = checkpoint.get_tensor(name)
            assert (found.dtype, found.shape, found.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())


@pytest.mark.slow
def test_reads_the_small_floats(tmp_path):
    torch = pytest.importorskip("torch")
    torch_files = pytest.importorskip("safetensors.torch")
    bits = torch.arange(256, dtype=torch.uint8)
    tensors = {
        "bfloat16": bits.view(torch.bfloat16),
        "float8_e4m3fn": bits.view(torch.float8_e4m3fn),
        "float8_e5m2": bits.view(torch.float8_e5m2),
        "complex64": bits.view(torch.complex64),
    }
    torch_files.save_file({name: tensor.clone() for name, tensor in tensors.items()}, tmp_path / "x.safetensors")
    checkpoint = open_checkpoint(tmp_path)
    for name in tensors:
        assert str(checkpoint.get_tensor(name).dtype) == name
        assert checkpoint.get_tensor(name).tobytes() == bytes(range(256))


def test_the_library_reads_what_is_planned(tmp_path):
    (file,) = plan_files(described(TENSORS), None, {"format": "pt", 'quote"': "\n"})
    assert file.name == "model.safetensors"
    write(tmp_path, [file], TENSORS)
    with safetensors.safe_open(tmp_path / file.name, framework="np") as opened:
        assert opened.metadata() == {"format": "pt", 'quote"': "\n"}
        for name, expected in TENSORS.items():
            assert opened.get_tensor(name).tobytes() == expected.tobytes()
    assert open_checkpoint(tmp_path).metadata == {"format": "pt", 'quote"': "\n"}


def test_tensors_are_aligned_and_otherwise_keep_their_order():
    (file,) = plan_files(described(TENSORS))
    assert len(file.header) % 8 == 0
    for name, offset in file.offsets.items():
        assert offset % TENSORS[name].itemsize == 0
    assert list(file.offsets) == sorted(TENSORS, key=lambda name: -TENSORS[name].itemsize)
    (plain,) = plan_files([("b", "float32", (2,)), ("a", "float32", (3,)), ("c", "float32", ())])
    assert list(plain.offsets) == ["b", "a", "c"]


@pytest.mark.parametrize("max_size", [1, 100, 250, 1000, 10_000])
def test_shards_are_those_of_huggingface_hub(tmp_path, max_size):
    hub = pytest.importorskip("huggingface_hub")
    generator = np.random.default_rng(max_size)
    tensors = {f"layer.{n}.w": np.full(generator.integers(0, 100), n, np.float32) for n in range(40)}
    split = hub.split_state_dict_into_shards_factory(
        tensors,
        get_storage_size=lambda array: array.nbytes,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=max_size,
    )
    files = plan_files(described(tensors), max_size, {"format": "pt"})
    assert {file.name: list(file.offsets) for file in files} == split.filename_to_tensors
    if split.is_sharded:
        assert json.loads(index_json(files)) == {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        (tmp_path / "model.safetensors.index.json").write_bytes(index_json(files))
    write(tmp_path, files, tensors)
    for path in [tmp_path, tmp_path / "model.safetensors.index.json"][: 1 + split.is_sharded]:
        checkpoint = open_checkpoint(path)
        checkpoint.check_files()
        assert set(checkpoint) == set(tensors)
        for name, expected in tensors.items():
            assert np.array_equal(checkpoint.get_tensor(name), expected)


def test_no_tensors(tmp_path):
    (file,) = plan_files([], 100)
    write(tmp_path, [file], {})
    assert safetensors_numpy.load_file(tmp_path / file.name) == {}
    assert open_checkpoint(tmp_path).keys() == []


def test_a_dtype_without_a_code_is_refused():
    with pytest.raises(OutputError, match="w is of dtype complex128, which safetensors cannot hold"):
        plan_files([("w", "complex128", (2,))])


def file_of(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
MALFORMED = {
    "header longer than the file": (b"\xff\xff\xff\xff\0\0\0\0{}", "claims a header of 4,294,967,295 bytes"),
    "not JSON": (file_of(b'{"a": '), "JSON is not readable"),
    "deep JSON": (file_of(b'{"a":' + b"[" * 200_000), "JSON is not readable"),
    "a long number": (file_of(b'{"a":' + b"9" * 10_000 + b"}"), "JSON is not readable"),
    "not an object": (file_of(b'{"a"}'), "JSON is not readable"),
    "half a character": (file_of(rb'{"\ud800": 1}'), "JSON is not readable"),
    "metadata that is no text": (file_of({"__metadata__": {"a": 1}}), "__metadata__ is not text"),
    "an entry that is none": (file_of({"w": [1]}), "entry for w is not a dtype"),
    "a negative size": (file_of({"w": {**F32, "shape": [-1]}}), "entry for w is not a dtype"),
    "a size that is a truth": (file_of({"w": {**F32, "shape": [True]}}, bytes(4)), "entry for w is not a dtype"),
    "an impossible shape": (
        file_of({"w": {**F32, "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}),
        "entry for w is not a dtype",
    ),
    "an unknown dtype": (file_of({"w": {**F32, "dtype": "F33"}}, bytes(4)), "w has the dtype F33"),
    "a size of its own": (file_of({"w": {**F32, "shape": [2]}}, bytes(4)), r"w has 4 bytes for F32 \[2\]"),
    "offsets before the data": (file_of({"w": {**F32, "data_offsets": [-4, 0]}}, bytes(4)), "begins at byte"),
    "a gap": (file_of({"w": {**F32, "data_offsets": [4, 8]}}, bytes(8)), "the data of w begins at byte"),
    "an overlap": (file_of({"v": F32, "w": F32}, bytes(4)), "begins at byte"),
    "a tail": (file_of({"w": F32}, bytes(5)), "its tensors end at byte"),
    "cut short": (file_of({"w": F32}, bytes(3)), "its tensors end at byte"),
}


@pytest.mark.parametrize(("content", "message"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_files(tmp_path, content, message):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as error:
        open_checkpoint(path)
    assert error.value.path == path


INDEXES = {
    "a file that is missing": ({"w": "gone.safetensors"}, "No such file"),
    "a file elsewhere": ({"w": "../model.safetensors"}, "which is not in its own folder"),
    "a tensor that is not there": ({"v": "a.safetensors"}, "v is in a.safetensors, which does not hold it"),
    "a tensor twice": ({"w": "a.safetensors", "x": "b.safetensors"}, "w is in b.safetensors and in another file"),
    "no names": ([], "no weight_map"),
    "no files": ({"w": 1}, "no weight_map"),
}


@pytest.mark.parametrize(("weight_map", "message"), INDEXES.values(), ids=INDEXES)
def test_malformed_indexes(tmp_path, weight_map, message):
    for name in ("a", "b"):
        (tmp_path / f"{name}.safetensors").write_bytes(file_of({"w": F32}, bytes(4)))
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path)

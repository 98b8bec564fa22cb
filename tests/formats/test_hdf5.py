"""HDF5 and Keras' files: what Keras 3 writes, what h5py writes in the layouts of Keras 2 and transformers, and damage.

Expected values come from Keras, h5py and, for the samples, from what TensorFlow and h5py read of them.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import zipfile
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import h5py
import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.hdf5 import file as hdf5
from bridgeckpt.store.checked_files import Sources

if TYPE_CHECKING:
    from bridgeckpt.formats.checkpoint import Checkpoint

RANDOM = np.random.default_rng(4)


def values(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return RANDOM.standard_normal(shape).astype("f4")


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(path).check_files()
    return f"{error.value.message}\n  hint: {error.value.hint}"


def same(checkpoint: Checkpoint, expected: dict[str, Any]) -> None:
    """The checkpoint holds these arrays bit for bit, through get_tensor and through its extents."""
    assert checkpoint.keys() == list(expected)
    checkpoint.check_files()
    with Sources() as sources:
        for name, value in expected.items():
            found, info = checkpoint.get_tensor(name), checkpoint.tensors[name]
            native = value.astype(value.dtype.newbyteorder("="))
            assert (found.dtype, found.shape) == (native.dtype, native.shape)
            assert found.tobytes() == native.tobytes()
            assert b"".join(sources.reader(info, whole=True).pieces()) == value.tobytes()
            assert info.big_endian == (value.dtype.byteorder == ">")


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return pytest.importorskip("keras")


@pytest.fixture(scope="module")
def model(keras: Any) -> Any:
    """Two dense layers around a normalization, with a custom name; weights as they are drawn."""
    inside = keras.Sequential([keras.layers.Dense(3, name="narrow"), keras.layers.LayerNormalization(name="norm")])
    inputs = keras.Input((5,))
    outputs = keras.layers.Dense(4, name="wide")(inside(inputs))
    made = keras.Model(inputs, outputs)
    made.set_weights([values(*weight.shape) for weight in made.weights])
    return made


def by_value(checkpoint: Checkpoint, weights: list[Any]) -> None:
    """Every weight of the model is in the checkpoint, once."""
    found = sorted(checkpoint.get_tensor(name).tobytes() for name in checkpoint)
    assert found == sorted(weight.tobytes() for weight in weights)


def test_weights_of_keras_3(model, tmp_path):
    path = tmp_path / "m.weights.h5"
    model.save_weights(path)
    checkpoint = open_checkpoint(path)
    by_value(checkpoint, model.get_weights())
    assert checkpoint.format == "Keras weights in HDF5 (.weights.h5)"
    assert checkpoint.get_tensor("layers/dense/vars/1").tobytes() == model.get_layer("wide").get_weights()[1].tobytes()
    assert checkpoint.variable_names == {}
    assert open_checkpoint(tmp_path).path == path


def test_shards_of_keras_3(model, tmp_path):
    model.save_weights(tmp_path / "m.weights.json", max_shard_size=7e-8)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.path == tmp_path / "m.weights.json"
    assert checkpoint.format == f"Keras weights in HDF5, {len(list(tmp_path.glob('*.h5')))} files"
    assert len(list(tmp_path.glob("*.h5"))) > 1
    by_value(checkpoint, model.get_weights())
    (tmp_path / "m_00001.weights.h5").unlink()
    assert "cannot read" in refusal(tmp_path / "m.weights.json")


@pytest.mark.slow
def test_an_archive_of_keras_3(model, keras, tmp_path):
    path = tmp_path / "m.keras"
    model.save(path)
    checkpoint = open_checkpoint(path)
    by_value(checkpoint, model.get_weights())
    assert checkpoint.format == f"Keras archive (Keras {keras.__version__})"
    assert json.loads(checkpoint.metadata["config.json"])["class_name"] == "Functional"
    assert {extent.path for info in checkpoint.tensors.values() for extent in info.extents} == {path}


def test_an_archive_that_was_packed_again(model, tmp_path):
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as source, zipfile.ZipFile(tmp_path / "again.keras", "w") as packed:
        for name in source.namelist():
            packed.writestr(name, source.read(name), zipfile.ZIP_DEFLATED)
    assert "holds its model.weights.h5 compressed" in refusal(tmp_path / "again.keras")
    assert "hint: unpack it first" in refusal(tmp_path / "again.keras")
    data = (tmp_path / "m.keras").read_bytes()
    start = data.rindex(b"PK\3\4")
    (tmp_path / "cut.keras").write_bytes(data[:start] + b"XX" + data[start + 2 :])
    assert "is not a valid .keras archive: there is no model.weights.h5 at byte" in refusal(tmp_path / "cut.keras")


@pytest.mark.slow
def test_a_whole_model_of_keras_in_one_file(model, keras, tmp_path):
    path = tmp_path / "m.h5"
    model.save(path)
    checkpoint = open_checkpoint(path)
    by_value(checkpoint, model.get_weights())
    assert checkpoint.format == f"whole Keras model in HDF5 (Keras {keras.__version__})"
    assert checkpoint.metadata["keras_version"] == keras.__version__
    assert json.loads(checkpoint.metadata["model_config"])["class_name"] == "Functional"
    with h5py.File(path) as file:
        layers = list(file["model_weights"].attrs["layer_names"])
        expected = [
            (f"{layer}/{name}", name) for layer in layers for name in file["model_weights"][layer].attrs["weight_names"]
        ]
    assert list(checkpoint.variable_names.items()) == expected
    assert checkpoint.keys() == [key for key, _ in expected]


@pytest.mark.slow
def test_bfloat16_as_keras_stores_it(keras, tmp_path):
    layer = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype="bfloat16")])
    layer.save_weights(tmp_path / "m.weights.h5")
    checkpoint = open_checkpoint(tmp_path / "m.weights.h5")
    assert {info.dtype for info in checkpoint.tensors.values()} == {"bfloat16"}
    by_value(checkpoint, layer.get_weights())


def test_bfloat16_as_a_float_of_hdf5(tmp_path):
    """As HDF5 2.0 describes it: the upper half of a float32."""
    number = h5py.h5t.IEEE_F32LE.copy()
    number.set_fields(15, 7, 8, 0, 7)
    number.set_precision(16)
    number.set_size(2)
    number.set_ebias(127)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        made = h5py.h5d.create(file.id, b"w", number, h5py.h5s.create_simple((3,)))
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([1, -2.5, 3e38], ml_dtypes.bfloat16).view("V2"), number)
    found = open_checkpoint(tmp_path / "m.h5").get_tensor("w")
    assert found.dtype == ml_dtypes.bfloat16
    assert found.astype("f4").tolist() == np.array([1, -2.5, 3e38], ml_dtypes.bfloat16).astype("f4").tolist()


def test_every_dtype_and_layout(tmp_path):
    path = tmp_path / "all.h5"
    base = RANDOM.integers(0, 2, (30, 7))
    stored = {dtype: base.astype(dtype) for dtype in ("?", "<f2", "<f4", "<f8", ">f4", ">i8", "i1", "u2", "<i4", "<c8")}
    stored["empty"] = np.zeros((0, 3), "f4")
    stored["scalar"] = np.array(7, "i8")
    layouts: dict[str, dict[str, Any]] = {
        "gzip": {"compression": "gzip", "chunks": (10, 4)},
        "shuffled": {"compression": "gzip", "shuffle": True, "chunks": (8, 7)},
        "plain chunks": {"chunks": (7, 3)},
        "growing": {"maxshape": (None, 7), "chunks": (64, 7)},
    }
    stored |= {name: values(30, 7) for name in layouts}
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in stored.items():
            file.create_dataset(name, data=value, **layouts.get(name, {}))
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_layout(h5py.h5d.COMPACT)
        stored["compact"] = values(3, 2)
        made = h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((3, 2)), creation)
        h5py.Dataset(made)[...] = stored["compact"]
    checkpoint = open_checkpoint(path)
    same(checkpoint, dict(sorted(stored.items())))
    assert checkpoint.format == "HDF5 without Keras' groups"


def test_what_is_no_array_of_numbers_is_listed_and_not_read(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["text"] = "hello"
        file["record"] = np.zeros(3, [("a", "f4"), ("b", "i4")])
        file["opaque"] = np.ones(2, ml_dtypes.bfloat16)  # without the attribute that says so
        file.create_dataset("odd", (2,), h5py.h5t.IEEE_F32LE.copy())
        odd = h5py.h5t.IEEE_F32LE.copy()
        odd.set_ebias(120)
        h5py.h5d.create(file.id, b"other float", odd, h5py.h5s.create_simple((0,)))
        file["odd"][...] = 1
        file["nothing"] = h5py.Empty("f4")
    checkpoint = open_checkpoint(tmp_path / "m.h5")
    kinds = {name: info.dtype for name, info in checkpoint.tensors.items()}
    assert kinds == {"nothing": "float32", "odd": "float32", "opaque": "opaque", "other float": "unusual float",
                     "record": "compound", "text": "text"}  # fmt: skip
    with pytest.raises(CheckpointError, match="text is of dtype text, which is not a dtype of numbers"):
        checkpoint.get_tensor("text")


def test_decoded_tensors_are_in_a_file_that_goes_with_the_checkpoint(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("w", data=values(9, 9), compression="gzip")
    checkpoint = open_checkpoint(tmp_path / "m.h5")
    spool = checkpoint.tensors["w"].extents[0].path
    assert not spool.exists()  # planning decodes nothing
    checkpoint.check_files()
    assert spool.stat().st_size >= 9 * 9 * 4
    view = checkpoint.by_variable()
    del checkpoint
    gc.collect()
    assert spool.exists()
    view.get_tensor("w")
    del view
    gc.collect()
    assert not spool.parent.exists()


def test_a_disk_without_room_for_decoded_tensors(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("w", data=values(9, 9), compression="gzip")
    checkpoint = open_checkpoint(tmp_path / "m.h5")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(CheckpointError, match="has room for 10") as error:
        checkpoint.check_files()
    assert "TMPDIR" in str(error.value.hint)


def legacy(path: Path, layers: dict[str, dict[str, Any]], **attributes: str) -> None:
    """A file in the layout of Keras 2: a group per layer, with the names of its weights in an attribute."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        file.attrs.update({"backend": "tensorflow", "keras_version": "2.4.0", **attributes})
        for layer, weights in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in weights]
            for name, value in weights.items():
                group.create_dataset(name, data=value)


@pytest.mark.slow
def test_the_layers_order_and_the_variables_names(tmp_path):
    weights = {f"{scope}/{name}:0": values(2, 3) for scope in "zy" for name in ("kernel", "bias")}
    shared = weights["z/kernel:0"]
    legacy(tmp_path / "m.h5", {"z": weights, "none": {}, "a": {"z/kernel:0": shared}})
    checkpoint = open_checkpoint(tmp_path)
    same(checkpoint, {**{f"z/{name}": value for name, value in weights.items()}, "a/z/kernel:0": shared})
    assert checkpoint.format == "Keras weights in HDF5 (Keras 2.4.0)"
    view = checkpoint.by_variable()
    assert list(view.tensors) == [*weights, "a/z/kernel:0"]
    assert view.copies == {"a/z/kernel:0": "z/kernel:0"}


def test_names_in_several_attributes(tmp_path):
    """Keras divides a list that is too long for one attribute."""
    names = [f"layer/{number:03d}:0" for number in range(9)]
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["layer_names0"], file.attrs["layer_names1"] = ["layer"], ["other"]
        file.create_group("other").attrs["weight_names"] = np.zeros(0)
        group = file.create_group("layer")
        for number in range(3):
            group.attrs[f"weight_names{number}"] = names[3 * number : 3 * number + 3][::-1]
        for name in names:
            group[name] = values(2)
    checkpoint = open_checkpoint(tmp_path / "m.h5")
    expected = [name for number in range(3) for name in names[3 * number : 3 * number + 3][::-1]]
    assert list(checkpoint.variable_names.values()) == expected
    assert checkpoint.keys() == [f"layer/{name}" for name in expected]


def test_the_layout_of_newer_files(tmp_path):
    """Groups, object headers and superblock of version 2 and 3, with many attributes and members."""
    names = [f"layer/{number}:0" for number in range(40)]
    weights = {name: values(2) for name in names}
    with h5py.File(tmp_path / "m.h5", "w", libver="latest", track_order=True) as file:
        file.attrs["layer_names"], file.attrs["keras_version"] = ["layer"], "2.19.0"
        for number in range(20):
            file.attrs[f"more{number}"] = "text"
        file.create_group("layer").attrs["weight_names"] = names
        for name, value in weights.items():
            file["layer"].create_dataset(name, data=value, chunks=(1,), compression="gzip")
    checkpoint = open_checkpoint(tmp_path)
    same(checkpoint, {f"layer/{name}": value for name, value in weights.items()})
    assert list(checkpoint.variable_names.values()) == names


def shards_of_transformers(folder: Path) -> dict[str, Any]:
    """As its save_pretrained(max_shard_size=...) writes: datasets without the model's name, an index with it."""
    weights = {f"bert/layer_._{number}/kernel:0": values(2, 3) for number in range(4)}
    weight_map = {}
    for number in (1, 2):
        name = f"tf_model-0000{number}-of-00002.h5"
        with h5py.File(folder / name, "w") as file:
            mine = list(weights)[2 * number - 2 : 2 * number]
            for weight in mine:
                file.create_dataset(weight, data=weights[weight])
                weight_map[f"tf_bert_model/{weight}"] = name
            file.attrs["layer_names"] = [weight.encode() for weight in mine]
    (folder / "tf_model.h5.index.json").write_text(
        json.dumps({"metadata": {"total_size": 96}, "weight_map": weight_map}, indent=2)
    )
    return weights


def test_shards_of_transformers(tmp_path):
    weights = shards_of_transformers(tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    same(checkpoint, weights)
    assert checkpoint.format == "transformers' TensorFlow weights in HDF5, 2 files"
    assert list(checkpoint.by_variable().tensors) == [f"tf_bert_model/{name}" for name in weights]


def test_an_index_that_is_wrong(tmp_path):
    shards_of_transformers(tmp_path)
    index = tmp_path / "tf_model.h5.index.json"
    good = json.loads(index.read_text())["weight_map"]
    for change, said in (
        ({"tf_bert_model/more:0": "tf_model-00001-of-00002.h5"}, "says that tf_bert_model/more:0 is in tf_model-00001"),
        ({"x": "../other.h5"}, 'names the file "../other.h5", which is not in its own folder'),
        ({"x": 3}, "it has no weight_map of file names"),
    ):
        index.write_text(json.dumps({"weight_map": {**good, **change}}))
        assert said in refusal(index)
    index.write_text(index.read_text()[:-9])
    assert "its JSON is not readable" in refusal(index)


def test_shards_of_transformers_in_safetensors(tmp_path):
    from safetensors.numpy import save_file

    weights = {"bert/a/kernel:0": values(2, 3), "bert/b/kernel:0": values(3)}
    weight_map = {}
    for number, (name, value) in enumerate(weights.items(), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: value}, tmp_path / file, {"format": "tf"})
        weight_map[f"tf_bert_model/{name}"] = file
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    same(open_checkpoint(tmp_path), weights)


def preset(folder: Path, task: dict[str, Any] | None) -> dict[str, Any]:
    """A KerasHub preset: config.json, the backbone's weights, and perhaps a task's."""
    backbone = {"layers/dense/vars/0": values(3, 3), "layers/embedding/vars/0": values(5, 3)}
    (folder / "config.json").write_text(json.dumps({"class_name": "BertBackbone", "config": {}}))
    for name, weights in (("model", backbone), ("task", task)):
        if weights is not None:
            with h5py.File(folder / f"{name}.weights.h5", "w") as file:
                for path, value in weights.items():
                    file.create_dataset(path, data=value)
    return backbone


def test_a_preset(tmp_path):
    backbone = preset(tmp_path, None)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.path.name == "model.weights.h5"
    same(checkpoint, backbone)


def test_a_preset_whose_task_holds_everything(tmp_path):
    head = {"layers/dense/vars/0": values(3, 2)}
    inside = {f"layers/bert_backbone/{name}": value for name, value in preset(tmp_path, None).items()}
    preset(tmp_path, {**inside, **head})
    checkpoint = open_checkpoint(tmp_path)
    same(checkpoint, {**inside, **head})
    assert checkpoint.notes == ()


def test_a_preset_whose_task_holds_the_head_alone(tmp_path):
    head = {"layers/dense/vars/0": values(3, 2)}
    backbone = preset(tmp_path, head)
    checkpoint = open_checkpoint(tmp_path)
    same(checkpoint, {**{f"layers/bert_backbone/{name}": value for name, value in backbone.items()}, **head})
    assert checkpoint.notes == ("task.weights.h5 holds only the head: the backbone is from model.weights.h5",)


@pytest.mark.slow
def test_which_file_of_a_folder(tmp_path):
    legacy(tmp_path / "tf_model.h5", {"a": {"a/b:0": values(2)}})
    legacy(tmp_path / "other.h5", {"a": {"a/b:0": values(2)}})
    (tmp_path / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.path.name == "tf_model.h5"
    assert checkpoint.notes == (f"{tmp_path} holds tf_model.h5 and model.safetensors: took tf_model.h5, TensorFlow's",)
    (tmp_path / "tf_model.h5").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert open_checkpoint(tmp_path).path.name == "other.h5"
    legacy(tmp_path / "third.h5", {"a": {"a/b:0": values(2)}})
    assert refusal(tmp_path) == f"{tmp_path} holds other.h5, third.h5\n  hint: pass one of them"


def linked(file: h5py.File) -> None:
    file["w"] = values(2)
    file["again"] = h5py.SoftLink("/w")


def elsewhere(file: h5py.File) -> None:
    file["w"] = h5py.ExternalLink("/etc/passwd", "/")


def outside(file: h5py.File) -> None:
    file.create_dataset("w", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "w", (4,))
    file.create_virtual_dataset("w", layout)


def unwritten(file: h5py.File) -> None:
    file.create_dataset("w", (1 << 40,), "f4")


def unwritten_chunks(file: h5py.File) -> None:
    file.create_dataset("w", (1 << 40,), "f4", chunks=(1 << 20,), compression="gzip")


def other_filter(file: h5py.File) -> None:
    file.create_dataset("w", data=values(9), compression="lzf")


def bomb(file: h5py.File) -> None:
    dataset = file.create_dataset("w", (1 << 20,), "f4", chunks=(1 << 20,), compression="gzip")
    dataset.id.write_direct_chunk((0,), b"x" * 99)


def no_stream(file: h5py.File) -> None:
    dataset = file.create_dataset("w", (1 << 8,), "f4", chunks=(1 << 8,), compression="gzip")
    dataset.id.write_direct_chunk((0,), b"x" * 99)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (linked, "again is a link to another place or file"),
        (elsewhere, "w is a link to another place or file"),
        (outside, "the values of w are in another file"),
        (virtual, "the values of w are in another file"),
        (unwritten, "w takes 4,398,046,511,104 bytes, and 0 were written"),
        (unwritten_chunks, "w is in 1,048,576 chunks, and 0 were written"),
        (other_filter, "a filter of HDF5 other than deflate and shuffle\n  hint: write it again without filters"),
        (bomb, "a chunk of w takes 4,194,304 bytes, and 99 are there"),
        (no_stream, "w: the chunk at byte"),
    ],
)
def test_what_is_refused(tmp_path, make, said):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        make(file)
    assert said in refusal(tmp_path / "m.h5")


def test_groups_in_a_circle(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["a/b/w"] = values(2)
        file["a/b/up"] = file["a"]
        file["a/root"] = file["/"]
    assert open_checkpoint(tmp_path / "m.h5").keys() == ["a/b/w"]


def test_too_many_objects(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "_MAX_OBJECTS", 50)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for number in range(26):
            file[f"{number}/w"] = np.float32(1)
    assert "it holds more than 50 groups and datasets" in refusal(tmp_path / "m.h5")


@pytest.mark.slow
def test_a_file_that_is_open_elsewhere(tmp_path):
    """A notebook may have it open; whether with a lock or without must not matter."""
    legacy(tmp_path / "m.h5", {"a": {"a/b:0": values(2)}})
    for locking in (True, False):
        with h5py.File(tmp_path / "m.h5", locking=locking):
            assert len(open_checkpoint(tmp_path / "m.h5")) == 1


@pytest.mark.slow
def test_a_file_cut_short(tmp_path):
    legacy(tmp_path / "m.h5", {"a": {"a/b:0": values(900)}})
    data = (tmp_path / "m.h5").read_bytes()
    (tmp_path / "m.h5").write_bytes(data[:-1000])
    assert "is damaged or not a checkpoint: it cannot be read" in refusal(tmp_path / "m.h5")
    assert "hint: copy or download it again" in refusal(tmp_path / "m.h5")


def with_strings(path: Path, userblock: int) -> bytes:
    """A file whose names are strings of variable length; the address of the heap that holds them is its first."""
    with h5py.File(path, "w", userblock_size=userblock) as file:
        file.attrs["layer_names"] = ["layer"]
        group = file.create_group("layer")
        group.attrs["weight_names"] = ["layer/kernel:0"]
        group["layer/kernel:0"] = values(3)
    return path.read_bytes()


@pytest.mark.parametrize("userblock", [0, 512])
def test_a_string_that_says_it_is_huge(tmp_path, userblock):
    """libhdf5 would make room for it first: two gigabytes."""
    path = tmp_path / "m.h5"
    data = with_strings(path, userblock)
    heap = (data.index(b"GCOL") - userblock).to_bytes(8, "little")
    length = len("layer/kernel:0").to_bytes(4, "little")
    assert data.count(length + heap) == 1
    assert open_checkpoint(path).variable_names == {"layer/layer/kernel:0": "layer/kernel:0"}
    path.write_bytes(data.replace(length + heap, b"\xff\xff\xff\x7f" + heap))
    assert "the attribute weight_names of layer is too large" in refusal(path)


def test_a_heap_that_leads_nowhere(tmp_path):
    """libhdf5 would follow it for ever."""
    path = tmp_path / "m.h5"
    data = bytearray(with_strings(path, 0))
    size_of_first_object = data.index(b"GCOL") + 16 + 8
    assert data[size_of_first_object] == len("layer")
    data[size_of_first_object + 1] = 1
    path.write_bytes(data)
    assert "a global heap has an object without a size" in refusal(path)


def test_published_files(samples):
    folder = samples / "real" / "kerasbert-h5-e"
    checkpoint = open_checkpoint(folder)
    expected = json.loads((folder / "tf_expected.json").read_text())
    assert len(expected) == len(checkpoint)
    for name in checkpoint:
        paths = (f"test_bert_fit.h5::{name}", f"test_bert_fit.h5::model_weights/{name}")
        told = next(expected[path] for path in paths if path in expected)
        array = checkpoint.get_tensor(name)
        assert list(array.shape) == told["shape"]
        assert hashlib.sha256(array.tobytes()).hexdigest() == told["sha256"]


def test_golden_files(samples):
    paths = sorted((samples / "golden").rglob("*.h5"))
    assert len(paths) >= 9
    for path in paths:
        checkpoint = open_checkpoint(path)
        with h5py.File(path) as file:
            weights = file.get("model_weights", file)
            found: dict[str, Any] = {}
            weights.visititems(
                lambda name, item, found=found: found.__setitem__(name, item[()]) if hasattr(item, "shape") else None
            )
        assert checkpoint.tensors.keys() == found.keys()
        assert all(checkpoint.get_tensor(name).tobytes() == value.tobytes() for name, value in found.items())


@pytest.fixture(scope="module")
def damaged_files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, dict[str, tuple[int, ...]]]]:
    folder = tmp_path_factory.mktemp("fuzz")
    legacy(folder / "legacy.h5", {"a": {"a/kernel:0": values(3, 5), "a/bias:0": values(5)}}, model_config="{}")
    with h5py.File(folder / "packed.weights.h5", "w") as file:
        file.create_dataset("layers/dense/vars/0", data=values(30, 5), chunks=(8, 5), compression="gzip", shuffle=True)
    with zipfile.ZipFile(folder / "m.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.write(folder / "legacy.h5", "model.weights.h5")
    return [(path, {name: info.shape for name, info in open_checkpoint(path).tensors.items()})
            for path in sorted(folder.iterdir())]  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
@pytest.mark.slow
def test_damage_is_told_or_does_no_harm(damaged_files, tmp_path_factory, data):
    path, _ = data.draw(st.sampled_from(damaged_files))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.one_of(st.sampled_from([0, 255, content[at] ^ 1]), st.integers(0, 255)))
    if data.draw(st.integers(0, 9)) == 0:
        del content[data.draw(st.integers(1, len(content) - 1)) :]
    damaged = tmp_path_factory.mktemp("damaged") / path.name
    damaged.write_bytes(content)
    begin = process_time()
    try:
        checkpoint = open_checkpoint(damaged)
        checkpoint.check_files()
        for name, info in checkpoint.tensors.items():
            assert checkpoint.get_tensor(name).shape == info.shape
    except CheckpointError:
        pass
    assert process_time() - begin < 5

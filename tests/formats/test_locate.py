"""Which checkpoint a path stands for, and what is said of a path that stands for none."""

from __future__ import annotations

import gzip
import os
import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tfwrite
from safetensors.numpy import save_file

from bridgeckpt.errors import CheckpointError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.companions import companion_folder

STEPS = (100, 300, 1000)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as tf.compat.v1.train.Saver leaves it: three steps, each with its graph, and a state file."""
    tf = tfwrite.tensorflow()
    folder = tmp_path_factory.mktemp("written")
    with tf.Graph().as_default():
        step = tf.compat.v1.get_variable("step", initializer=0, use_resource=False)
        assign = [step.assign(number) for number in STEPS]
        with tf.compat.v1.Session() as session:
            saver = tf.compat.v1.train.Saver()
            for number, operation in zip(STEPS, assign, strict=True):
                session.run(operation)
                saver.save(session, str(folder / "model.ckpt"), global_step=number)
    return folder


@pytest.fixture
def run(written: Path, tmp_path: Path) -> Path:
    """A copy to take apart; its state file still names the folder in which it was written, which is then gone."""
    folder = tmp_path / "run"
    shutil.copytree(written, folder)
    state = folder / "checkpoint"
    state.write_text(state.read_text().replace(str(written), "/of/another/machine").replace('"model', '"/gone/model'))
    return folder


def step_of(path: Path | str) -> int:
    return int(open_checkpoint(path).get_tensor("step"))


def refusal(path: Path | str) -> str:
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(path)
    return str(error.value)


@pytest.mark.parametrize(
    "path", ["", "checkpoint", "model.ckpt-1000", *(f"model.ckpt-1000.{part}" for part in ("index", "meta"))]
)
@pytest.mark.slow
def test_every_path_that_people_pass(run, path):
    given = open_checkpoint(run / path)
    assert given.path == run / "model.ckpt-1000"
    assert given.directory == run
    assert given.graph_path == run / "model.ckpt-1000.meta"
    assert given.notes == ()


@pytest.mark.slow
def test_data_files_text_and_trailing_slashes(run, monkeypatch):
    assert step_of(run / "model.ckpt-300.data-00000-of-00001") == 300
    assert step_of(str(run)) == 1000
    assert step_of(f"{run}/") == 1000
    assert step_of(os.fspath(run / "model.ckpt-100")) == 100
    monkeypatch.setenv("HOME", str(run.parent))
    assert step_of("~/run") == 1000
    monkeypatch.chdir(run)
    assert step_of(".") == step_of("") == step_of("model.ckpt-1000") == 1000
    monkeypatch.chdir(run.parent)
    assert step_of("run/../run/checkpoint") == 1000


@pytest.mark.slow
def test_the_state_file_decides(run):
    (run / "checkpoint").write_text(
        'model_checkpoint_path: "model.ckpt-300"\nall_model_checkpoint_paths: "model.ckpt-300"'
    )
    checkpoint = open_checkpoint(run)
    assert checkpoint.path.name == "model.ckpt-300"
    assert checkpoint.notes == (
        f"took model.ckpt-300, which {run}/checkpoint names; model.ckpt-1000 is newer: "
        "pass its path to take it instead",
    )


@pytest.mark.slow
def test_an_absolute_path_that_is_there_is_taken(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    for file in run.glob("model.ckpt-100.*"):
        file.unlink()
    (run / "checkpoint").write_text(f'model_checkpoint_path: "{other}/model.ckpt-100"\n')
    checkpoint = open_checkpoint(run)
    assert checkpoint.path == other / "model.ckpt-100"
    assert checkpoint.notes == (f"{run}/checkpoint names {other}/model.ckpt-100, which is in another folder",)


@pytest.mark.parametrize("named", [r"C:\\models\\bert\\model.ckpt-300", "/data/model.ckpt-300", "sub/model.ckpt-300"])
@pytest.mark.slow
def test_paths_of_other_machines(run, named):
    (run / "checkpoint").write_text(f'model_checkpoint_path: "{named}"\n')
    assert open_checkpoint(run).path == run / "model.ckpt-300"


@pytest.mark.slow
def test_names_that_are_not_ascii(tmp_path):
    """Protobuf's text format has two ways of writing them."""
    tf = tfwrite.tensorflow()
    folder = tmp_path / 'größe "x"'
    folder.mkdir()
    path = tf.train.Checkpoint(v=tf.Variable(1.0)).save(str(folder / "prüf"))
    assert str(open_checkpoint(folder).path) == path
    (folder / "checkpoint").write_bytes(rb'model_checkpoint_path: "pr\303\274f-1"')
    assert str(open_checkpoint(folder).path) == path


@pytest.mark.parametrize("line", ["model_checkpoint_path: 'model.ckpt-300'", 'model_checkpoint_path:"model.ckpt-300"'])
@pytest.mark.slow
def test_other_spellings_of_the_state_file(run, line):
    """The text format takes either quote; TensorFlow reads it so."""
    (run / "checkpoint").write_text(line + "\n")
    tf = tfwrite.tensorflow()
    assert open_checkpoint(run).path.name == Path(tf.train.latest_checkpoint(str(run))).name == "model.ckpt-300"


@pytest.mark.slow
def test_without_a_state_file_the_newest(run):
    (run / "checkpoint").unlink()
    checkpoint = open_checkpoint(run)
    assert checkpoint.path.name == "model.ckpt-1000"
    assert checkpoint.warnings == (
        f"{run} holds model.ckpt-100, model.ckpt-1000, model.ckpt-300: took model.ckpt-1000, the newest; "
        "another is taken by its path",
    )
    (run / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-2000"\n')
    assert open_checkpoint(run).warnings == (
        f"{run}/checkpoint names model.ckpt-2000, which is not there; {run} holds model.ckpt-100, model.ckpt-1000, "
        "model.ckpt-300: took model.ckpt-1000, the newest; another is taken by its path",
    )


@pytest.mark.slow
def test_without_steps_the_newest_by_time(tmp_path):
    for name, time in (("b", 2_000_000_000), ("a", 1_000_000_000)):
        tfwrite.save(tmp_path / name, {"step": np.int64(0)})
        os.utime(tmp_path / f"{name}.index", (time, time))
    assert open_checkpoint(tmp_path).path.name == "b"


@pytest.mark.slow
def test_a_mistyped_path(run):
    assert refusal(run / "model.ckpt") == (
        f"{run}/model.ckpt does not exist\n"
        f"  hint: did you mean {run}/model.ckpt-100, {run}/model.ckpt-1000, {run}/model.ckpt-300?"
    )
    assert f"hint: did you mean {run}/model.ckpt-300," in refusal(run / "modle.ckpt-300.index")
    parent = run.parent
    assert refusal(parent / "rum" / "deep" / "model.ckpt") == (
        f"{parent}/rum/deep/model.ckpt does not exist: {parent} holds no rum\n  hint: did you mean {parent}/run?"
    )
    assert refusal(run / "checkpoint" / "model.ckpt") == (
        f"{run}/checkpoint/model.ckpt does not exist: {run}/checkpoint is a file, not a folder"
    )
    assert "hint" not in refusal(run.parent / "nothing like it")
    assert "nobody-of-this-name" in refusal("~nobody-of-this-name/model")
    assert refusal("gs://bucket/model.ckpt").startswith("gs:/bucket/model.ckpt is an address, not a path")


@pytest.mark.slow
def test_a_missing_index(run):
    (run / "model.ckpt-300.index").unlink()
    said = (
        f"{run}/model.ckpt-300.index is missing, and without it model.ckpt-300.data-00000-of-00001, model.ckpt-300.meta"
    )
    for path in ("model.ckpt-300", *(f"model.ckpt-300.{part}" for part in ("meta", "data-00000-of-00001", "index"))):
        assert refusal(run / path).startswith(said)
    for step in (100, 1000):
        (run / f"model.ckpt-{step}.index").unlink()
    assert "model.ckpt-100.index is missing" in refusal(run)


@pytest.mark.slow
def test_a_saved_model(tmp_path):
    tf = tfwrite.tensorflow()
    module = tf.Module()
    module.w = tf.Variable([1.0, 2.0])
    tf.saved_model.save(module, str(tmp_path / "m"))
    assert refusal(tmp_path) == f"there is no checkpoint in {tmp_path}\n  hint: did you mean {tmp_path}/m?"
    for path in ("", "saved_model.pb", "variables", "variables/variables", "variables/variables.index"):
        checkpoint = open_checkpoint(tmp_path / "m" / path)
        assert checkpoint.directory == tmp_path / "m"
        assert checkpoint.get_tensor("w/.ATTRIBUTES/VARIABLE_VALUE").tolist() == [1, 2]
    (tmp_path / "m" / "variables" / "variables.index").unlink()
    said = "its variables/variables.index is missing: copy or download the whole folder"
    assert refusal(tmp_path / "m").startswith(f"{tmp_path}/m is a SavedModel\n  hint: {said}")
    assert refusal(tmp_path / "m" / "saved_model.pb").startswith(f"{tmp_path}/m/saved_model.pb is a SavedModel\n")
    (tmp_path / "m" / "tfhub_module.pb").write_bytes(b"\x08\x03")
    assert "is a TF1 hub module (saved_model.pb with tfhub_module.pb)" in refusal(tmp_path / "m")


@pytest.mark.slow
def test_a_v1_checkpoint(tmp_path):
    tf = tfwrite.tensorflow()
    with tf.Graph().as_default():
        tf.compat.v1.get_variable("w", initializer=tf.ones([3]), use_resource=False)
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            for sharded in (False, True):
                saver = tf.compat.v1.train.Saver(write_version=tf.compat.v1.train.SaverDef.V1, sharded=sharded)
                (tmp_path / f"sharded_{sharded}").mkdir()
                saver.save(session, str(tmp_path / f"sharded_{sharded}" / "old.ckpt"))
    for path in ("", "checkpoint", "old.ckpt", "old.ckpt.meta"):
        assert open_checkpoint(tmp_path / "sharded_False" / path).format == "TensorFlow V1"
    for path in ("", "checkpoint", "old.ckpt", "old.ckpt.meta", "old.ckpt-00000-of-00001"):
        checkpoint = open_checkpoint(tmp_path / "sharded_True" / path)
        assert (checkpoint.format, checkpoint.path) == ("TensorFlow V1", tmp_path / "sharded_True" / "old.ckpt")


def archive(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as out:
        for name in names:
            out.writestr(name, b"content")


def tar(path: Path) -> None:
    with tarfile.open(path, "w") as out:
        out.add(__file__, "x")


KINDS = {
    "tf_model.h5": (
        lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)),
        "is damaged or not a checkpoint: it cannot be read",
    ),
    "model.keras": (
        lambda path: archive(path, "config.json", "model.weights.h5"),
        "is damaged or not a checkpoint: it cannot be read",
    ),
    "pytorch_model.bin": (lambda path: archive(path, "archive/data.pkl"), "is a PyTorch checkpoint (a pickle)"),
    "old.bin": (
        lambda path: path.write_bytes(pickle.dumps({"w": 1})),
        "is a pickle (an old PyTorch checkpoint, or objects of another Python program)",
    ),
    "model_state.pdparams": (lambda path: path.write_bytes(pickle.dumps({"w": 1})), "is a PaddlePaddle checkpoint"),
    "flax_model.msgpack": (lambda path: path.write_bytes(b"\x82\xa4bert"), "is a Flax checkpoint"),
    "weights.npz": (lambda path: np.savez(path, w=np.ones(3)), "is a numpy file (.npy, .npz)"),
    "weights.npy": (lambda path: np.save(path, np.ones(3)), "is a numpy file (.npy, .npz)"),
    "bert.zip": (lambda path: archive(path, "bert_model.ckpt.index"), "is a zip archive\n  hint: unpack it first"),
    "broken.zip": (lambda path: path.write_bytes(b"PK\3\4" + bytes(99)), "is a zip archive"),
    "bert.tar": (tar, "is a tar archive\n  hint: unpack it first"),
    "bert.tar.gz": (lambda path: path.write_bytes(gzip.compress(b"x")), "is a gzip archive"),
    "graph.pb": (
        lambda path: path.write_bytes(tfwrite.message((10, b"\n\1x\x12\5Const"))),
        "is a graph without weights: none of the constants among its 1 operations, those in functions apart, is a ",
    ),
    "graph.pbtxt": (
        lambda path: path.write_text('node {\n  name: "x"\n}'),
        "is a TensorFlow graph as text (.pbtxt)\n  hint: if training wrote it",
    ),
    "keras_metadata.pb": (
        lambda path: path.write_bytes(b'\n\x0c\x1a\4root"\4_tf_'),
        "is the description of a Keras model, without its weights",
    ),
    "model.tflite": (lambda path: path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(9)), "is a TensorFlow Lite model"),
    "model.onnx": (lambda path: path.write_bytes(b"\x08\x07\x12\x07pytorch"), "is an ONNX model"),
    "pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        "is a Git LFS pointer, not the file itself\n  hint: run `git lfs pull`",
    ),
    "page.index": (lambda path: path.write_text("\n<!DOCTYPE html><html>"), "is a web page saved as a file"),
    "empty.ckpt": (lambda path: path.touch(), "is an empty file"),
    "empty.index": (lambda path: path.touch(), "is an empty file"),
    "bert_config.json": (lambda path: path.write_text('{"hidden_size": 3}'), "is a JSON file\n  hint: pass the folder"),
    "vocab.txt": (lambda path: path.write_text("[PAD]\n" * 2000), "is a text file\n  hint: pass the folder"),
    "noise": (lambda path: path.write_bytes(bytes(range(200))), "is no checkpoint"),
    "pipe": (os.mkfifo, "is neither a file nor a folder"),
}


@pytest.mark.parametrize("name", KINDS)
def test_other_kinds_are_named(tmp_path, name):
    make, said = KINDS[name]
    path = tmp_path / "sub" / name
    path.parent.mkdir()
    make(path)
    assert f"{path} {said}" in refusal(path)
    assert str(tmp_path) in refusal(path.parent)


def test_a_folder_names_the_model_in_it(tmp_path):
    for name in ("bert_config.json", "old.bin", "vocab.txt"):
        KINDS[name][0](tmp_path / name)
    assert f"{tmp_path} holds old.bin, which is a pickle (an old PyTorch checkpoint" in refusal(tmp_path)


@pytest.mark.slow
def test_neighbours_do_not_hide_the_checkpoint_below(run):
    (run.parent / "classifier.pickle.dat").write_bytes(pickle.dumps({"w": 1}))
    KINDS["keras_metadata.pb"][0](run.parent / "keras_metadata.pb")
    said = refusal(run.parent)
    assert said.startswith(
        f"there is no checkpoint in {run.parent}, but classifier.pickle.dat, which is a pickle (an old PyTorch "
        "checkpoint, or objects of another Python program)\n"
        f"  hint: did you mean {run}/model.ckpt-100"
    )
    deep = run.parent / "deep" / "er"
    deep.mkdir(parents=True)
    run.rename(deep / "run")
    assert f"did you mean {deep}/run/model.ckpt-100" in refusal(run.parent)


@pytest.mark.slow
def test_the_only_version_of_a_saved_model(tmp_path):
    tf = tfwrite.tensorflow()
    module = tf.Module()
    module.w = tf.Variable([1.0, 2.0])
    for place in ("a/1583920000", "b/saved_model/1", "c/export/exporter/1583920000"):
        top, version = tmp_path / place[0], tmp_path / place
        tf.saved_model.save(module, str(version))
        (version.parent / "bert_config.json").write_text("{}")
        checkpoint = open_checkpoint(top)
        assert checkpoint.path == version / "variables" / "variables"
        assert checkpoint.notes == (f"took {version}, the only version of a SavedModel in {top}",)
        assert checkpoint.directory == version.parent
    shutil.copytree(tmp_path / "a/1583920000", tmp_path / "a/1583920001")
    assert f"did you mean {tmp_path}/a/1583920000, {tmp_path}/a/1583920001?" in refusal(tmp_path / "a")
    tfwrite.save(tmp_path / "b" / "other" / "model", {"w": np.zeros(2)})
    assert f"did you mean {tmp_path}/b/other/model, {tmp_path}/b/saved_model/1?" in refusal(tmp_path / "b")


@pytest.mark.slow
def test_variables_of_a_saved_model_without_its_graph(tmp_path):
    tf = tfwrite.tensorflow()
    module = tf.Module()
    module.w = tf.Variable([1.0, 2.0])
    tf.saved_model.save(module, str(tmp_path))
    (tmp_path / "saved_model.pb").unlink()
    KINDS["keras_metadata.pb"][0](tmp_path / "keras_metadata.pb")
    checkpoint = open_checkpoint(tmp_path)
    assert (checkpoint.path, checkpoint.directory) == (tmp_path / "variables" / "variables", tmp_path)
    assert checkpoint.notes[0].startswith("saved_model.pb is missing: what the graph says")


@pytest.mark.slow
def test_a_folder_beside_a_prefix_of_the_same_name_is_told(run, tmp_path):
    model = tfwrite.save(run.parent / "model", {"w": np.zeros(2)})
    shutil.copytree(run, model)
    note = f"{model} is a folder too: took the checkpoint {model}.index; pass {model}/model.ckpt-1000 to take that one"
    for path in (model, run.parent):
        checkpoint = open_checkpoint(path)
        assert checkpoint.path == model
        assert note in checkpoint.notes
    assert open_checkpoint(f"{model}.index").notes == ()
    assert open_checkpoint(model / "model.ckpt-300").path == model / "model.ckpt-300"


@pytest.mark.slow
def test_files_of_pytorch_beside_the_checkpoint_are_told(run):
    (run / "pytorch_model.bin").write_bytes(pickle.dumps({"w": 1}))
    (run / "model.safetensors").write_bytes(b"")
    (note,) = (note for note in open_checkpoint(run).notes if "took" in note)
    assert note.endswith("model.safetensors, pytorch_model.bin: took model.ckpt-1000, TensorFlow's")


def test_files_that_macos_adds_are_no_checkpoints(run):
    for name in ("._model.ckpt-1000.index", "._model.ckpt-9000.index"):
        (run / name).write_bytes(b"\0\5\x16\7" + bytes(99))
    (run / "checkpoint").unlink()
    assert step_of(run) == 1000
    (run.parent / "__MACOSX").mkdir()
    (run / "._model.ckpt-1000.index").rename(run.parent / "__MACOSX" / "x.index")
    assert "__MACOSX" not in refusal(run.parent)


def test_folders_without_a_model(tmp_path):
    assert refusal(tmp_path) == f"there is no checkpoint in {tmp_path}\n  hint: the folder is empty"
    for number in range(10):
        (tmp_path / f"note{number}.txt").write_text("hello")
    assert refusal(tmp_path).endswith("hint: it holds note0.txt, note1.txt, note2.txt, note3.txt, note4.txt, "
                                      "note5.txt, note6.txt, note7.txt and 2 more")  # fmt: skip
    tfwrite.save(tmp_path / "uncased_L-2" / "bert_model.ckpt", {"w": np.float32(1)})
    assert refusal(tmp_path).endswith(f"hint: did you mean {tmp_path}/uncased_L-2/bert_model.ckpt?")


@pytest.mark.slow
def test_an_index_under_another_name(run):
    (run / "model.ckpt-300.index").rename(run / "model.idx")
    assert "its name does not end in .index" in refusal(run / "model.idx")


def test_several_safetensors_without_an_index(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    assert refusal(tmp_path).startswith(f"{tmp_path} holds a.safetensors, b.safetensors and no index of them")
    (tmp_path / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    assert open_checkpoint(tmp_path).path.name == "model.safetensors"


def test_a_state_file_that_leads_nowhere(tmp_path):
    state = tmp_path / "checkpoint"
    state.write_text('model_checkpoint_path: "model.ckpt-9"\n')
    assert refusal(tmp_path) == (
        f"{state} names model.ckpt-9, which is not there; there is no checkpoint in {tmp_path}\n"
        "  hint: it holds checkpoint"
    )
    state.write_text('model_checkpoint_path: "checkpoint"\n')
    assert "names checkpoint, which is not there" in refusal(state)
    state.write_text('model_checkpoint_path: "\\777"\n')
    assert "in a way that cannot be read" in refusal(state)


def test_published_folders(samples):
    assert "is a TF1 hub module" in refusal(samples / "real" / "hub-module-v1-mini")
    for folder in ("t1_squad", "t1_pretrain_sharded"):  # their state files name /data/models/...
        assert open_checkpoint(samples / "golden" / folder).notes == ()


@pytest.mark.slow
def test_a_copied_folder_is_read_and_not_the_original_that_its_state_file_names(run, tmp_path):
    (run / "checkpoint").write_text(f'model_checkpoint_path: "{run}/model.ckpt-100"\n')
    copied = tmp_path / "copied"
    shutil.copytree(run, copied)
    assert open_checkpoint(copied).path == copied / "model.ckpt-100"


class TestCompanions:
    """A folder for checkpoints is below the folder of the config."""

    @pytest.mark.parametrize("name", ["checkpoint", "checkpoints", "best_ckpt", "tf_ckpts", "checkpoint-500"])
    def test_the_config_is_one_folder_above(self, tmp_path, name):
        (tmp_path / "config.json").write_text("{}")
        assert companion_folder(tmp_path / name) == tmp_path

    def test_it_is_in_the_folder_itself_if_anything_is_there(self, tmp_path):
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "checkpoint").mkdir()
        (tmp_path / "checkpoint" / "vocab.txt").write_text("")
        assert companion_folder(tmp_path / "checkpoint") == tmp_path / "checkpoint"

    @pytest.mark.parametrize("name", ["model", "mycheckpointing", "1"])
    def test_other_folders_stand_for_themselves(self, tmp_path, name):
        (tmp_path / "config.json").write_text("{}")
        assert companion_folder(tmp_path / name) == tmp_path / name

    def test_the_current_folder_has_a_name_too(self, tmp_path, monkeypatch):
        (tmp_path / "params.yaml").write_text("")
        (tmp_path / "checkpoint").mkdir()
        monkeypatch.chdir(tmp_path / "checkpoint")
        assert companion_folder(Path()) == tmp_path

    def test_nothing_above(self, tmp_path):
        assert companion_folder(tmp_path / "checkpoint") == tmp_path / "checkpoint"


class TestTwoKinds:
    """Two kinds of checkpoint in one folder: it is told which is taken, and what to pass for each."""

    @staticmethod
    def h5(path):
        with h5py.File(path, "w") as file:
            file["w"] = np.float32(1)

    @staticmethod
    def saved_model(folder):
        tf = tfwrite.tensorflow()
        module = tf.Module()
        module.w = tf.Variable(1.0)
        tf.saved_model.save(module, str(folder))

    @staticmethod
    def safetensors(path, made_by):
        save_file({"w": np.ones(1, np.float32)}, path, {"format": made_by})

    @pytest.fixture
    def bundle(self, tmp_path):
        tfwrite.save(tmp_path / "bert_model.ckpt", {"w": np.float32(1)})
        return tmp_path

    @staticmethod
    def told(folder, taken, *others):
        checkpoint = open_checkpoint(folder)
        (warning,) = checkpoint.warnings
        assert f"holds {', '.join(path.name for path in others)} too: took {taken.name}; " in warning
        assert warning.endswith(f"meant: {' or '.join(map(str, (taken, *others)))}")
        for path in (taken, *others):
            assert open_checkpoint(path).path == path
            assert open_checkpoint(path).warnings == ()

    def test_a_bundle_and_a_file_of_keras(self, bundle):
        self.h5(bundle / "tf_model.h5")
        self.told(bundle, bundle / "bert_model.ckpt", bundle / "tf_model.h5")

    def test_beside_a_state_file_too(self, run):
        self.h5(run / "tf_model.h5")
        self.told(run, run / "model.ckpt-1000", run / "tf_model.h5")

    def test_a_bundle_and_several_files_of_keras(self, bundle):
        for name in ("a.h5", "b.h5"):
            self.h5(bundle / name)
        self.told(bundle, bundle / "bert_model.ckpt", bundle / "a.h5", bundle / "b.h5")

    def test_safetensors_of_tensorflow_are_another_kind_and_those_of_pytorch_are_told(self, tmp_path):
        self.h5(tmp_path / "tf_model.h5")
        self.safetensors(tmp_path / "model.safetensors", "pt")
        (note,) = open_checkpoint(tmp_path).notes
        assert note.endswith("holds tf_model.h5 and model.safetensors: took tf_model.h5, TensorFlow's")
        self.safetensors(tmp_path / "model.safetensors", "tf")
        self.told(tmp_path, tmp_path / "tf_model.h5", tmp_path / "model.safetensors")

    def test_a_saved_model_and_another_checkpoint(self, tmp_path):
        self.saved_model(tmp_path)
        assert open_checkpoint(tmp_path).warnings == open_checkpoint(tmp_path).notes == ()
        variables, h5 = tmp_path / "variables" / "variables", tmp_path / "model.h5"
        self.h5(h5)
        self.told(tmp_path, variables, h5)
        assert open_checkpoint(tmp_path / "saved_model.pb").path == variables
        (tmp_path / "saved_model.pb").unlink()
        self.told(tmp_path, variables, h5)
        h5.unlink()
        tfwrite.save(tmp_path / "bert_model.ckpt", {"w": np.float32(1)})
        self.told(tmp_path, tmp_path / "bert_model.ckpt", variables)

    def test_files_of_keras_beside_that_with_the_usual_name(self, tmp_path):
        for name in ("tf_model.h5", "mine.h5", "tf_model-00001-of-00002.h5"):
            self.h5(tmp_path / name)
        (warning,) = open_checkpoint(tmp_path).warnings
        assert warning.endswith("holds mine.h5 too: took tf_model.h5, by its name; another is taken by its path")

    def test_a_frozen_graph_beside_a_checkpoint_is_told(self, bundle):
        tf = tfwrite.tensorflow()
        with tf.Graph().as_default() as graph:
            tf.constant(np.ones((4, 4), np.float32), name="w")
        (bundle / "frozen.pb").write_bytes(graph.as_graph_def().SerializeToString())
        self.told(bundle, bundle / "bert_model.ckpt", bundle / "frozen.pb")

    def test_damaged_files_beside_the_checkpoint_are_none(self, bundle):
        (bundle / "model.safetensors").write_bytes(b"")
        (bundle / "x.h5").write_bytes(b"nothing")
        assert open_checkpoint(bundle).path == bundle / "bert_model.ckpt"
        assert open_checkpoint(bundle).warnings == ()

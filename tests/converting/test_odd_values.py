"""Values and dtypes that no weight should have: what TensorFlow writes of them, and what is said of each."""

from __future__ import annotations

import json
import logging
import shutil

import architectures
import h5py
import ml_dtypes
import numpy as np
import pytest
import tfwrite
from safetensors.numpy import load_file

import bridgeckpt
from bridgeckpt.cli import main
from bridgeckpt.copying.odd_values import not_finite
from bridgeckpt.errors import PlanError, PrecisionError

pytestmark = pytest.mark.slow

KERNEL, BIAS = "bert/encoder/layer_0/attention/self/query/kernel", "bert/encoder/layer_1/output/dense/bias"
WORDS = "bert/embeddings/word_embeddings"


@pytest.fixture
def changed(built, tmp_path):
    """``changed(name=array)``: a checkpoint of TensorFlow with these tensors in place of its own."""

    def change(tensors, **spec):
        made, folder = built(**spec), tmp_path / "source"
        tf = tfwrite.tensorflow()
        folder.mkdir()
        named = {**made.variables, **tensors}
        saved = [tf.constant(value) for value in named.values()]
        tf.raw_ops.SaveV2(
            prefix=str(folder / "bert_model.ckpt"),
            tensor_names=list(named),
            shape_and_slices=[""] * len(named),
            tensors=saved,
        )
        for beside in ("bert_config.json", "vocab.txt"):
            shutil.copy(made.prefix.parent / beside, folder)
        return folder, made

    return change


def spoiled(array, *values):
    array = array.copy()
    array.reshape(-1)[[3 * place for place in range(len(values))]] = values
    return array


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "bool", "complex64"])
def test_weights_that_are_no_floating_point_numbers_are_refused(dtype, changed, built):
    kernel = built().variables[KERNEL]
    with pytest.raises(PlanError) as caught:
        bridgeckpt.plan(changed({KERNEL: (kernel * 100).astype(dtype)})[0])
    (problem,) = caught.value.problems
    assert (problem.kind, problem.tensors) == ("dtype", (KERNEL,))
    assert problem.subject == f"{KERNEL} is of dtype {dtype}"
    assert "a weight is a floating-point number" in problem.details[0]
    assert "was made from" in problem.hint


@pytest.mark.parametrize("dtype", ["int8", "bool", "complex64"])
def test_by_rules_too(dtype, tmp_path):
    source = architectures.write_source("RobertaForMaskedLM", tmp_path / "source")
    with h5py.File(source / "tf_model.h5", "r+") as file:
        names = []
        file.visit(names.append)
        name = next(name for name in names if "query/kernel" in name)
        values = file[name][()]
        del file[name]
        file[name] = (values * 100).astype(dtype)
    with pytest.raises(PlanError, match=f"is of dtype {dtype}\n.*a weight is a floating-point number"):
        bridgeckpt.plan(source)


@pytest.mark.parametrize("dtype", ["float8_e5m2", "float8_e4m3fn"])
def test_a_dtype_of_one_byte_is_written_as_one_that_models_load(dtype, changed, built, tmp_path):
    kernel = built().variables[KERNEL].astype(getattr(ml_dtypes, dtype))
    source, _ = changed({KERNEL: kernel})
    bridgeckpt.convert(source, tmp_path / "out")
    written = load_file(tmp_path / "out" / "model.safetensors")["bert.encoder.layer.0.attention.self.query.weight"]
    assert written.dtype == np.float32
    np.testing.assert_array_equal(written, kernel.astype(np.float32).T)
    assert any(f"{dtype} and written as float32" in note for note in bridgeckpt.plan(source).notes)


def test_float64_is_kept_and_told(changed, built, tmp_path):
    source, _ = changed({name: value.astype(np.float64) for name, value in built().variables.items()})
    done = bridgeckpt.convert(source, tmp_path / "out")
    assert any("are float64, and stay so" in note and "dtype=float32" in note for note in done.plan.notes)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "float64"


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_nan_and_infinity_are_counted_and_told(dtype, changed, built, tmp_path, capsys, caplog):
    as_stored = np.dtype(getattr(ml_dtypes, dtype, dtype))
    whole = {name: value.astype(as_stored) for name, value in built().variables.items()}
    bad = {
        KERNEL: spoiled(whole[KERNEL], np.nan, np.inf, -np.inf, -np.nan),
        BIAS: spoiled(whole[BIAS], -np.inf),
        WORDS: spoiled(whole[WORDS], np.nan),
    }
    source, _ = changed({**whole, **bad})
    assert main(["convert", "tf2pt", str(source), str(tmp_path / "out"), "--json"]) == 0
    (warning,) = [text for text in json.loads(capsys.readouterr().out)["warnings"] if "NaN or infinity" in text]
    assert warning.startswith("3 tensors with NaN or infinity, which the checkpoint has: ")
    for count in (
        "bert.embeddings.word_embeddings.weight (1 NaN)",
        "bert.encoder.layer.0.attention.self.query.weight (2 NaN and 2 infinite)",
        "bert.encoder.layer.1.output.dense.bias (1 infinite)",
    ):
        assert count in warning
    assert warning in json.loads((tmp_path / "out" / "conversion_report.json").read_text())["warnings"]
    with caplog.at_level(logging.WARNING, "bridgeckpt"):
        bridgeckpt.load_state_dict(source)
        assert caplog.messages.count(warning) == 1
        bridgeckpt.convert(source, tmp_path / "again")
        assert caplog.messages.count(warning) == 2


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_what_is_counted_is_what_numpy_counts(dtype):
    of = np.dtype(getattr(ml_dtypes, dtype, dtype))
    greatest = float(ml_dtypes.finfo(of).max)
    for values in (
        [],
        [0.0],
        [greatest, -greatest],
        [np.nan],
        [-np.nan, 1],
        [np.inf, 1],
        [2, -np.inf],
        [np.nan, np.inf],
    ):
        array = np.array(values, of)
        wide = array.astype(np.float64)
        assert not_finite(dtype, array.tobytes()) == (np.isnan(wide).sum(), np.isinf(wide).sum()), values
    assert not_finite("int32", np.array([-1], np.int32).tobytes()) == (0, 0)


@pytest.mark.parametrize(("dtype", "small", "wider"), [("float16", 1e-9, "bfloat16"), ("bfloat16", 1e-42, "float32")])
def test_numbers_that_become_zero_are_counted_and_told(dtype, small, wider, changed, built, tmp_path, capsys):
    tensors = built().variables
    tiny = {
        KERNEL: spoiled(tensors[KERNEL], small, -small, 0.0),
        BIAS: spoiled(tensors[BIAS], small),
    }
    source, _ = changed(tiny)
    command = ["convert", "tf2pt", str(source), str(tmp_path / "out"), "--dtype", dtype]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert f"3 values of 2 tensors are too small for {dtype} and became 0" in shown
    assert "bert.encoder.layer.0.attention.self.query.weight (2)" in shown
    assert f"--dtype {wider} keeps" in shown
    assert main([*command, "--force", "--json"]) == 0
    assert any("became 0" in text for text in json.loads(capsys.readouterr().out)["warnings"])
    assert main(["convert", "tf2pt", str(source), str(tmp_path / "kept")]) == 0
    assert "became 0" not in capsys.readouterr().out


def test_numbers_that_are_too_large_are_refused(changed, built, tmp_path):
    source, _ = changed({KERNEL: spoiled(built().variables[KERNEL], 1e6)})
    with pytest.raises(PrecisionError, match="too large for float16"):
        bridgeckpt.convert(source, tmp_path / "out", dtype="float16")
    assert not (tmp_path / "out").exists()

"""The examples run as their own words say."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys

import numpy as np
import pytest
from paths import ROOT
from warm import read_by_tensorflow

import bridgeckpt


def run(*arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd, env=environment)


@pytest.mark.slow
def test_fine_tuning_in_tensorflow_1_style_from_a_hugging_face_folder(example, tmp_path):
    tf = pytest.importorskip("tensorflow")
    script = ROOT / "examples" / "fine_tune_tf1.py"
    bridgeckpt.convert(example, tmp_path / "tiny-bert-hf")
    done = run(script, "tiny-bert-hf", "fine-tuned", "--steps", "61", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "  bert/pooler/dense/kernel:0 (36, 36), *INIT_FROM_CKPT*" in done.stdout
    assert "  output_weights:0 (2, 36)\n" in done.stdout
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", done.stdout)]
    assert len(losses) == 4
    assert losses[-1] < losses[0] / 4
    assert "accuracy 1.00" in done.stdout.splitlines()[-1]
    # What TensorFlow saved before the first step is what it reads from the checkpoint that the folder was made from.
    original = read_by_tensorflow(tf, example / "bert_model.ckpt")
    first = read_by_tensorflow(tf, tmp_path / "fine-tuned" / "model.ckpt-0")
    for name in original.keys() & first.keys():
        np.testing.assert_array_equal(first[name], original[name], err_msg=name)
    assert len(original.keys() & first.keys()) == 39
    planned = bridgeckpt.plan(tmp_path / "fine-tuned")
    assert planned.architecture.name == "BertForSequenceClassification"


@pytest.mark.slow
def test_a_folder_without_a_config_is_told(tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorflow")
    monkeypatch.setattr(sys, "argv", ["fine_tune_tf1.py", str(tmp_path), "fine-tuned"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "examples" / "fine_tune_tf1.py"), run_name="__main__")
    assert caught.value.code == 2
    assert f"there is no {tmp_path / 'config.json'}" in capsys.readouterr().err

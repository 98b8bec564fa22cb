"""A folder of PyTorch where a TensorFlow checkpoint is expected: it is called that, with what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from paths import EXAMPLE
from safetensors.numpy import save_file

import bridgeckpt
from bridgeckpt.cli import main
from bridgeckpt.cli.words import say
from bridgeckpt.errors import ParityError, PlanError
from bridgeckpt.parity.judging.converted_folder import check_folder


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    bridgeckpt.convert(EXAMPLE, folder / "one")
    bridgeckpt.convert(EXAMPLE, folder / "parts", max_shard_size="50KB")
    return folder


def refusal(path: Path, target: Path) -> PlanError:
    with pytest.raises(PlanError) as refused:
        bridgeckpt.convert(path, target)
    assert refused.value.kind == "pytorch"
    return refused.value


@pytest.mark.parametrize(
    ("name", "given"),
    [("one", ""), ("one", "model.safetensors"), ("parts", ""), ("parts", "model.safetensors.index.json")],
)
def test_our_own_output(converted, tmp_path, name, given, capsys):
    folder = converted / name
    error = refusal(folder / given, tmp_path / "again")
    said = (
        f"{folder} is a PyTorch folder, converted by bridgeckpt {bridgeckpt.__version__} from "
        "bert_model.ckpt (bert/google) to BertForPreTraining"
    )
    assert error.message == f"{said}: there is nothing to convert"
    assert f'transformers.BertForPreTraining.from_pretrained("{folder}")' in str(error.hint)
    with pytest.raises(ParityError) as refused:
        bridgeckpt.record_checkpoint(folder / given)
    assert refused.value.message == f"{said}: TensorFlow cannot run it"
    assert main(["inspect", str(folder / given)]) == 0
    shown = capsys.readouterr().out
    assert said in shown
    assert "unknown" not in shown


def test_the_advice_can_be_followed(converted, tmp_path):
    hint = refusal(converted / "parts", tmp_path / "again").hint
    assert f"`bridgeckpt.diff(SRC, {str(converted / 'parts')!r})`" in hint
    assert f"`bridgeckpt diff SRC {converted / 'parts'}`" in say(hint)
    assert main(["diff", str(EXAMPLE), str(converted / "parts")]) == 0


def test_a_shard_is_a_part(converted, tmp_path):
    shard = next((converted / "parts").glob("model-00001-*"))
    assert refusal(shard, tmp_path / "again").message.startswith(
        f"{shard} is a part of a PyTorch folder, converted by bridgeckpt"
    )


def test_a_folder_of_transformers(converted, tmp_path):
    shutil.copytree(converted / "one", tmp_path / "bert")
    (tmp_path / "bert" / "conversion_report.json").unlink()
    said = refusal(tmp_path / "bert", tmp_path / "again").message
    assert said.startswith(
        f"{tmp_path}/bert is a PyTorch folder (BertForPreTraining), whose tensors have PyTorch's names"
    )
    (tmp_path / "bert" / "config.json").unlink()
    assert "is a PyTorch checkpoint (safetensors), whose" in refusal(tmp_path / "bert", tmp_path / "again").message


def test_a_recording(tmp_path):
    x = np.ones([2, 3], "f")
    bridgeckpt.record(lambda **_: {"logits": x}, {"input_ids": x.astype("i8")}, tmp_path / "reference.safetensors")
    said = refusal(tmp_path / "reference.safetensors", tmp_path / "again").message
    assert "reference.safetensors is a recording of what TensorFlow computed, and no checkpoint" in said


def test_names_of_tensorflow_in_a_plain_file_are_converted(tmp_path):
    checkpoint = bridgeckpt.open_checkpoint(EXAMPLE)
    save_file({name: checkpoint.get_tensor(name) for name in checkpoint}, tmp_path / "model.safetensors")
    assert bridgeckpt.plan(tmp_path, config=EXAMPLE / "bert_config.json").architecture.name == "BertForPreTraining"


def test_a_file_in_place_of_its_folder(converted):
    with pytest.raises(ParityError, match="it is not a folder") as refused:
        check_folder(converted / "one" / "model.safetensors")
    assert refused.value.hint == f"give its folder, {converted / 'one'}"

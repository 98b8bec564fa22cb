"""The README is true: its commands, what they print, and the table that it shows."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from paths import ROOT

import bridgeckpt
from bridgeckpt.cli import main
from bridgeckpt.cli.arguments import parser

README = (ROOT / "README.md").read_text()


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


def words(text):
    """Without line breaks, and without what a run takes."""
    return re.sub(r"in \d+\.\d\d s", "in N s", " ".join(text.split()))


def test_every_command_parses():
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    ours = [part.strip() for line in commands for part in line.split("&&") if part.strip().startswith("bridgeckpt ")]
    assert len(ours) >= 5
    for command in ours:
        parser().parse_args(shlex.split(command, comments=True)[1:])


def test_ci_runs_the_second_command():
    second = blocks("sh")[1].strip()
    assert second in (ROOT / ".ci" / "run").read_text().splitlines()


def test_what_the_first_command_prints(tmp_path, monkeypatch, capsys):
    shown = next(block for block in blocks("") if block.startswith("$ bridgeckpt convert tf2pt examples"))
    command, _, output = shown.partition("\n")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)[2:]) == 0
    assert words(capsys.readouterr().out) == words(output)


def test_what_a_refusal_prints(tmp_path, monkeypatch, capsys):
    shown = next(block for block in blocks("") if "--config wrong_config.json" in block)
    command, _, output = shown.partition("\n")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    config = json.loads((ROOT / "examples/tiny-bert/bert_config.json").read_text())
    wrong = {**config, "num_hidden_layers": 12, "intermediate_size": 3072}
    (tmp_path / "wrong_config.json").write_text(json.dumps(wrong))
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)[2:]) == 1
    assert words(capsys.readouterr().err) == words(output)


def test_the_table_of_the_readme_converts_such_a_checkpoint(built, tmp_path):
    from parity import assert_parity
    from tfbert import merged

    table = tmp_path / "my_table.toml"
    table.write_text(next(block for block in blocks("toml") if "our BERT" in block))
    assert bridgeckpt.check(table) == []
    made = built(head="pretraining")
    names = {name.replace("bert/embeddings/LayerNorm/", "bert/embeddings/ln/"): v for name, v in made.variables.items()}
    names["our_adapter/dense/kernel"] = made.variables["bert/pooler/dense/kernel"]
    path = merged(tmp_path / "m.ckpt", ("", names))
    shutil.copy(made.directory / "bert_config.json", tmp_path)
    with pytest.raises(bridgeckpt.PlanError, match="our_adapter/dense/kernel"):
        bridgeckpt.plan(path)
    done = bridgeckpt.convert(path, tmp_path / "out", mapping=table)
    assert done.plan.ledger.reasons["our_adapter/dense/kernel"] == "trained beside BERT, never used with it"
    assert_parity(tmp_path / "out", made.inputs, made.outputs)


def test_the_python_of_the_readme_runs(built, tmp_path, monkeypatch, capsys):
    """As it stands: in a folder that has checkpoints by the names that the block gives."""
    torch = pytest.importorskip("torch")
    (code,) = [block for block in blocks("python") if "bridgeckpt.convert(" in block]
    example = ROOT / "examples" / "tiny-bert"
    shutil.copytree(example, tmp_path / "uncased_L-12_H-768_A-12")
    shutil.copytree(example, tmp_path, dirs_exist_ok=True)
    config = json.loads((example / "bert_config.json").read_text())
    tagger = built(  # of the example's sizes, to share its configuration
        head="token",
        name="model.ckpt",
        step=3000,
        vocab=config["vocab_size"],
        hidden=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        intermediate=config["intermediate_size"],
        positions=config["max_position_embeddings"],
    )
    for path in tagger.directory.glob("model.ckpt-3000.*"):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    made = {}
    exec(compile(code, "README.md", "exec"), made)
    assert (tmp_path / "bert-base-uncased" / "model.safetensors").is_file()
    assert isinstance(made["state"]["bert.pooler.dense.weight"], torch.Tensor)
    assert made["plan"].architecture.name == "BertForTokenClassification"
    printed = capsys.readouterr().out
    assert str(made["plan"].ledger.source_counts()) in printed
    assert printed.splitlines()[-1] == str((config["hidden_size"],) * 2)
    assert torch.equal(made["state"]["bert.pooler.dense.weight"], torch.from_numpy(made["kernel"].T.copy()))


def masked(line):
    """A line without what differs from machine to machine: its figures, and which group is furthest from its limit."""
    figures = re.sub(r"\d[\d.]*(?:e[+-]?\d+)?", "N", " ".join(line.split()))
    return re.sub(r": [^:]*, N times the limit", ": PLACE, N times the limit", figures)


@pytest.mark.slow
def test_what_a_failing_verification_prints(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    shown = next(block for block in blocks("") if "bridgeckpt verify examples" in block)
    command, _, output = shown.partition("\n")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    assert main(["convert", "tf2pt", "examples/tiny-bert", "erf", "--hidden-act", "gelu"]) == 0
    capsys.readouterr()
    assert main(shlex.split(command)[2:]) == 1
    printed = iter([masked(line) for line in capsys.readouterr().out.splitlines()])
    for line in output.splitlines():
        if line not in ("", "..."):
            assert masked(line) in printed, line  # in this order


def test_the_migration_of_the_readme(built, tmp_path, monkeypatch):
    """Its shell commands and its test file, as they stand, in an empty folder that has a checkpoint."""
    pytest.importorskip("torch")
    made = built()
    shutil.copytree(made.directory, tmp_path / "my_bert")
    (tmp_path / "tests").mkdir()
    monkeypatch.chdir(tmp_path)
    once, later = (block for block in blocks("sh") if "record my_bert/" in block or "tests/test_parity.py" in block)
    for line in once.splitlines():
        if line.startswith("bridgeckpt "):
            assert main(shlex.split(line)[1:]) == 0
    test = next(block for block in blocks("python") if "test_parity" in block)
    (tmp_path / "tests" / "test_parity.py").write_text(test)
    command = later.splitlines()[-1]
    run = subprocess.run([sys.executable, "-m", *shlex.split(command)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"1 passed, 1 skipped|2 passed", run.stdout)


def test_a_function_of_ones_own_as_the_readme_has_it(built, tmp_path, monkeypatch, capsys):
    tf = pytest.importorskip("tensorflow")
    pytest.importorskip("torch")
    made = built(head="classifier")
    monkeypatch.chdir(tmp_path)
    bridgeckpt.convert(made.prefix, "my_model")
    code = next(block for block in blocks("python") if "my_tf_model" in block)
    exec(
        compile(code, "README.md", "exec"),
        {"my_tf_model": lambda _: tf.constant(made.outputs["logits"]), "inputs": made.inputs},
    )
    assert capsys.readouterr().out.startswith("True None None")

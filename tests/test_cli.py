"""The command line as a person, a pipe and a script see it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import bridgeckpt
from bridgeckpt.cli import main
from bridgeckpt.sizes import format_size, parse_size


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"bridgeckpt {bridgeckpt.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["convert"],
        ["convert", "tf2pt"],
        ["convert", "tf2pt", "a", "b", "--heads", "0"],
        ["inspekt"],
        ["convert", "tf2pt", "a", "b", "--dtype", "float8"],
        ["convert", "tf2pt", "a", "b", "--max-shard-size", "huge"],
        ["convert", "tf2pt", "a", "b", "--layer-norm-eps", "2"],
        ["convert", "tf2pt", "a", "b", "--cased", "--uncased"],
    ],
)
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: bridgeckpt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["--help"], ["convert", "tf2pt", "--help"], ["inspect", "--help"], ["mappings", "--help"]]
)
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert len(text) > 400
    assert max(map(len, text.splitlines())) <= 120


def test_convert_says_what_it_decided(example, tmp_path, capsys):
    assert main(["convert", "tf2pt", str(example), str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for part in (
        "bert/google",
        "BertForPreTraining",
        "mapped",
        "written",
        "2 tied",
        "hidden_act = gelu_pytorch_tanh",
        "layer_norm_eps = 1e-12",
        "uncased",
        "conversion_report.json",
        "from_pretrained",
    ):
        assert part in printed.out
    assert "\x1b" not in printed.out  # plain lines in a pipe


def test_json_is_alone_on_stdout(example, tmp_path, capsys):
    assert main(["convert", "tf2pt", str(example), str(tmp_path / "out"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["ok"] is True
    assert record["architecture"] == "BertForPreTraining"
    assert record["target_states"]["tied"] == 2
    assert "model.safetensors" in record["files"]


def test_a_dry_run_writes_nothing(example, tmp_path, capsys):
    assert main(["convert", "tf2pt", str(example), str(tmp_path / "out"), "--dry-run"]) == 0
    assert "nothing was written" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_inspect_a_checkpoint(example, capsys):
    assert main(["inspect", str(example)]) == 0
    printed = capsys.readouterr().out
    for part in (
        "TensorBundle V2",
        "bert/google",
        "BertForPreTraining",
        "bert/encoder/layer_{0..1}/output/dense/kernel",
    ):
        assert part in printed


def test_inspect_as_json(example, capsys):
    assert main(["inspect", str(example), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["dialect"] == "bert/google"
    assert record["sizes"]["num_attention_heads"]["value"] == 3
    assert sum(family["tensors"] for family in record["tensors"]) == len(bridgeckpt.open_checkpoint(example).tensors)


def test_inspect_what_no_table_reads(samples, capsys):
    assert main(["inspect", str(samples / "real" / "gpt2-toy")]) == 0
    printed = capsys.readouterr().out
    assert "no mapping table recognises" in printed
    assert "model/h0/attn/c_attn/w" in printed


def test_inspect_an_index_without_its_data(samples, capsys):
    index = samples / "real" / "bleurt-test-ckpt-snappy-indexonly" / "variables" / "variables.index"
    assert main(["inspect", str(index)]) == 0
    assert "layer" in capsys.readouterr().out


def test_mappings_list_show_and_check(capsys):
    assert main(["mappings", "list"]) == 0
    assert "bert/google_keras" in capsys.readouterr().out
    assert main(["mappings", "show", "bert/google"]) == 0
    assert "[group.layer]" in capsys.readouterr().out
    assert main(["mappings", "check", "--no-coverage"]) == 0
    assert "bert/google: no problems" in capsys.readouterr().out


def test_mappings_check_finds_a_mistake(tmp_path, capsys):
    bad = tmp_path / "bad.toml"
    bad.write_text(
        'schema = 1\ntitle = "x"\nmodel = "bert/model"\ndetect = "a/kernel"\n[group.pooler]\ntf = "a/"\n'
        'pt = "bert.pooler."\nrows = [\n'
        '  { tf = "kernel", pt = "dense.weight", layout = "hidden hiden -> hiden hidden" },\n]\n'
    )
    assert main(["mappings", "check", str(bad), "--no-coverage"]) == 1
    printed = capsys.readouterr().out
    assert "unknown-axis" in printed
    assert "hiden" in printed
    assert "bad.toml:9" in printed


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bert/encoder/layer_3/output/dense/kernel", "bert.encoder.layer.3.output.dense.weight"),
        ("my_model/bert/encoder/layer_3/output/dense/kernel", "bert.encoder.layer.3.output.dense.weight"),
        ("bert.encoder.layer.3.output.dense.weight", "bert/encoder/layer_3/output/dense/kernel"),
        ("bert/pooler/dense/bias/adam_m", "optimizer state"),
        ("global_step", "training step"),
        ("cls.predictions.decoder.weight", "the same parameter"),
    ],
)
def test_mappings_explain(name, says, capsys):
    assert main(["mappings", "explain", "bert/google", name]) == 0
    assert says in capsys.readouterr().out


def test_mappings_explain_a_name_nobody_knows(capsys):
    assert main(["mappings", "explain", "bert/google", "bert/adapter"]) == 1
    assert "knows nothing of bert/adapter" in capsys.readouterr().err


def test_output_cut_off_by_head(example):
    command = f"{sys.executable} -m bridgeckpt inspect {example} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("checkpoint")
    assert done.stderr == ""


def test_sizes_of_files():
    assert [parse_size(text) for text in ("5GB", "500 mb", "1.5GiB", "10", 7)] == [
        5 * 10**9,
        5 * 10**8,
        3 * 2**29,
        10,
        7,
    ]
    for text in ("", "GB", "5XB", "-1", "0", 0):
        with pytest.raises(ValueError, match="size"):
            parse_size(text)
    assert [format_size(n) for n in (5, 440_501_000, 1.3e12)] == ["5 B", "440.5 MB", "1.3 TB"]

"""The command line as a person, a pipe and a script see it."""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

import bridgeckpt
from bridgeckpt.cli import main
from bridgeckpt.cli.arguments import parser
from bridgeckpt.store.sizes import format_size, parse_size


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


def test_help_says_what_every_argument_does():
    unseen, arguments = [parser()], 0
    while unseen:
        command = unseen.pop()
        for action in command._actions:
            if isinstance(action, argparse._SubParsersAction):
                assert {choice.dest for choice in action._choices_actions if choice.help} == set(action.choices)
                unseen += action.choices.values()
            else:
                arguments += 1
                assert action.help, f"{command.prog} {action.dest}"
    assert arguments > 30


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
    printed = capsys.readouterr().out
    assert "bert/google_keras" in printed
    assert "bert/model" in printed
    assert main(["mappings", "show", "bert/google"]) == 0
    assert "[group.layer]" in capsys.readouterr().out
    assert main(["mappings", "show", "bert/model"]) == 0
    assert "[architectures" in capsys.readouterr().out
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
    assert main(["mappings", "show", str(bad)]) == 0
    assert capsys.readouterr().out == bad.read_text()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bert/encoder/layer_3/output/dense/kernel", "bert.encoder.layer.3.output.dense.weight"),
        ("my_model/bert/encoder/layer_3/output/dense/kernel", "bert.encoder.layer.3.output.dense.weight"),
        ("bert.encoder.layer.3.output.dense.weight", "bert/encoder/layer_3/output/dense/kernel"),
        ("bert/pooler/dense/bias/adam_m", "optimizer state"),
        ("cls.predictions.decoder.weight", "the same parameter"),
    ],
)
def test_mappings_explain(name, says, capsys):
    assert main(["mappings", "explain", "bert/google", name]) == 0
    assert says in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("cls/seq_relationship/output_weights", "cls.seq_relationship.weight"),
        ("my_model/cls/seq_relationship/output_weights", "cls.seq_relationship.weight"),
        ("output_weights", "classifier.weight"),
    ],
)
def test_mappings_explain_says_one_thing_of_a_name(name, becomes, capsys):
    assert main(["mappings", "explain", "bert/google", name, "--json"]) == 0
    explanations = json.loads(capsys.readouterr().out)["explanations"]
    assert [explanation["becomes"] for explanation in explanations] == [[becomes]]


def test_mappings_explain_a_name_nobody_knows(capsys):
    assert main(["mappings", "explain", "bert/google", "bert/adapter"]) == 1
    said = capsys.readouterr().err
    assert "says nothing about bert/adapter" in said
    assert "counters are known by their form" in said  # they are in no table


@pytest.mark.parametrize(("unbuffered", "status"), [("", 0), ("1", 1)])
def test_output_that_nobody_reads(unbuffered, status):
    """As in ``| head``: the reader has gone before anything is written, at the end or line by line."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "bridgeckpt", "mappings", "explain", "bert/google", "bert/pooler/dense/bias"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, env=environment)
    finally:
        os.close(writing)
    assert (done.stderr, done.returncode) == ("", status)


@pytest.fixture(params=["a name too long", "no right to search", "no right to list"])
def out_of_reach(request, tmp_path):
    """A path that the system refuses to look at."""
    if request.param == "a name too long":
        yield tmp_path / ("x" * 300 + ".toml")
        return
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        pytest.skip("root may read everything")
    locked = tmp_path / "locked"
    (locked / "x.toml").mkdir(parents=True)
    locked.chmod(0o600 if request.param == "no right to search" else 0)
    yield locked if request.param == "no right to list" else locked / "x.toml"
    locked.chmod(0o700)


@pytest.mark.parametrize("argument", ["--config", "--vocab", "--mapping", "DST"])
def test_paths_that_the_system_refuses(argument, out_of_reach, example, tmp_path, capsys):
    out, options = tmp_path / "out", [argument, str(out_of_reach)]
    if argument == "DST":
        out, options = out_of_reach, []
    assert main(["convert", "tf2pt", str(example), str(out), *options]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert str(out_of_reach.parent) in message
    assert "hint: " in message


def progress_of(example, out, stderr):
    """Convert with a progress bar that does not wait."""
    code = (
        "import sys; from bridgeckpt.cli import console, main; console._PATIENCE = 0; status = main(sys.argv[1:]);"
        "print('rich' in sys.modules); sys.exit(status)"
    )
    command = [sys.executable, "-c", code, "convert", "tf2pt", str(example), str(out), "--dtype", "float16"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment)


def test_a_progress_bar_on_a_terminal(example, tmp_path):
    pty = pytest.importorskip("pty")
    terminal, end = pty.openpty()
    process = progress_of(example, tmp_path / "out", end)
    os.close(end)
    shown = b""
    with suppress(OSError):  # how a terminal says that the other side has gone
        while data := os.read(terminal, 1 << 16):
            shown += data
    os.close(terminal)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said.endswith("True\n")
    written = (tmp_path / "out" / "model.safetensors").read_bytes()
    total = len(written) - 8 - int.from_bytes(written[:8], "little")
    assert f"converting {format_size(total)}" in shown.decode()


def test_no_progress_bar_in_a_pipe(example, tmp_path):
    process = progress_of(example, tmp_path / "out", subprocess.PIPE)
    said, shown = process.communicate(timeout=60)
    assert (process.returncode, shown) == (0, "")
    assert said.endswith("False\n")


def test_main_leaves_the_process_as_it_found_it(capsys):
    before = signal.getsignal(signal.SIGTERM)
    gc.disable()
    try:
        assert main(["mappings", "list"]) == 0
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert main(["mappings", "list"]) == 0
    assert gc.isenabled()
    assert signal.getsignal(signal.SIGTERM) is before


def test_main_in_a_thread(capsys):
    with ThreadPoolExecutor() as pool:
        assert pool.submit(main, ["mappings", "list"]).result() == 0


def test_an_interrupt_as_json(example, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("bridgeckpt.cli.inspect.inspect", interrupt)
    assert main(["inspect", str(example), "--json"]) == 130
    printed = capsys.readouterr()
    assert json.loads(printed.out)["error"] == "Interrupted"
    assert "interrupted" in printed.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dtype": "float8"}, "float32, float16, bfloat16"),
        ({"dtype": np.dtype("float16")}, "float32, float16, bfloat16"),
        ({"heads": 0}, "at least 1"),
        ({"max_shard_size": "huge"}, "5GB"),
        ({"framework": "tf"}, "np, pt"),
    ],
    ids=str,
)
def test_arguments_of_the_functions_that_cannot_be(options, says, example, tmp_path):
    if "framework" not in options:
        with pytest.raises(bridgeckpt.BridgeckptError, match=says):
            bridgeckpt.convert(example, tmp_path / "out", **options)
    if "max_shard_size" not in options:
        with pytest.raises(bridgeckpt.BridgeckptError, match=says):
            bridgeckpt.load_state_dict(example, **options)
    assert not list(tmp_path.iterdir())


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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is Linux's")
def test_output_to_a_full_disk_is_one_message(example):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "bridgeckpt", "inspect", str(example)]
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
        )
    assert done.returncode == 1
    assert done.stderr == "error: cannot write to standard output: No space left on device\n"

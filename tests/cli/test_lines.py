"""Lines for people: aligned, wrapped in a terminal, with warnings that stand out; whole and plain in a pipe."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from paths import FIXTURES

from bridgeckpt.cli.wrapping import wrapped

COLUMNS = 80
YELLOW = "\x1b[1;33m"
SOURCE = str(FIXTURES / "mg23_token_classifier" / "source")


def in_a_terminal(*arguments: str, **environment: str) -> str:
    """What the command prints in a terminal of 80 columns."""
    reading, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    command = [sys.executable, "-m", "bridgeckpt", *arguments]
    printed = b""
    with subprocess.Popen(
        command, stdin=writing, stdout=writing, stderr=writing, env={**inherited, "TERM": "xterm", **environment}
    ):
        os.close(writing)
        while True:
            try:
                data = os.read(reading, 1 << 16)
            except OSError:  # the other side is closed
                break
            if not data:
                break
            printed += data
    os.close(reading)
    return printed.decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def too_wide(text: str) -> list[str]:
    """The lines that do not fit. A name that is wider than the text's column is not broken."""
    lines = [line.rstrip() for line in plain(text).splitlines()]
    return [line for line in lines if len(line) > COLUMNS and max(map(len, line.split())) <= COLUMNS - 11]


def test_a_terminal_gets_lines_of_its_width_and_yellow_warnings(tmp_path):
    shown = in_a_terminal("convert", "tf2pt", SOURCE, str(tmp_path / "out"), "--dry-run")
    lines = plain(shown).splitlines()
    assert too_wide(shown) == []
    assert f"{YELLOW}warning" in shown
    assert lines[[line.startswith("warning") for line in lines].index(True) + 1].startswith(" " * 11)
    words = " ".join(plain(shown).split())
    assert "--architecture BertForTokenClassification chooses that one" in words
    without = in_a_terminal("convert", "tf2pt", SOURCE, str(tmp_path / "out"), "--dry-run", NO_COLOR="1")
    assert YELLOW not in without
    assert plain(without) == plain(shown)


@pytest.mark.parametrize("case", ["mg23_token_classifier", "kerasbert_whole", "hub_keras_export", "hf440_masked_lm"])
def test_an_inspection_fits_the_width_of_a_terminal(case):
    shown = in_a_terminal("inspect", str(FIXTURES / case / "source"))
    assert "mapped" in shown
    assert too_wide(shown) == []


def test_help_fits_the_width_of_a_terminal():
    shown = in_a_terminal("convert", "tf2pt", "--help")
    assert "unconverted.safetensors" in shown
    assert too_wide(shown) == []


def test_a_refusal_fits_the_width_of_a_terminal(tmp_path):
    config = tmp_path / "wrong_config.json"
    config.write_text(json.dumps({"num_hidden_layers": 12, "hidden_size": 768, "intermediate_size": 3072}))
    shown = in_a_terminal("convert", "tf2pt", SOURCE, str(tmp_path / "out"), "--config", str(config))
    assert shown.startswith("error: ")
    assert plain(shown).count("  config     ") == 1
    assert too_wide(shown) == []


def test_a_table_to_paste_is_not_wrapped():
    """TOML has no strings or inline tables over several lines: what is on the screen is what is pasted."""
    import tomllib

    text = "error: 2 tensors: a head of your own that no class of transformers computes, with a table for it"
    table = ["[[ignored]]", f'tf = "{"a" * 40}/**"', 'reason = "a head of our own that no class of transformers has"']
    shown = [piece for line in [text, *(f"{'':15}{line}" for line in table)] for piece in wrapped(line, 60)]
    assert shown[0] != text
    assert tomllib.loads("\n".join(shown[-3:]))["ignored"][0]["tf"].endswith("a/**")


def test_names_in_a_table_are_broken_between_their_parts():
    listed = plain(in_a_terminal("mappings", "list")).split()
    assert {"keras_model_garden_pretrainer", "bert/keras_model_garden"} <= {*listed}
    inspected = plain(in_a_terminal("inspect", SOURCE)).split()
    assert {"transformer/layer_{0..1}/", "self_attention_layer_norm/gamma"} <= {*inspected}


def test_wrapped_lines_keep_their_indentation_and_their_names():
    assert list(wrapped("a b", None)) == ["a b"]
    text = "  missing    " + "bert/encoder/layer_0/output " * 3
    assert list(wrapped(text, 50)) == [
        "  missing    bert/encoder/layer_0/output",
        "             bert/encoder/layer_0/output",
        "             bert/encoder/layer_0/output",
    ]
    name = "x" * 100
    assert list(wrapped(f"    {name} is there", 60)) == [f"    {name}", "    is there"]
    assert list(wrapped("a line of a terminal that is too narrow", 20)) == ["a line of a terminal that is too narrow"]


@pytest.mark.parametrize("case", sorted(path.parent.name for path in FIXTURES.glob("*/case.json")))
def test_every_known_dialect_fits_a_screen(case, capsys):
    """Two layers or twelve: what repeats is folded. An embedding, a layer, a pooler and three heads are 35 tensors."""
    from bridgeckpt.cli import main
    from bridgeckpt.converting.inspection import inspect

    source = FIXTURES / case / "source"
    if case == "hub_transformers":
        source = source / "saved_model" / "1"
    assert main(["inspect", str(source)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 50
    found = inspect(source)
    assert sum(family.tensors for family in found.families) == len(found.checkpoint.tensors)

"""What the commands share: the layout of help texts, the argument SRC, common options, and the types of values."""

from __future__ import annotations

import argparse
import re
import sys
from math import inf
from pathlib import Path
from typing import Any

from bridgeckpt.cli.wrapping import width_of, wrapped
from bridgeckpt.store.sizes import parse_size

_WIDTH = 110  # columns of a help text at most

SOURCE = """\
SRC is the checkpoint: its folder, its prefix (bert_model.ckpt) or any of its files (.index, .meta,
.data-00000-of-00001, checkpoint), or the folder of a SavedModel or hub module. The files bert_config.json and vocab.txt
are looked for beside it."""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of our texts and leaves more room for option names, in as many columns as there are."""

    def __init__(self, prog: str) -> None:
        width = width_of(sys.stdout)
        super().__init__(prog, max_help_position=30, width=_WIDTH if width is None else min(_WIDTH, width - 2))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """A description: in a narrow terminal, its paragraphs are filled anew, and other lines wrapped."""
        if width < _WIDTH:
            text = re.sub(r"(?<![:\n])\n(?![ \n])", " ", text)
        room = None if width >= _WIDTH else width
        return "\n".join(f"{indent}{piece}" for line in text.splitlines() for piece in wrapped(line, room))


def source(parser: argparse.ArgumentParser) -> None:
    """The argument SRC."""
    parser.add_argument(
        "source", metavar="SRC", type=path, help="the checkpoint: a folder, a prefix or any of its files"
    )


def shared(group: argparse._ActionsContainer, *names: str) -> None:
    """Add options that mean the same in every command."""
    for name in names:
        group.add_argument(name, **_SHARED[name])


def path(text: str) -> Path:
    """A path, with ``~`` expanded."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty: is a variable of the shell not set?")
    return Path(text).expanduser()


def size(text: str) -> int:
    """A number of bytes, as in 500MB."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def seed(text: str) -> int:
    """The seed of a random generator: a whole number of 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def epsilon(text: str) -> float:
    """A number between 0 and 1, both excluded."""
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1, as in 1e-12")
    return value


def tolerance(text: str) -> float:
    """A finite number of 0 or more."""
    value = _number(text)
    if not 0 <= value < inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more, as in 1e-5")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0


_SHARED: dict[str, dict[str, Any]] = {
    "--mapping": {"metavar": "NAME|FILE", "help": "the mapping table (default: detected)"},
    "--architecture": {
        "metavar": "CLASS",
        "help": "the Hugging Face class, as in BertForTokenClassification (default: detected)",
    },
    "--config": {"metavar": "FILE", "type": path, "help": "the config, if it is not beside the checkpoint"},
    "--heads": {
        "metavar": "N",
        "type": positive,
        "help": "number of attention heads, if neither config nor graph has it",
    },
    "--hidden-act": {"metavar": "NAME", "help": "activation function: gelu (with erf), gelu_pytorch_tanh, relu, ..."},
    "--layer-norm-eps": {"metavar": "X", "type": epsilon, "help": "epsilon of the layer normalisations"},
    "--scope": {"metavar": "PREFIX", "help": "which model, if the checkpoint holds several, as in student/"},
    "--ema": {"action": "store_true", "help": "use the exponential moving averages of the weights"},
    "--skip-crc": {
        "dest": "verify",
        "action": "store_false",
        "help": "do not check the checksums (CRC-32C) of the tensors that are read",
    },
    "--json": {"action": "store_true", "help": "print JSON on stdout and nothing else"},
}

"""The arguments of the commands that prove a conversion: record, verify and diff."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from bridgeckpt.cli.options import SOURCE, Formatter, path, seed, shared, source, tolerance
from bridgeckpt.dtypes import RUN_DTYPES

_RECORD = f"""\
Run a TensorFlow checkpoint in TensorFlow and write what it computes into REF: one file with the inputs, the embeddings,
every hidden state and the logits of every head. `bridgeckpt verify` compares a PyTorch model with it, on any machine.

{SOURCE}

Two programs run: the graph beside the checkpoint, and a forward pass in plain TensorFlow operations. The latter also
runs in float64. The inputs use every weight: they have padding, both segments, every position and every token.

REF is a new file, as in REF.safetensors, or an older reference, which is replaced. No other file is overwritten."""

_RECORD_END = """\
examples:
  bridgeckpt record bert_model.ckpt reference.safetensors               on a machine with TensorFlow
  bridgeckpt verify reference.safetensors bert/ --device cuda           on a machine with a GPU

  bridgeckpt record model.ckpt-3000 ref.safetensors --texts lines.txt --tokenizer bert/    inputs of your own
  bridgeckpt record big.ckpt ref.safetensors --no-graph                 only the plain forward pass

Needs TensorFlow: pip install "bridgeckpt[tensorflow]"."""

_VERIFY = """\
Does the PyTorch model in DST compute what the TensorFlow model computes? The command runs DST on the inputs of the
reference. It compares the embeddings, every hidden state and the logits of every head, and says PASS or FAIL. On FAIL
it says where the first error is and what causes it.

SRC|REF is a reference that `bridgeckpt record` wrote, or the TensorFlow checkpoint itself. A checkpoint is recorded
first, which needs TensorFlow in the same environment. If it holds several models, or weights and their moving averages,
the one that DST was converted from is recorded. DST is the folder that `bridgeckpt convert` made, or any folder that
from_pretrained loads."""

_VERIFY_END = """\
how it is judged: DST also runs in float64, which measures the size of its rounding errors. Each difference is divided
by this size. The limit of each stage follows from how many numbers it has. There is no tolerance to choose.

what is loaded: from_pretrained(DST), without a dtype or any other option but those that `bridgeckpt convert` printed
as `load it`. If transformers changes a value of the files meanwhile (another dtype, a row set to zero), or makes up one
that no file holds, that is a failure, and the key of config.json is named.

the tokenizer: AutoTokenizer of DST is judged by the vocabulary beside the checkpoint, which REF keeps: the id of every
token, the special tokens, and the ids of texts that tell casings apart. Without a vocabulary it is not judged.

what is not proven: a setting that no tensor holds, and that no graph or config of SRC and no option gives, is assumed
on both sides. Their agreement proves nothing about it. `unproven` lists such keys of config.json and says what settles
each. With --strict they are a failure. `bridgeckpt record` keeps in REF what it assumed.

examples:
  bridgeckpt verify uncased_L-12_H-768_A-12/ bert/                      both sides on this machine
  bridgeckpt verify reference.safetensors bert/ --device cuda           without TensorFlow, on a GPU
  bridgeckpt verify reference.safetensors bert/ --device cuda --dtype tf32 --dtype bfloat16
  bridgeckpt verify reference.safetensors bert/ --html parity.html      a page, for a pull request for example
  bridgeckpt verify reference.safetensors bert/ --json > parity.json    numbers that are not finite are strings: "NaN"

In a test suite (pytest finds the fixture by itself):
  def test_parity(parity):
      parity.assert_matches("reference.safetensors", "bert/")

Needs PyTorch and transformers: pip install "bridgeckpt[verify]". Exit status: 0 pass, 1 fail or refused."""

_DIFF = """\
Do two checkpoints hold the same tensors? A and B are checkpoints in any formats and dialects that bridgeckpt reads, for
example a Google checkpoint and a Hugging Face folder. Mapping tables bring each of them to PyTorch's names and axes.
Then they are compared tensor by tensor. The command needs neither TensorFlow nor PyTorch."""

_DIFF_END = """\
examples:
  bridgeckpt diff uncased_L-12_H-768_A-12/ bert/              did the conversion change a value?
  bridgeckpt diff bert/ finetuned/ --all                      what did training change, and what not?

`bridgeckpt diff` compares the values that are stored, `bridgeckpt verify` what the models compute with them.
Exit status: 0 the same, 1 different or refused."""

_SETTINGS = ("--config", "--heads", "--hidden-act", "--layer-norm-eps")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    _record(commands)
    _verify(commands)
    _diff(commands)


def _record(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    record = commands.add_parser(
        "record",
        help="run a checkpoint in TensorFlow and keep what it computes",
        description=_RECORD,
        epilog=_RECORD_END,
        formatter_class=Formatter,
    )
    record.set_defaults(action="record")
    source(record)
    record.add_argument("reference", metavar="REF", type=_reference, help="the file to write, as in ref.safetensors")
    reading = record.add_argument_group("how to read the source")
    shared(reading, "--scope", "--ema", *_SETTINGS)
    inputs = record.add_argument_group("what to run it on")
    _inputs(inputs)
    inputs.add_argument("--tokenizer", metavar="FOLDER", type=path, help="the tokenizer for --texts, as in DST")
    runs = record.add_argument_group("what to run")
    runs.add_argument(
        "--no-float64",
        dest="float64",
        action="store_false",
        help="do not run in float64: quicker, but rounding can hide more errors",
    )
    runs.add_argument(
        "--no-graph", dest="graph", action="store_false", help="do not run the graph beside the checkpoint"
    )
    shared(record, "--json")


def _verify(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verify = commands.add_parser(
        "verify",
        help="prove that a PyTorch model computes what TensorFlow's does",
        description=_VERIFY,
        epilog=_VERIFY_END,
        formatter_class=Formatter,
    )
    verify.set_defaults(action="verify")
    verify.add_argument("source", metavar="SRC|REF", type=path, help="a reference, or the TensorFlow checkpoint")
    verify.add_argument("folder", metavar="DST", type=path, help="the folder of the PyTorch model")
    running = verify.add_argument_group("where and how to run it")
    running.add_argument(
        "--device",
        type=_device,
        default="auto",
        metavar="auto|cpu|cuda|cuda:N",
        help="the device to run on (default: auto, a GPU if there is one)",
    )
    running.add_argument(
        "--dtype",
        dest="dtypes",
        action="append",
        choices=RUN_DTYPES,
        default=[],
        help="a precision to run in besides float32 (may be repeated)",
    )
    running.add_argument(
        "--atol",
        type=tolerance,
        metavar="X",
        help="pass every difference up to X + RTOL |value| (default: the measured rounding decides)",
    )
    running.add_argument("--rtol", type=tolerance, metavar="X", help="the relative part of the tolerance, see --atol")
    running.add_argument(
        "--strict",
        action="store_true",
        help="fail too if a setting is assumed on both sides and shown by nothing (`unproven`)",
    )
    running.add_argument(
        "--any-checkpoint", action="store_true", help="accept a reference of another checkpoint than DST's"
    )
    recording = verify.add_argument_group("how to record, if SRC is the checkpoint")
    _inputs(recording)
    shared(recording, "--scope", "--ema", *_SETTINGS)
    verify.set_defaults(ema=None)  # None: as DST was converted
    output = verify.add_argument_group("what to show")
    output.add_argument("--all", action="store_true", help="show every stage on its own row, also those that agree")
    output.add_argument(
        "--html",
        metavar="FILE",
        type=path,
        help="write an HTML page with a picture of the errors; replaces such a page",
    )
    shared(output, "--json")


def _diff(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    diff = commands.add_parser(
        "diff",
        help="compare two checkpoints tensor by tensor",
        description=_DIFF,
        epilog=_DIFF_END,
        formatter_class=Formatter,
    )
    diff.set_defaults(action="diff")
    diff.add_argument("a", metavar="A", type=path, help="a checkpoint: a folder, a prefix or any of its files")
    diff.add_argument("b", metavar="B", type=path, help="the other checkpoint")
    reading = diff.add_argument_group("how to read them")
    shared(reading, "--mapping", "--architecture", "--config", "--heads", "--scope", "--ema", "--skip-crc")
    output = diff.add_argument_group("what to show")
    output.add_argument("--all", action="store_true", help="list all differing tensors, and the identical ones too")
    shared(output, "--json")


def _inputs(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--texts",
        metavar="FILE",
        type=path,
        help="run on these texts instead of random tokens: UTF-8, one text per line, or two with a tab between them",
    )
    group.add_argument("--seed", metavar="N", type=seed, help="the seed of the random inputs (default: 0)")


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not auto, cpu, cuda, or cuda:N as in cuda:1")
    return text


def _reference(text: str) -> Path:
    file = path(text)
    if file.suffix != ".safetensors":
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .safetensors")
    return file

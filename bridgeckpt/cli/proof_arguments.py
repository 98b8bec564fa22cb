"""The arguments of the commands that prove a conversion: record, verify and diff."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from bridgeckpt.cli.options import SOURCE, Formatter, path, seed, shared, source, tolerance
from bridgeckpt.dtypes import RUN_DTYPES

_RECORD = f"""\
Run a TensorFlow checkpoint in TensorFlow and write what it computes: REF, one file with the inputs, the embeddings,
every hidden state and every head's logits, for `bridgeckpt verify` to hold a PyTorch model against, on any machine.

{SOURCE}

What runs is the graph that came with the checkpoint, and a forward pass in plain TensorFlow operations, which is run in
float64 too. The inputs read every weight: padding, both segments, every position and every token.

REF is a new file, REF.safetensors, or an older reference, which is replaced; nothing else is ever overwritten."""

_RECORD_END = """\
examples:
  bridgeckpt record bert_model.ckpt reference.safetensors               on the machine that has TensorFlow
  bridgeckpt verify reference.safetensors bert/ --device cuda           on the machine that has the GPU

  bridgeckpt record model.ckpt-3000 ref.safetensors --texts lines.txt --tokenizer bert/    inputs of your own
  bridgeckpt record big.ckpt ref.safetensors --no-graph                 the plain forward pass alone

Needs TensorFlow: pip install "bridgeckpt[tensorflow]"."""

_VERIFY = """\
Does the PyTorch model in DST compute what the TensorFlow model computes? Runs DST on the reference's inputs, compares
embeddings, every hidden state and every head's logits, and says PASS or FAIL; on FAIL where it first goes wrong and
what is to blame.

SRC|REF is a reference that `bridgeckpt record` wrote, or the TensorFlow checkpoint itself, which is then recorded first
(that needs TensorFlow in the same environment). Of several models in it, or of weights and their moving averages, that
one is recorded which DST was converted from. DST is the folder that `bridgeckpt convert` made, or any folder that
from_pretrained loads."""

_VERIFY_END = """\
how it is judged: the size of the rounding is measured, by running DST in float64 too; an error is counted in such
roundings, and the limit of each stage follows from how many numbers it has. There is no tolerance to choose.

examples:
  bridgeckpt verify uncased_L-12_H-768_A-12/ bert/                      both sides here
  bridgeckpt verify reference.safetensors bert/ --device cuda           without TensorFlow, on a GPU
  bridgeckpt verify reference.safetensors bert/ --device cuda --dtype tf32 --dtype bfloat16
  bridgeckpt verify reference.safetensors bert/ --html parity.html      a page for the pull request
  bridgeckpt verify reference.safetensors bert/ --json > parity.json    numbers that are not finite are strings: "NaN"

In a test suite (pytest finds the fixture by itself):
  def test_parity(parity):
      parity.assert_matches("reference.safetensors", "bert/")

Needs PyTorch and transformers: pip install "bridgeckpt[verify]". Exit status: 0 pass, 1 fail or refused."""

_DIFF = """\
Do two checkpoints hold the same tensors? A and B are checkpoints of any formats and dialects that we read, a Google
checkpoint and a Hugging Face folder for example; they are compared tensor by tensor, each brought to PyTorch's names
and axes by its mapping. Needs neither TensorFlow nor PyTorch."""

_DIFF_END = """\
examples:
  bridgeckpt diff uncased_L-12_H-768_A-12/ bert/              did anything change on the way?
  bridgeckpt diff bert/ finetuned/ --all                      what did training move, and what not?

It compares values, not what is computed with them: `bridgeckpt verify` does that.
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
        help="leave out the run in float64: quicker, and less is proven of what rounding hides",
    )
    runs.add_argument(
        "--no-graph", dest="graph", action="store_false", help="leave out the graph that came with the checkpoint"
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
        help="default: auto, a GPU if there is one",
    )
    running.add_argument(
        "--dtype",
        dest="dtypes",
        action="append",
        choices=RUN_DTYPES,
        default=[],
        help="run it in this too, beside float32 (may be repeated)",
    )
    running.add_argument(
        "--atol",
        type=tolerance,
        metavar="X",
        help="pass differences up to X + RTOL |value|, however much rounding explains",
    )
    running.add_argument(
        "--rtol", type=tolerance, metavar="X", help="see --atol; by default the rounding that is measured decides"
    )
    running.add_argument(
        "--any-checkpoint", action="store_true", help="accept a reference that is of another checkpoint than DST is"
    )
    recording = verify.add_argument_group("how to record, when SRC is the checkpoint")
    _inputs(recording)
    shared(recording, "--scope", "--ema", *_SETTINGS)
    verify.set_defaults(ema=None)  # as DST was converted
    output = verify.add_argument_group("what to show")
    output.add_argument("--all", action="store_true", help="every stage on a row of its own, agreeing or not")
    output.add_argument(
        "--html", metavar="FILE", type=path, help="write a page with the errors as a picture; replaces such a page"
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
    diff.add_argument("b", metavar="B", type=path, help="the other")
    reading = diff.add_argument_group("how to read them")
    shared(reading, "--mapping", "--architecture", "--config", "--heads", "--scope", "--ema", "--skip-crc")
    output = diff.add_argument_group("what to show")
    output.add_argument("--all", action="store_true", help="identical tensors too")
    shared(output, "--json")


def _inputs(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--texts",
        metavar="FILE",
        type=path,
        help="run on these texts in place of random tokens: UTF-8, one a line, a tab between the two of a pair",
    )
    group.add_argument("--seed", metavar="N", type=seed, help="what the random inputs begin with (default: 0)")


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not auto, cpu, cuda or, as in cuda:1, one of several GPUs")
    return text


def _reference(text: str) -> Path:
    found = path(text)
    if found.suffix != ".safetensors":
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .safetensors, which is what it will be")
    return found

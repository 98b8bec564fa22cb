"""The arguments of every command and the help texts that teach them; those of the proof are in `proof_arguments`."""

from __future__ import annotations

import argparse
from functools import cache

from bridgeckpt._version import __version__
from bridgeckpt.cli import proof_arguments
from bridgeckpt.cli.options import SOURCE, Formatter, path, shared, size, source
from bridgeckpt.dtypes import WEIGHT_DTYPES
from bridgeckpt.store.sizes import parse_size

_MAIN = """\
Move model checkpoints from TensorFlow to PyTorch without TensorFlow, with every tensor accounted for; and prove that
the PyTorch model computes what the TensorFlow model computes."""

_MAIN_END = """\
examples:
  bridgeckpt inspect uncased_L-12_H-768_A-12/                what is this checkpoint?
  bridgeckpt convert tf2pt uncased_L-12_H-768_A-12/ bert/    make a folder that AutoModel.from_pretrained loads
  bridgeckpt verify uncased_L-12_H-768_A-12/ bert/           does it compute the same? (TensorFlow and PyTorch)
  bridgeckpt record uncased_L-12_H-768_A-12/ r.safetensors   TensorFlow's side of that, on one machine
  bridgeckpt verify r.safetensors bert/ --device cuda        PyTorch's side, on another
  bridgeckpt diff uncased_L-12_H-768_A-12/ bert/             do they hold the same tensors? (needs neither)
  bridgeckpt mappings list                                   which dialects are known

Exit status: 0 done, 1 refused or failed (the message says why and what to do), 2 wrong usage,
130 interrupted (Ctrl-C or SIGTERM; nothing was written)."""

_CONVERT = f"""\
Convert a TensorFlow BERT checkpoint into a Hugging Face folder: model.safetensors, config.json, the tokenizer files and
conversion_report.json, which says for every tensor where it came from.

{SOURCE}

DST is the folder to make. It appears whole or not at all."""

_CONVERT_END = """\
what is decided for you, and how to decide it yourself:
  the dialect           from the variable names            --mapping
  the class             from the heads that are there      --architecture
  sizes                 from the shapes, checked against the config
  heads                 config or shapes, else the graph   --heads
  activation, epsilon   the graph, else the dialect        --hidden-act, --layer-norm-eps
  casing                from the module or vocabulary      --cased, --uncased

examples:
  bridgeckpt convert tf2pt bert_model.ckpt bert/ --dry-run          plan and check, write nothing
  bridgeckpt convert tf2pt model.ckpt-3000 ner/ --architecture BertForTokenClassification
  bridgeckpt convert tf2pt checkpoints/ small/ --dtype bfloat16 --max-shard-size 2GB
  bridgeckpt convert tf2pt my_bert/ out/ --mapping my_table.toml    a dialect of your own"""

_INSPECT = f"""\
Say what a checkpoint is: format, dialect, architecture, sizes, tensors (folded over layers), optimizer state. Reads the
index, the config, the graph and the vocabulary but no tensor, so it is quick however large the checkpoint.

{SOURCE}"""

_MAPPINGS = """\
Mapping tables say which TensorFlow variable becomes which PyTorch parameter, and how its axes move. They are TOML
files; a table of your own is given as a path."""

_TABLE = "a shipped table, as in bert/google, or the path of a .toml file"


@cache
def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    main = argparse.ArgumentParser("bridgeckpt", description=_MAIN, epilog=_MAIN_END, formatter_class=Formatter)
    main.add_argument("--version", action="version", version=f"bridgeckpt {__version__}")
    commands = main.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _convert(commands)
    _inspect(commands)
    proof_arguments.add(commands)
    _mappings(commands)
    return main


def _convert(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    convert = commands.add_parser("convert", help="convert a checkpoint", description="Convert a checkpoint.")
    directions = convert.add_subparsers(dest="direction", metavar="DIRECTION", required=True)
    tf2pt = directions.add_parser(
        "tf2pt",
        help="TensorFlow to PyTorch (a Hugging Face folder)",
        description=_CONVERT,
        epilog=_CONVERT_END,
        formatter_class=Formatter,
    )
    tf2pt.set_defaults(action="convert")
    source(tf2pt)
    tf2pt.add_argument("destination", metavar="DST", type=path, help="the folder to make")
    _reading(tf2pt)
    output = tf2pt.add_argument_group("what to write")
    output.add_argument(
        "--dtype",
        choices=WEIGHT_DTYPES,
        help="store the weights as this (default: as they are); a value that does not fit is an error",
    )
    output.add_argument(
        "--max-shard-size",
        type=size,
        metavar="SIZE",
        default=parse_size("5GB"),
        help="begin a new file above this size, as in 500MB or 5GB (default: 5GB)",
    )
    output.add_argument("--dry-run", action="store_true", help="plan, check and report; write nothing")
    output.add_argument(
        "--force", action="store_true", help="replace DST when it is a converted model; it survives a failure"
    )
    shared(output, "--skip-crc")
    output.add_argument(
        "--checksums",
        action="store_true",
        help="write the SHA-256 of every tensor into conversion_report.json (a quarter slower)",
    )
    shared(output, "--json")


def _inspect(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    inspect = commands.add_parser(
        "inspect", help="say what a checkpoint is", description=_INSPECT, formatter_class=Formatter
    )
    inspect.set_defaults(action="inspect")
    source(inspect)
    _reading(inspect)
    shared(inspect, "--json")


def _reading(parser: argparse.ArgumentParser) -> None:
    """Options that say how to read the source; the same for converting and inspecting."""
    reading = parser.add_argument_group("how to read the source")
    shared(reading, "--mapping", "--architecture", "--config")
    reading.add_argument(
        "--vocab", metavar="FILE", type=path, help="the vocabulary, when it is not beside the checkpoint"
    )
    shared(reading, "--heads", "--hidden-act", "--layer-norm-eps", "--scope", "--ema")
    casing = reading.add_mutually_exclusive_group()
    casing.add_argument("--cased", dest="lowercase", action="store_false", default=None, help="the vocabulary is cased")
    casing.add_argument(
        "--uncased", dest="lowercase", action="store_true", default=None, help="the vocabulary is lower case"
    )


def _mappings(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    mappings = commands.add_parser(
        "mappings",
        help="list, show, check and explain mapping tables",
        description=_MAPPINGS,
        formatter_class=Formatter,
    )
    verbs = mappings.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="the tables there are", description="List the tables.")
    show = verbs.add_parser("show", help="print a table", description="Print a table's TOML file.")
    check = verbs.add_parser("check", help="check tables", description="Check tables for mistakes, without any tensor.")
    explain = verbs.add_parser(
        "explain",
        help="follow one tensor",
        description="Say what a table does with a TensorFlow or PyTorch name, and why.",
    )
    listing.set_defaults(action="mappings_list")
    show.set_defaults(action="mappings_show")
    check.set_defaults(action="mappings_check")
    explain.set_defaults(action="mappings_explain")
    show.add_argument("table", metavar="NAME|FILE", help=f"{_TABLE}; a model's, bert/model, too")
    check.add_argument("tables", metavar="NAME|FILE", nargs="*", help="default: every table that is shipped")
    check.add_argument(
        "--coverage",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="also compare with the Hugging Face classes (default: when torch and transformers are installed)",
    )
    explain.add_argument("table", metavar="NAME|FILE", help=_TABLE)
    explain.add_argument("name", metavar="TENSOR", help="as in bert/encoder/layer_3/output/dense/kernel")
    for verb in (listing, check, explain):
        shared(verb, "--json")

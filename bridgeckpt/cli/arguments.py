"""The arguments and help texts of every command; those of record, verify and diff are in `proof_arguments`."""

from __future__ import annotations

import argparse
from functools import cache

from bridgeckpt._version import __version__
from bridgeckpt.cli import proof_arguments
from bridgeckpt.cli.options import SOURCE, Formatter, path, shared, size, source
from bridgeckpt.dtypes import WEIGHT_DTYPES
from bridgeckpt.store.sizes import parse_size

_MAIN = """\
Convert model checkpoints from TensorFlow to PyTorch, without TensorFlow and with every tensor accounted for. Prove that
the PyTorch model computes what the TensorFlow model computes."""

_MAIN_END = """\
examples:
  bridgeckpt inspect uncased_L-12_H-768_A-12/                what is this checkpoint?
  bridgeckpt convert tf2pt uncased_L-12_H-768_A-12/ bert/    make a folder that AutoModel.from_pretrained loads
  bridgeckpt verify uncased_L-12_H-768_A-12/ bert/           do both compute the same? (TensorFlow and PyTorch)
  bridgeckpt record uncased_L-12_H-768_A-12/ r.safetensors   the same in two steps: TensorFlow on one machine,
  bridgeckpt verify r.safetensors bert/ --device cuda        PyTorch on another one
  bridgeckpt diff uncased_L-12_H-768_A-12/ bert/             do both hold the same tensors? (needs neither of them)
  bridgeckpt mappings list                                   which code's variable names (dialects) are known?

Exit status: 0 done, 1 refused or failed (the message says why and what to do), 2 wrong usage,
130 interrupted (Ctrl-C or SIGTERM; nothing was written)."""

_CONVERT = f"""\
Convert a TensorFlow BERT checkpoint into a Hugging Face folder: model.safetensors, config.json, the tokenizer files and
conversion_report.json, which says for every tensor where it came from.

{SOURCE}

DST is the folder to make. It appears only when it is complete."""

_CONVERT_END = """\
what is detected, from what, and the option to set it yourself:
  the dialect           the names of the variables         --mapping
  the class             the heads that are there           --architecture
  sizes                 the shapes, checked against the config
  attention heads       the config, the graph or shapes    --heads
  activation, epsilon   graph, else config, else dialect   --hidden-act, --layer-norm-eps
  casing                the module or the vocabulary       --cased, --uncased

A dialect is the set of names that one code base gives to its variables.

examples:
  bridgeckpt convert tf2pt bert_model.ckpt bert/ --dry-run          plan and check, write nothing
  bridgeckpt convert tf2pt model.ckpt-3000 ner/ --architecture BertForTokenClassification
  bridgeckpt convert tf2pt my_crf/ bert/ --architecture BertModel --keep-rest    the encoder of a model of your own
  bridgeckpt convert tf2pt checkpoints/ small/ --dtype bfloat16 --max-shard-size 2GB
  bridgeckpt convert tf2pt my_bert/ out/ --mapping my_table.toml    a dialect of your own"""

_INSPECT = f"""\
Say what a checkpoint is: format, dialect, class, sizes, tensors (one line for all layers), optimizer state. It reads
the index, the config, the graph and the vocabulary, but no tensor, so it is quick for a checkpoint of any size.

{SOURCE}"""

_MAPPINGS = """\
A mapping table says which TensorFlow variable becomes which PyTorch parameter, and how its axes move. Tables are TOML
files. A table of your own is given as a path."""

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
        help="the dtype to store the weights in (default: their own); a value that does not fit is an error",
    )
    output.add_argument(
        "--max-shard-size",
        type=size,
        metavar="SIZE",
        default=parse_size("5GB"),
        help="start a new model file above this size, as in 500MB or 5GB (default: 5GB)",
    )
    output.add_argument(
        "--keep-rest",
        action="store_true",
        help="also write what the class does not have (excluded) into unconverted.safetensors, as TensorFlow names it",
    )
    output.add_argument("--dry-run", action="store_true", help="plan, check and report; write nothing")
    output.add_argument(
        "--force", action="store_true", help="replace DST if it is a converted model; if this fails, the old DST stays"
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
    """The options of convert and inspect that say how to read the source."""
    reading = parser.add_argument_group("how to read the source")
    shared(reading, "--mapping", "--architecture", "--config")
    reading.add_argument(
        "--vocab", metavar="FILE", type=path, help="the vocabulary, if it is not beside the checkpoint"
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
    listing = verbs.add_parser("list", help="list the shipped tables", description="List the shipped tables.")
    show = verbs.add_parser("show", help="print a table", description="Print a table's TOML file.")
    check = verbs.add_parser(
        "check", help="check tables for mistakes", description="Check tables for mistakes. No checkpoint is needed."
    )
    explain = verbs.add_parser(
        "explain",
        help="say what a table does with one name",
        description="Say what a table does with a TensorFlow or PyTorch name, and why.",
    )
    listing.set_defaults(action="mappings_list")
    show.set_defaults(action="mappings_show")
    check.set_defaults(action="mappings_check")
    explain.set_defaults(action="mappings_explain")
    show.add_argument("table", metavar="NAME|FILE", help=f"{_TABLE}; also the table of a model, as in bert/model")
    check.add_argument("tables", metavar="NAME|FILE", nargs="*", help=f"{_TABLE} (default: every shipped table)")
    check.add_argument(
        "--coverage",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="also compare with the Hugging Face classes (default: if torch and transformers are installed)",
    )
    explain.add_argument("table", metavar="NAME|FILE", help=_TABLE)
    explain.add_argument("name", metavar="TENSOR", help="a name, as in bert/encoder/layer_3/output/dense/kernel")
    for verb in (listing, check, explain):
        shared(verb, "--json")

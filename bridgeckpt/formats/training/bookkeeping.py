"""Bookkeeping: tensors that count, schedule or measure training, and other tensors that no model computes with.

One list of words for every dialect, and one rule: a scalar is bookkeeping if no module of the model holds it, and its
name is of words that only training uses, or it is an integer. ``dense/count`` beside ``dense/kernel`` is a tensor of
that layer. Some names are so plain that the place does not matter: google-research/bert's ``my_model/global_step``
stands beside the weights of a classifier.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from bridgeckpt.formats.training.forms import Shapes, bare
from bridgeckpt.formats.training.words import parts

_COUNTS = "bookkeeping: it counts, schedules or measures training"
_RANDOM = "bookkeeping: the state of the random numbers that dropout draws"
_OBJECTS = "bookkeeping: names and structure of the objects that were saved"

_NUMBER = re.compile(r"_\d+\Z")
_PLAIN = re.compile(
    r"(?:global|local|train|training|current)_?step|save_counter|beta_?[12]_?power|(?:\w+_)?(?:learning_rate|lr)(?:_\w+)?"
    r"|(?:\w+_)?loss_scal(?:e|ing)(?:_\w+)?|(?:num_)?(?:good|bad)_steps|(?:all|batch)_finite|weight_decay(?:_rate)?"
)
# Every part of the name has to be one of these words, and one of them has to be of the first.
_COUNTING = re.compile(
    "iters?|iterations?|steps?|epochs?|counts?|counter|totals?|decay|momentum|epsilon|lr|loss|accuracy|acc|precision"
    "|recall|auc|metric|patience|best|updates|warmup|schedule|perplexity|dropout|keep|rho|numbered"
)
_BESIDE = re.compile(
    "num|number|of|prob|initial|rate|weight|max|min|sum|score|eval|val|train|training|test|dev|batch|batches|examples?"
    "|samples?|power|accum|accumulated|gradients?|grad|last|since|wait|value|moving|ema|average|replicas|optimizer"
    "|current|global|local|mean|early|stopping|stop"
)
_NUMBERED = re.compile(r"beta_?[12]|f1")  # words that have a number
# Counts of Keras' metrics, one for each threshold or class; and what Keras' own files keep of metrics.
_METRICS = re.compile(
    r"(?:true|false)_(?:positives|negatives)|(?:total_)?confusion_matrix|keras_api/metrics/.*"
    r"|\w*metrics/(?:.*/)?vars/\d+"
)
_SEEDS = re.compile(r"(?:.*/)?(?:seed_generator/.*|seed_generator_state)")
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def find_bookkeeping(shapes: Shapes, integers: Collection[str]) -> dict[str, str]:
    """The tensors of ``shapes`` that are bookkeeping, each with what it is for.

    ``shapes`` are those of a checkpoint without optimizer state, which stands beside counters. ``integers`` are not of
    floating point.
    """
    found: dict[str, str] = {}
    modules = set[str]()
    scalars: list[str] = []
    for name, shape in shapes.items():
        path = bare(name)
        if path == _OBJECT_GRAPH:
            found[name] = _OBJECTS
        elif name in integers and _SEEDS.fullmatch(path):
            found[name] = _RANDOM
        elif _METRICS.fullmatch(_NUMBER.sub("", path)):
            found[name] = _COUNTS
        elif shape:
            modules.update(_above(path))
        else:
            scalars.append(name)
    for name in scalars:
        scope, _, last = bare(name).rpartition("/")
        apart = not scope or scope not in modules
        if _is_plain(last) or (apart and (name in integers or is_of_training(last))):
            found[name] = _COUNTS
    return found


def _above(path: str) -> list[str]:
    """The scopes that a path is in: ``a/b/c`` is in ``a`` and ``a/b``."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _is_plain(word: str) -> bool:
    """Whether the last part of a name tells all, so that its place does not matter."""
    return any(map(_PLAIN.fullmatch, (word.lower(), _NUMBER.sub("", word.lower()))))


def is_of_training(word: str) -> bool:
    """Whether the last part of a scalar's name consists of words of training, or is plain."""
    words = parts(_NUMBERED.sub("numbered", word))
    if _is_plain(word):
        return True
    return any(map(_COUNTING.fullmatch, words)) and all(_COUNTING.fullmatch(w) or _BESIDE.fullmatch(w) for w in words)

"""Bookkeeping: tensors that count, schedule or measure training, and other tensors that no model computes with.

One list of words for every dialect, and one rule: a scalar is bookkeeping if no module of the model holds it, and its
name is of words that only training uses, or it is no floating-point number. ``dense/count`` beside ``dense/kernel`` is
a tensor of that layer. A vector that is not of floating point is no weight either: states of random numbers and of
input pipelines, labels. Some names are so plain that the place does not matter: google-research/bert's
``my_model/global_step`` stands beside the weights of a classifier.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from bridgeckpt.formats.training.forms import Shapes, bare
from bridgeckpt.formats.training.words import is_scope_of_optimizer, parts

_COUNTS = "it counts, schedules or measures training"
_RANDOM = "the state of the random numbers that dropout draws"
_NO_WEIGHT = "no floating-point numbers, and outside every module of the model"
_OBJECTS = "names and structure of the objects that were saved"

_NUMBER = re.compile(r"_\d+\Z")
_PLAIN = re.compile(
    r"(?:global|local|train|training|current)_?step|save_counter|beta_?[12]_?power|(?:num_)?(?:good|bad)_steps"
    r"|(?:\w+_)?(?:learning_rate|lr)(?:_\w+)?|(?:\w+_)?loss_scal(?:e|er|ing)(?:_\w+)?|(?:all|batch)_finite"
    r"|weight_decay(?:_rate)?|global_norm"
)
# Every part of the name has to be one of these words, and one of them has to be of the first.
_COUNTING = re.compile(
    "iters?|iterations?|steps?|epochs?|counts?|counter|totals?|decay|momentum|epsilon|lr|loss|losses|accuracy|acc"
    "|precision|recall|auc|metrics?|kappa|correlation|perplexity|examples?|samples?|seen|patience|best|updates|warmup"
    "|schedule|dropout|keep|rho|gradients?|grads?|clipnorm|clipvalue|nesterov|amsgrad|centered|numbered"
)
_BESIDE = re.compile(
    "num|number|of|prob|initial|rate|weight|max|min|sum|score|eval|val|train|training|test|dev|batch|batches|tokens"
    "|power|accum|accumulated|last|since|wait|value|moving|ema|average|avg|running|replicas|optimizer|clip|norm|cache"
    "|global|current|local|mean|early|stopping|stop|m"
)
_NUMBERED = re.compile(r"beta_?[12]|f1")  # words that have a number
# Counts of Keras' metrics, one for each threshold or class; and what Keras' own files keep of metrics.
_METRICS = re.compile(
    r"(?:.*/)?(?:(?:true|false)_(?:positives|negatives)|(?:total_)?confusion_matrix|conf_mtx|weights_intermediate)"
    r"|keras_api/metrics/.*|\w*metrics/(?:.*/)?vars/\d+"
)
_SEEDS = re.compile(r"(?:.*/)?(?:seed_generator/.*|seed_generator_state|rng_state|StateVar)")
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def find_bookkeeping(shapes: Shapes, integers: Collection[str]) -> dict[str, str]:
    """The tensors of ``shapes`` that are bookkeeping, each with what it is for.

    ``shapes`` are those of a checkpoint without optimizer state, which stands beside counters. ``integers`` are not of
    floating point.
    """
    found: dict[str, str] = {}
    modules = set[str]()
    for name, shape in shapes.items():
        path = bare(name)
        if path == _OBJECT_GRAPH:
            found[name] = _OBJECTS
        elif name in integers and _SEEDS.fullmatch(path):
            found[name] = _RANDOM
        elif _METRICS.fullmatch(_NUMBER.sub("", path)):
            found[name] = _COUNTS
        elif shape and not (name in integers and len(shape) == 1):
            modules.update(_above(path))
    for name in [name for name in shapes if name not in found]:
        if (reason := _reason(bare(name), len(shapes[name]), name in integers, modules)) is not None:
            found[name] = reason
    return found


def _reason(path: str, rank: int, integer: bool, modules: Collection[str]) -> str | None:
    """Why a tensor is bookkeeping, or None if nothing says so. ``modules`` are the scopes of weights."""
    scope, _, last = path.rpartition("/")
    if not integer and _is_in_layer(scope, modules):
        return None
    if rank == 0 and _is_plain(last):
        return _COUNTS
    if rank > 1 or scope in modules:
        return None
    if rank == 0 and (is_of_training(last) or any(map(_is_for_training, scope.split("/")))):
        return _COUNTS
    return _NO_WEIGHT if integer else None


def _is_for_training(scope: str) -> bool:
    """Whether what a scope holds is training's, not the model's: an optimizer's, or a metric's."""
    return is_scope_of_optimizer(scope) or is_of_training(scope)


def _above(path: str) -> list[str]:
    """The scopes of modules that a path is in: ``a/b/c`` is in ``a`` and ``a/b``. An optimizer's scope is no module."""
    parts = path.split("/")[:-1]
    return [] if parts and is_scope_of_optimizer(parts[0]) else ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _is_in_layer(scope: str, modules: Collection[str]) -> bool:
    """Whether a scope is that of a numbered layer of a model, or below. An optimizer's scope may be anywhere."""
    layers = (path for path in _above(f"{scope}/") if "/" in path and path[-1].isdigit())
    return any(path in modules for path in layers) and not any(map(is_scope_of_optimizer, scope.split("/")))


def _is_plain(word: str) -> bool:
    """Whether the last part of a name tells all, so that its place does not matter."""
    return any(map(_PLAIN.fullmatch, (word.lower(), _NUMBER.sub("", word.lower()))))


def is_of_training(word: str) -> bool:
    """Whether the last part of a scalar's name consists of words of training, or is plain."""
    words = parts(_NUMBERED.sub("numbered", word))
    if _is_plain(word):
        return True
    return any(map(_COUNTING.fullmatch, words)) and all(_COUNTING.fullmatch(w) or _BESIDE.fullmatch(w) for w in words)

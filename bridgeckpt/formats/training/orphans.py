"""Optimizer state whose weight is not known: it was taken out of the checkpoint, or the state only has numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from bridgeckpt.formats.slots import Slot
from bridgeckpt.formats.training.forms import Shapes, bare
from bridgeckpt.formats.training.words import is_scope_of_optimizer, names_an_optimizer

_OF_OPTIMIZER = re.compile(r"(?:.*/)?optimizer/(?:inner_optimizer/)?_variables/\d+|.*/\.OPTIMIZER_SLOT/.*")
_WEIGHTS = "/_trainable_variables/"  # Keras 3 lists the model's weights in the optimizer
_NUMBER = re.compile(r"_\d+\Z")
_SEVERAL = 8  # weights: the shapes of less may be alike by chance
_NUMBERED = Slot("", "numbered")
_FEW = 4  # a word that less than one in so many tensors has may be a tensor's of some module


def without_weight(names: Collection[str], everything: Iterable[str], words: Collection[str]) -> dict[str, Slot]:
    """Those of ``names`` that are state of a weight that was taken out, as with a head.

    Their word is an optimizer's. Other state has it too, which ``words`` lists, or many tensors do, if all weights were
    renamed. ``everything`` are the names of the checkpoint.
    """
    paths = {bare(name) for name in everything}
    split = {name: bare(name).rpartition("/") for name in names}
    often = Counter(word for _, _, word in split.values())
    return {
        name: Slot("", word)
        for name, (weight, _, word) in split.items()
        if weight not in paths and names_an_optimizer(word) and (word in words or _FEW * often[word] >= len(split))
    }


def numbered(names: Iterable[str]) -> dict[str, Slot]:
    """Those of ``names`` in the outermost scope of an optimizer, where Keras numbers or shortens the weights' names."""
    rest = list(names)
    inside = [name for name in rest if _is_of_optimizer(bare(name))]
    return dict.fromkeys(inside, _NUMBERED) if len(inside) < len(rest) else {}


def _is_of_optimizer(path: str) -> bool:
    outermost = is_scope_of_optimizer(path.partition("/")[0]) and "/" in path and _WEIGHTS not in path
    return outermost or bool(_OF_OPTIMIZER.fullmatch(path))


def series(names: Collection[str], shapes: Shapes) -> dict[str, tuple[str, ...]]:
    """Those of ``names`` that are numbered and have the shapes of all others, once or several times, by their start.

    A program that adds gradients up may make a variable for each weight and leave its name to TensorFlow:
    ``Variable``, ``Variable_1``, ...
    """
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_NUMBER.sub("", bare(name)), []).append(name)
    groups = {f"{start}_<number>": tuple(group) for start, group in found.items() if len(group) >= _SEVERAL}
    rest = Counter(tuple(shapes[name]) for name in names) - Counter(
        tuple(shapes[name]) for group in groups.values() for name in group
    )
    return {start: group for start, group in groups.items() if _repeats(rest, [shapes[name] for name in group])}


def _repeats(weights: Counter[tuple[int, ...]], shapes: Collection[Sequence[int]]) -> bool:
    """Whether ``shapes`` are those of the weights, all of them, equally often."""
    times, more = divmod(len(shapes), weights.total() or len(shapes) + 1)
    return times > 0 and not more and Counter(map(tuple, shapes)) == Counter({k: times * n for k, n in weights.items()})

"""Optimizer state whose weight is not known: it was taken out of the checkpoint, or the file numbers the state."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable

from bridgeckpt.formats.slots import Slot
from bridgeckpt.formats.training.forms import bare
from bridgeckpt.formats.training.words import names_an_optimizer

_OF_OPTIMIZER = re.compile(r"optimizer(?:_weights)?/.*|(?:.*/)?optimizer/_variables/\d+|.*/\.OPTIMIZER_SLOT/.*")
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
    """Those of ``names`` in the group that a file of Keras has for the optimizer, which numbers its variables."""
    rest = list(names)
    inside = [name for name in rest if _OF_OPTIMIZER.fullmatch(bare(name))]
    return dict.fromkeys(inside, _NUMBERED) if len(inside) < len(rest) else {}

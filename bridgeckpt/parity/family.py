"""What the general rooms know of a model family: the names of its stages, and where they are in a PyTorch model.

A *stage* is a quantity that both frameworks compute under one name. The names follow one rule in every family: a stage
inside a repeated layer is called ``layer.NUMBER.PART``, as in ``layer.3.attention``; any other name is outside the
layers. ``judging`` receives a :class:`Family` and needs nothing else. ``bert/family.py`` makes one.
:mod:`bridgeckpt.parity.families` lists the known families.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

_LAYER = "layer"

# Which axis of logits is a distribution: the last one, or the positions of a sequence.
Distribution = Literal["features", "positions"]


class Site(NamedTuple):
    """Where a PyTorch model computes a stage: the module, and the parameter of each role (``kernel``, ``bias``)."""

    module: str
    parameters: Mapping[str, str]


Sites = Mapping[str, Site]  # stage to site, in the order of computation


class Family(NamedTuple):
    """A model family.

    Attributes:
        title: Its name, for messages: "BERT".
        is_stage: Whether a name is that of a stage, in a model of any depth.
        is_coarse: Whether a table shows the stage even if it agrees; the others are inside a coarse one.
        logits: The stages whose values are logits, and which axis of them is a distribution.
        outputs: Other names of outputs, as TensorFlow users know them, to the names that transformers gives them.
        sites: The stages that a PyTorch model computes, in the order of computation; empty for another architecture.
            A reference's values are caught at the outputs of these modules, and fed there.
        unread: Given a model, its sites and some stages: the parameters that none of these stages depends on.
    """

    title: str
    is_stage: Callable[[str], bool]
    is_coarse: Callable[[str], bool]
    logits: Mapping[str, Distribution]
    outputs: Mapping[str, str]
    sites: Callable[[Any], Sites]
    unread: Callable[[Any, Sites, Collection[str]], Sequence[str]]


def layer_of(stage: str) -> int | None:
    """The number of the layer that a stage is in; None if it is outside the layers."""
    parts = stage.split(".")
    return int(parts[1]) if len(parts) == 3 and parts[0] == _LAYER and parts[1].isdecimal() else None


def layer_name(number: int) -> str:
    """What the names of a layer's stages begin with: ``layer.3``."""
    return f"{_LAYER}.{number}"


def part_of(stage: str) -> str:
    """The name of a stage without its layer."""
    return stage.rpartition(".")[2]

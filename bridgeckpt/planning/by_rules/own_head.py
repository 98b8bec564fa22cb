"""A head of one's own on a model that is converted by rules: variables outside the model that no rule reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import Problem
from bridgeckpt.formats.places import places_of
from bridgeckpt.planning.account.unknown import described
from bridgeckpt.sentences import Sentence, Setting

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bridgeckpt.store.tensors import TensorInfo


def outside(unread: Sequence[str], encoder: Collection[str], heads: Collection[str]) -> list[str]:
    """Those of the variables ``unread`` that are not where the variables of the ``encoder`` are, nor in known heads."""
    places = places_of([encoder], heads)
    return [name for name in unread if not name.startswith(places)] if places else []


def own_head_problem(names: Sequence[str], tensors: Mapping[str, TensorInfo], bare: str) -> Problem:
    """The problem; ``bare`` is the class without a head."""
    count = f"{len(names)} tensor{'s' * (len(names) != 1)}"
    return Problem(
        "unmapped",
        f"{count} outside the encoder that no rule reads: a head of your own",
        described(names, tensors),
        Sentence(
            "{bare} converts the encoder and reports this head as excluded; with {keep_rest:True} its tensors are kept",
            bare=Setting("architecture", bare),
        ),
        tuple(names),
    )

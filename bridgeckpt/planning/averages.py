"""Moving averages in place of the weights (``ema``): which weights have one, the problems and notes about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import Problem
from bridgeckpt.sentences import Sentence
from bridgeckpt.wording import fold, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.formats.training.state import TrainingState
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.planning.account.ledger import Ledger
    from bridgeckpt.store.tensors import TensorInfo


def averages_of(table: Table, tensors: Mapping[str, TensorInfo], training: TrainingState) -> dict[str, str]:
    """The moving average of each weight that has one. Names that a table has in ``[slots]`` have priority."""
    averages = training.average_of()
    for template in reversed(table.slots.get("ema", ())):
        before, _, after = template.text.partition("{tf}")
        for name in tensors:
            if name.startswith(before) and name.endswith(after):
                weight = name[len(before) : len(name) - len(after)]
                if weight in tensors and weight not in training.slots:
                    averages[weight] = name
    return averages


def check_averages(
    ledger: Ledger, averages: Mapping[str, str], requested: bool, source: str
) -> tuple[list[Problem], list[str]]:
    """Problems and notes about the averages of the weights that ``ledger`` converts.

    ``source`` is the checkpoint, as messages call it.
    """
    converted = [name for assignment in ledger.assignments for name in assignment.sources]
    taken = {*averages.values()}
    with_average = [name for name in converted if name in (taken if requested else averages)]
    if not with_average:
        return ([_none_there(source)], []) if requested else ([], [])
    count, total = len({*with_average}), len({*converted})
    if not requested:
        text = Sentence("the weights have moving averages too: {ema:True} converts those instead")
        if count < total:
            text = Sentence(
                "{count} of {total} weights have moving averages too: {ema:True} converts those instead, and the "
                "other weights as they are",
                count=count,
                total=total,
            )
        return [], [text]
    if count == total:
        return [], []
    others = [name for name in converted if name not in taken]
    return [], [
        Sentence(
            "{count} of {total} weights have a moving average, which is converted; the other {rest} have none, and are "
            "converted as they are: {names}",
            count=count,
            total=total,
            rest=total - count,
            names=listed((text for text, _ in fold(others)), 3),
        )
    ]


def unused_averages(ledger: Ledger, training: TrainingState) -> list[str]:
    """A note about the averages of converted weights, for a model whose averages cannot be converted."""
    converted = {name for assignment in ledger.assignments for name in assignment.sources}
    count = len(converted & training.average_of().keys())
    return [f"{count} weights have moving averages too, which are not converted"] if count else []


def _none_there(source: str) -> Problem:
    details = (
        f"no weight of this model has one in {source}: neither under its name (<weight>/ExponentialMovingAverage, "
        "<weight>/average, ...) nor under a scope (ema/<weight>, ...)",
    )
    return Problem(
        "missing", "moving averages", details, Sentence("convert the weights themselves, without {ema:True}")
    )

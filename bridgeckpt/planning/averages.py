"""Moving averages in place of the weights (``ema``): which weights have one, the problems and notes about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.errors import Problem
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.sentences import Sentence
from bridgeckpt.wording import fold, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridgeckpt.formats.training.state import TrainingState
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.planning.account.ledger import Ledger, SourceState
    from bridgeckpt.store.tensors import TensorInfo


def averages_of(table: Table, tensors: Mapping[str, TensorInfo], training: TrainingState) -> dict[str, str]:
    """The moving average of each weight that has one. Names that a table has in ``[slots]`` have priority."""
    averages = training.average_of()
    for template in reversed(table.slots.get("ema", ())):
        before, _, after = template.text.partition("{tf}")
        for name in tensors:
            if name.startswith(before) and name.endswith(after):
                weight = name[len(before) : len(name) - len(after)]
                alike = weight in tensors and tensors[weight].shape == tensors[name].shape
                if alike and weight not in training.slots:
                    averages[weight] = name
    return averages


def choose_averages(
    ledger: Ledger, averages: Mapping[str, str], requested: bool, source: str
) -> tuple[Ledger, list[Problem], list[str]]:
    """The ledger with averages in place of the weights that have one if that is ``requested``; problems and notes.

    ``source`` is the checkpoint, as messages call it.
    """
    converted = {name: None for assignment in ledger.assignments for name in assignment.sources}  # in their order
    chosen = {name: averages[name] for name in converted if name in averages}
    count, total = len(chosen), len(converted)
    if not requested:
        return ledger, [], [_offer(count, total)] if chosen else []
    if not chosen:
        return ledger, [_none_there(source)], []
    replaced = _replace(ledger, chosen)
    others = [name for name in converted if name not in chosen]
    return replaced, [], [_partly(count, total, others)] if others else []


def _replace(ledger: Ledger, chosen: Mapping[str, str]) -> Ledger:
    """The ledger with the averages ``chosen`` in place of their weights."""
    why = Sentence("{ema:True}: its moving average is converted instead")
    sources: dict[str, SourceState] = {**ledger.sources}
    sources.update(dict.fromkeys(chosen, "excluded"))
    sources.update(dict.fromkeys(chosen.values(), "mapped"))
    assignments = [
        assignment._replace(sources=tuple([chosen.get(name, name) for name in assignment.sources]))
        for assignment in ledger.assignments
    ]
    return ledger._replace(
        assignments=tuple(assignments),
        sources=FrozenDict(sources),
        reasons=FrozenDict({**ledger.reasons, **dict.fromkeys(chosen, why)}),
    )


def _offer(count: int, total: int) -> str:
    if count == total:
        return Sentence("the weights have moving averages too: {ema:True} converts those instead")
    return Sentence(
        "{count} of {total} weights have moving averages too: {ema:True} converts those instead, and the other weights "
        "as they are",
        count=count,
        total=total,
    )


def _partly(count: int, total: int, others: Sequence[str]) -> str:
    return (
        f"{count} of {total} weights have a moving average, which is converted; the other {total - count} have none, "
        f"and are converted as they are: {listed((text for text, _ in fold(others)), 3)}"
    )


def _none_there(source: str) -> Problem:
    details = (
        f"no weight of this model has one in {source}: neither under its name (<weight>/ExponentialMovingAverage, "
        "<weight>/average, ...) nor under a scope (ema/<weight>, ...)",
    )
    hint = Sentence("convert the weights themselves, without {ema:True}")
    return Problem("missing", "moving averages", details, hint)

"""Numbers that Keras gives to layers: whether variables of equal names belong to the same layers.

Keras calls the first dense layer of a program ``dense`` and the next ones ``dense_1``, ``dense_2``, also in another
model. So the layers of a model have other numbers if another model was built before, and equal names are other layers.
What stays the same is the place of a layer among those of its kind. Numbers that begin with 0 are not from Keras.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridgeckpt.warmstart.report import WarmStartError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bridgeckpt.tf.start import Start

_NUMBER = re.compile(r"(?:_([1-9][0-9]*))?(?=/)")  # what Keras appends to a layer's name; nothing to that of the first

Kind = tuple[str, str]  # a name before the number of a layer, and after it


def check_numbers(start: Start) -> None:
    """Check that variables of equal names are at the same place among the layers of their kind.

    Raises:
        WarmStartError: a layer of the model has another place among the model's than in the checkpoint.
    """
    wanted, available = set(start.keys.values()), set(start.report.available)
    ours, theirs = _by_kind(wanted), _by_kind(available)
    for name in start.matching.values:
        key = start.keys[name]
        for (before, after), number in _numbers(key):
            mine, stored = ours[before, after], theirs.get((before, after), [])
            by_keras = f"{before}_0{after}" not in wanted | available
            if by_keras and number in stored and mine.index(number) != stored.index(number):
                raise WarmStartError(
                    f"{key} may be another variable than the one of that name in {start.report.checkpoint}: Keras "
                    "numbers layers in the order they are built, and the first of this kind is "
                    f"{_name(before, stored[0], after)} in the checkpoint and {_name(before, mine[0], after)} in the "
                    "model",
                    start.report,
                    hint="build the model first in a program, or after keras.backend.clear_session(); or name each "
                    "variable: assign({'name in the checkpoint': variable}, checkpoint)",
                )


def _by_kind(names: Iterable[str]) -> dict[Kind, list[int]]:
    """The numbers of the layers of each kind, in order; 0 for the one without."""
    found: dict[Kind, set[int]] = {}
    for name in names:
        for kind, number in _numbers(name):
            found.setdefault(kind, set()).add(number)
    return {kind: sorted(numbers) for kind, numbers in found.items()}


def _numbers(name: str) -> Iterator[tuple[Kind, int]]:
    """The kind and the number of each layer that a name contains."""
    for match in _NUMBER.finditer(name):
        yield (name[: match.start()], name[match.end() :]), int(match[1] or 0)


def _name(before: str, number: int, after: str) -> str:
    return f"{before}_{number}{after}" if number else before + after

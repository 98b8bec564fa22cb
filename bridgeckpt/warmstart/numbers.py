"""Names that Keras or TensorFlow 1 numbered, in a warm start by names: whether equal names may be other variables.

The first dense layer of a program is ``dense``, the next ones are ``dense_1``, ``dense_2``. If another model was built
before, the numbers are others, and ``dense_1`` of the program may be ``dense`` of the checkpoint. What stays the same
is the place of a name among those of its kind. Numbers that begin with 0 are the programmer's own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from bridgeckpt.wording import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

_NUMBER = re.compile(r"(?:_([1-9][0-9]*))?(?=/)")  # what is appended to a layer's name; nothing to that of the first

Kind = tuple[str, str]  # a name before the number of a layer, and after it


def doubtful_numbers(matched: Iterable[str], wanted: Collection[str], available: Collection[str]) -> tuple[str, ...]:
    """A warning about names whose kind has other places or another number of names in the checkpoint; or none.

    ``matched`` are names that both sides have, ``wanted`` all names of the program, ``available`` of the checkpoint.
    """
    names = {*wanted, *available}
    ours, theirs = _by_kind(wanted), _by_kind(available)
    found = [name for name in matched if any(_is_moved(*one, ours, theirs, names) for one in _numbers(name))]
    if not found:
        return ()
    return (
        f"{listed(found, 2)} may be other variables than those of these names in the checkpoint: layers are numbered "
        "in the order they are built, and those of their kind are others or have other places there; renames= or a "
        "dict {'name in the checkpoint': variable} says which they are",
    )


def told_by_numbers_only(shapes: Mapping[str, object]) -> tuple[str, ...]:
    """A warning about names that only a number tells from others of equal shape; or none."""
    kinds: defaultdict[tuple[Kind, object], list[str]] = defaultdict(list)
    for name, shape in shapes.items():
        for kind, _ in _numbers(name):
            if "{}_0{}".format(*kind) not in shapes:
                kinds[kind, shape].append(name)
    found = dict.fromkeys(name for names in kinds.values() if len(names) > 1 for name in names)
    if not found:
        return ()
    return (
        f"only the numbers of layers say what {listed(found, 2)} start from: they are of equal shapes, and numbered in "
        "the order they are built; pass the model in place of a list, if the file has the order of its layers",
    )


def _is_moved(
    kind: Kind, number: int, ours: dict[Kind, list[int]], theirs: dict[Kind, list[int]], names: Collection[str]
) -> bool:
    before, after = kind
    mine, stored = ours.get(kind, []), theirs.get(kind, [])
    by_program = f"{before}_0{after}" not in names
    both = by_program and number in mine and number in stored
    return both and (len(mine) != len(stored) or mine.index(number) != stored.index(number))


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

"""Names, numbers and shapes as text for people: names that differ only in a number are folded into one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

# A number of its own, one after "_", or one at the end of a word: layer.11, block_2a, h11/attn. Not 007, which is text.
_DIGITS = "(?:0|[1-9][0-9]{0,17})"
_NUMBER = re.compile(
    f"((?<![0-9A-Za-z]){_DIGITS}(?![0-9A-Za-z])|(?<=_){_DIGITS}(?![0-9])|(?<=[A-Za-z]){_DIGITS}(?![0-9A-Za-z]))"
)
_SHOWN = 8  # names that a message lists
_LEAST_STEPS = 3  # numbers at equal distances: more than these are written as a progression

Numbers = tuple[int, ...]  # of one name, by place; _FIRST where the name has none
_FIRST = -1  # the number of the first of several, which Keras leaves out: dense, dense_1, dense_2


class _Family(NamedTuple):
    """Names that differ only in numbers: the ``pieces`` of text around these, and the numbers by name."""

    pieces: tuple[str, ...]
    members: dict[str, Numbers]


def fold(names: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Group names that differ only in numbers, as in ``layer_{0..11}/kernel``.

    Numbers vary independently or together: ``block_{0..1}/dense_{4,9}`` stands for four names or two. The first of
    several may have no number: ``dense{,_1..11}``.

    Returns:
        Pairs of a folded name and the names that it stands for, in order of first appearance.
    """
    families: dict[tuple[str, ...], _Family] = {}
    order: dict[str, int] = {}
    for name in names:
        split = _NUMBER.split(name)
        pieces = tuple(split[::2])
        family = families.get(pieces)
        if family is None:
            family = families[pieces] = _Family(pieces, {})
        family.members[name] = tuple(map(int, split[1::2]))
        order[name] = len(order)
    _join_firsts(families)
    folded = [pair for family in families.values() for pair in _folded(family)]
    return sorted(folded, key=lambda pair: min(map(order.__getitem__, pair[1])))


def _join_firsts(families: dict[tuple[str, ...], _Family]) -> None:
    """Add the families of names without a number to those of the names that have it, where both fold into one."""
    for pieces, family in list(families.items()):
        for stem in {word.group() for piece in pieces[:-1] if (word := re.search(r"[^/.:]+_\Z", piece))}:
            places = [place for place, piece in enumerate(pieces[:-1]) if piece.endswith(stem)]
            first = families.get(_without_numbers(pieces, places))
            if first is None or first is family:
                continue
            joined = {name: _with_first(own, places) for name, own in first.members.items()} | family.members
            if _varying(list(joined.values())) is not None:
                family = families[pieces] = _Family(pieces, joined)
                del families[first.pieces]


def _without_numbers(pieces: tuple[str, ...], places: list[int]) -> tuple[str, ...]:
    """The pieces of a name that lacks the numbers at ``places``, and the underscore before each."""
    made = [pieces[0]]
    for place, piece in enumerate(pieces[1:]):
        if place in places:
            made[-1] = made[-1].removesuffix("_") + piece
        else:
            made.append(piece)
    return tuple(made)


def _with_first(numbers: Numbers, places: list[int]) -> Numbers:
    made = list(numbers)
    for place in places:
        made.insert(place, _FIRST)
    return tuple(made)


def _folded(family: _Family) -> list[tuple[str, list[str]]]:
    """One folded name. If it would stand for names that do not exist: one for each value of the number with fewest."""
    names, numbers = list(family.members), list(family.members.values())
    varying = _varying(numbers)
    if varying is not None:
        return [(_text(family.pieces, numbers), names)]
    counts = [len({*values}) for values in zip(*numbers, strict=True)]
    place = counts.index(min(count for count in counts if count > 1))
    parts: dict[int, dict[str, Numbers]] = {}
    for name, own in family.members.items():
        parts.setdefault(own[place], {})[name] = own
    return [pair for members in parts.values() for pair in _folded(_Family(family.pieces, members))]


def _varying(numbers: list[Numbers]) -> list[int] | None:
    """A place for each number that varies by itself; None if they do not take all combinations."""
    independent: list[int] = []
    count = 1
    for place, values in enumerate(zip(*numbers, strict=True)):
        distinct = len({*values})
        if distinct == 1:
            continue
        pairs = ({(own[other], own[place]) for own in numbers} for other in independent)
        if not any(len(pair) == distinct == len({own for own, _ in pair}) for pair in pairs):
            independent.append(place)
            count *= distinct
    return independent if count == len(numbers) else None


def _text(pieces: tuple[str, ...], numbers: list[Numbers]) -> str:
    text = pieces[0]
    for piece, column in zip(pieces[1:], zip(*numbers, strict=True), strict=True):
        values = sorted({*column})
        if values[0] == _FIRST:
            text = text.removesuffix("_") + f"{{,_{ranges(values[1:])}}}"
        else:
            text += f"{{{ranges(values)}}}" if len(values) > 1 else str(values[0])
        text += piece
    return text


def ranges(values: Sequence[int]) -> str:
    """Sorted distinct integers as ranges: ``[0, 1, 2, 5]`` is ``0..2,5``, and ``[4, 10, 16, 22]`` is ``4,10..22``."""
    steps = {after - before for before, after in pairwise(values)}
    if len(values) > _LEAST_STEPS and len(steps) == 1 and steps != {1}:
        return f"{values[0]},{values[1]}..{values[-1]}"
    parts: list[str] = []
    start = previous = values[0]
    for value in [*values[1:], None]:
        if value is not None and value == previous + 1:
            previous = value
            continue
        parts.append(f"{start}..{previous}" if previous > start else str(start))
        if value is not None:
            start = previous = value
    return ",".join(parts)


def shape_text(shape: Sequence[int]) -> str:
    """A shape as in ``[768, 3072]``."""
    return f"[{', '.join(map(str, shape))}]"


def listed(names: Iterable[str], shown: int = _SHOWN) -> str:
    """Names for a message: the first ``shown``, and how many more there are."""
    names = list(names)
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")

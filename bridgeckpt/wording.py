"""Names, numbers and shapes as text for people: names that differ only in a number are folded into one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import prod

_NUMBER = re.compile(r"(?<![0-9A-Za-z])\d+(?![0-9A-Za-z])|(?<=_)\d+")
_SHOWN = 8  # names that a message lists


def fold(names: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Group names that differ only in numbers, as in ``layer_{0..11}/kernel``.

    Returns:
        Pairs of a folded name and the names that it stands for, in order of first appearance.
    """
    families: dict[str, list[tuple[str, list[int]]]] = {}
    for name in names:
        pattern = _NUMBER.sub("\0", name)
        families.setdefault(pattern, []).append((name, [int(number) for number in _NUMBER.findall(name)]))
    folded: list[tuple[str, list[str]]] = []
    for pattern, members in families.items():
        varying = [place for place in range(pattern.count("\0")) if len({numbers[place] for _, numbers in members}) > 1]
        if len(members) != prod(len({numbers[place] for _, numbers in members}) for place in varying):
            # The numbers do not vary independently: the folded name would stand for names that do not exist.
            folded += [(name, [name]) for name, _ in members]
            continue
        pieces = pattern.split("\0")
        text = pieces[0]
        for place, piece in enumerate(pieces[1:]):
            values = sorted({numbers[place] for _, numbers in members})
            text += (f"{{{ranges(values)}}}" if place in varying else str(values[0])) + piece
        folded.append((text, [name for name, _ in members]))
    return folded


def ranges(values: Sequence[int]) -> str:
    """Sorted distinct integers as ranges: ``[0, 1, 2, 5]`` is ``0..2,5``."""
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

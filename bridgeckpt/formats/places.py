"""Where a model is among the variables of a checkpoint: the beginnings that the names of its parts share.

What begins so and is not known is a part of the model that nobody accounted for. What does not is beside the model: a
head that somebody put on top of it, or another model.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

_WORD = re.compile(r"[0-9A-Za-z]+\Z")


def places_of(parts: Sequence[Collection[str]], others: Collection[str] = ()) -> tuple[str, ...]:
    """The beginnings of names that belong to a model.

    ``parts`` are the names of the variables of each part (its embeddings; its layers). ``others`` are names, or
    beginnings of names, that are known not to belong to it. If all parts are in one folder without any of ``others``,
    that folder is the model's. Else each part has a place of its own: the widest folder around it without ``others``.
    """
    parts = [part for part in parts if part]
    shared = _folder(beginning_of([name for part in parts for name in part]))
    if shared and _is_free(shared, others):
        return (shared,)
    places: dict[str, None] = {}
    for part in parts:
        begin = _beginning(part)
        begins = [begin] if begin and _is_free(begin, others) else [_folder(name) or name for name in part]
        places.update((_widest(one, others), None) for one in begins)
    return tuple(places)


def beginning_of(names: Collection[str]) -> str:
    """The text that all names begin with."""
    first, last = min(names, default=""), max(names, default="")
    differing = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differing, len(first))]


def _beginning(names: Collection[str]) -> str:
    """What all names begin with, not cut within a word."""
    begin = beginning_of(names)
    following = {name[len(begin) : len(begin) + 1] for name in names}
    if begin[-1:].isalnum() and any(character.isalnum() for character in following):
        begin = _WORD.sub("", begin)
    return begin


def _widest(begin: str, others: Iterable[str]) -> str:
    """The first folder of ``begin`` in which none of ``others`` is; ``begin`` itself if each has some."""
    ends = (place + 1 for place, character in enumerate(begin) if character == "/")
    return next((begin[:end] for end in ends if _is_free(begin[:end], others)), begin)


def _folder(name: str) -> str:
    return name[: name.rfind("/") + 1]


def _is_free(place: str, others: Iterable[str]) -> bool:
    return not any(other.startswith(place) for other in others)

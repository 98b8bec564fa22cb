"""Changes of prefix between the names of a program and those of a checkpoint: which of them would make names equal.

"ours" are names and prefixes of the program, "theirs" those of the checkpoint.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SAMPLE = 200  # names of each side that are compared
_CANDIDATES = 20  # changes of prefix that are tried on all names
_EVIDENCE = 3  # so many names are evidence even if they share only their last part
_CLEAR = 3  # if more changes than these find equally many names, none of them is clear
_SHARED = 2  # parts that both sides share, by which a change may be longer than it has to be


class Change(NamedTuple):
    """The program's prefix that takes the place of the checkpoint's, and how many names are equal then."""

    ours: str
    theirs: str
    found: int


def common_change(pairs: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The most frequent change of prefix, the program's and the checkpoint's, among pairs of their names."""
    changes = Counter(next(_changes(name, other)) for name, other in pairs)
    return changes.most_common(1)[0][0] if changes else ("", "")


def likely_changes(asked: Iterable[str], available: Iterable[str]) -> list[Change]:
    """The changes of prefix by which the checkpoint has some of the names, those that find most first.

    Of changes that find equally many, those with an empty side come first. Fewer than three names must share more than
    their last part: many heads have an ``output_bias``. There are no likely changes if many find equally many names, as
    a ``dense/kernel`` is in every layer.
    """
    names, sample = set(available), sorted(asked)
    by_end: dict[str, list[str]] = {}
    for name in sorted(names):
        by_end.setdefault(_end(name), []).append(name)
    votes = Counter(
        change
        for name in sample[:_SAMPLE]
        for other in by_end.get(_end(name), [])[:_SAMPLE]
        for change in _changes(name, other)
    )
    likely = []
    for (ours, theirs), _ in votes.most_common(_CANDIDATES):
        found = [name for name in sample if name.startswith(ours) and theirs + name.removeprefix(ours) in names]
        evident = len(found) >= _EVIDENCE or any("/" in name.removeprefix(ours) for name in found)
        if ours != theirs and evident:
            likely.append(Change(ours, theirs, len(found)))
    likely.sort(key=lambda change: (-change.found, bool(change.ours and change.theirs), len(change.theirs)))
    best = [change for change in likely if change.found == likely[0].found]
    clear = sum(not any(_is_longer(change, other) for other in best) for change in best) <= _CLEAR
    return likely if clear else []


def _is_longer(change: Change, other: Change) -> bool:
    """Whether a change is the other one, with parts more that both sides share."""
    (ours, theirs, _), (our, their, _) = change, other
    longer = change != other and ours.startswith(our) and theirs.startswith(their)
    return longer and ours.removeprefix(our) == theirs.removeprefix(their)


def _end(name: str) -> str:
    return name.rpartition("/")[2]


def _changes(name: str, other: str) -> Iterator[tuple[str, str]]:
    """The two names without the parts at the end that they share; then with one of these parts, then with two.

    A longer change is the right one if other names have no prefix: ``bert/`` became ``student/bert/``, and
    ``global_step`` is at the root of both.
    """
    ours, theirs = name.split("/"), other.split("/")
    shared: list[str] = []
    while ours and theirs and ours[-1] == theirs[-1]:
        shared.append(ours.pop())
        theirs.pop()
    for count in range(min(_SHARED + 1, len(shared)) or 1):
        parts = shared[len(shared) - count :][::-1]
        yield "".join(f"{part}/" for part in (*ours, *parts)), "".join(f"{part}/" for part in (*theirs, *parts))

"""Renaming: under which name of the checkpoint a variable of the program is looked for."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import BridgeckptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SAMPLE = 200  # names of each side that are compared for advice
_CANDIDATES = 20  # prefixes that are tried on all names
_EVIDENCE = 3  # names that are enough by their last part alone
_TWIN = "write both with a / at the end, as in {'teacher/': 'student/'}, or both without"


class Renaming(NamedTuple):
    """Prefixes of the program and what the checkpoint has instead, the longest first, and the same of whole names.

    ``scope`` is where the program's variables are looked for; it is in front of the prefixes and names already.
    """

    scope: str
    prefixes: tuple[tuple[str, str], ...]
    names: Mapping[str, str]

    @classmethod
    def parse(cls, scope: str | None, renames: Mapping[str, str] | None) -> Renaming:
        """What a caller asked for.

        Args:
            scope: the program's variables are under it, the checkpoint's are not.
            renames: names of the checkpoint and what the program has instead (below ``scope``): whole names, or
                prefixes, which end in ``/``. An empty prefix is any name's.

        Raises:
            BridgeckptError: a prefix stands for a name, or two names for one variable.
        """
        below = f"{scope.strip('/')}/" if scope else ""
        prefixes, names, given = {below: ""}, dict[str, str](), set[str]()
        for theirs, ours in ((a.removesuffix(":0"), b.removesuffix(":0")) for a, b in (renames or {}).items()):
            if below + ours.removeprefix("/") in given:
                raise BridgeckptError(f"renames has two names of the checkpoint for {ours!r}", hint="name one of them")
            given.add(below + ours.removeprefix("/"))
            if _is_prefix(theirs) and _is_prefix(ours):
                prefixes[below + ours.removeprefix("/")] = theirs.removeprefix("/")
            elif _is_prefix(theirs) or _is_prefix(ours):
                raise BridgeckptError(f"renames has {theirs!r}: {ours!r}, a prefix and a name", hint=_TWIN)
            else:
                names[below + ours] = theirs
        return cls(below, tuple(sorted(prefixes.items(), key=lambda pair: -len(pair[0]))), names)

    def unused(self, variables: Iterable[str]) -> list[str]:
        """What is renamed and no variable has: prefixes and names of the program."""
        known = list(variables)
        prefixes = [ours for ours, _ in self.prefixes if not any(name.startswith(ours) for name in known)]
        return [*prefixes, *(name for name in self.names if name not in known)]

    def of(self, name: str) -> str | None:
        """The checkpoint's name for a variable of the program; None for one outside ``scope``."""
        if not name.startswith(self.scope):
            return None
        if name in self.names:
            return self.names[name]
        ours, theirs = next((ours, theirs) for ours, theirs in self.prefixes if name.startswith(ours))
        return theirs + name.removeprefix(ours)


def common_change(pairs: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The prefixes, the program's and the checkpoint's, in which most pairs of their names differ."""
    changes = Counter(_apart(name, other) for name, other in pairs)
    return changes.most_common(1)[0][0] if changes else ("", "")


def advice(asked: Iterable[str], available: Iterable[str], more_than: int = 0) -> str | None:
    """The ``scope`` or ``renames`` by which more than ``more_than`` names would be there; None without a clear one.

    It is clear if no other prefix finds as many, or if it alone is one that only one side has. And a few names of the
    checkpoint are no evidence unless they share more than their last part: many a head has an ``output_bias``.
    """
    names, sample = set(available), sorted(asked)
    by_end: dict[str, list[str]] = {}
    for name in sorted(names):
        by_end.setdefault(_end(name), []).append(name)
    votes = Counter(_apart(name, other) for name in sample[:_SAMPLE] for other in by_end.get(_end(name), [])[:_SAMPLE])
    helped = {
        (ours, theirs): [name for name in sample if name.startswith(ours) and theirs + name.removeprefix(ours) in names]
        for (ours, theirs), _ in votes.most_common(_CANDIDATES)
        if ours != theirs
    }
    most = max(map(len, helped.values()), default=0)
    best = [change for change, found in helped.items() if len(found) == most]
    best = [change for change in best if not all(change)] or best
    if len(best) != 1 or most <= more_than:
        return None
    ours, theirs = best[0]
    if not theirs:
        return f'the checkpoint has {most} of them without "{ours}": scope="{ours.removesuffix("/")}"'
    if most < _EVIDENCE and not any("/" in name.removeprefix(ours) for name in helped[best[0]]):
        return None
    return f"the checkpoint has {most} of them under another prefix: renames={{{theirs!r}: {ours!r}}}"


def _end(name: str) -> str:
    return name.rpartition("/")[2]


def _apart(name: str, other: str) -> tuple[str, str]:
    """What is left of two paths without the end that they share."""
    ours, theirs = name.split("/"), other.split("/")
    while ours and theirs and ours[-1] == theirs[-1]:
        ours.pop()
        theirs.pop()
    return "".join(f"{part}/" for part in ours), "".join(f"{part}/" for part in theirs)


def _is_prefix(text: str) -> bool:
    return not text or text.endswith("/")

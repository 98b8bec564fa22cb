"""The checkpoint's name for a variable of the program, by ``scope`` and ``renames``; advice on both when names differ.

"ours" are names and prefixes of the program, "theirs" those of the checkpoint.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import BridgeckptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SAMPLE = 200  # names of each side that are compared for advice
_CANDIDATES = 20  # changes of prefix that are tried on all names
_EVIDENCE = 3  # so many names are evidence even if they share only their last part
_BOTH_ALIKE = "write both with a / at the end, as in {'teacher/': 'student/'}, or both without"


class Renaming(NamedTuple):
    """The program's prefixes with the checkpoint's, the longest first, and the program's whole names likewise.

    ``scope`` is the prefix of the program's variables. The program's prefixes and names include it.
    """

    scope: str
    prefixes: tuple[tuple[str, str], ...]
    names: Mapping[str, str]

    @classmethod
    def parse(cls, scope: str | None, renames: Mapping[str, str] | None) -> Renaming:
        """Make it from the options of a caller.

        Args:
            scope: the program's variables are under it, the checkpoint's are not.
            renames: the checkpoint's names, each with the program's name below ``scope``: whole names, or prefixes,
                which end in ``/``. The empty prefix fits any name.

        Raises:
            BridgeckptError: a prefix is paired with a whole name, or two names of the checkpoint with one variable.
        """
        below = f"{scope.strip('/')}/" if scope else ""
        prefixes, names, renamed = {below: ""}, dict[str, str](), set[str]()
        for theirs, ours in ((a.removesuffix(":0"), b.removesuffix(":0")) for a, b in (renames or {}).items()):
            if below + ours.removeprefix("/") in renamed:
                raise BridgeckptError(f"renames has two names of the checkpoint for {ours!r}", hint="name one of them")
            renamed.add(below + ours.removeprefix("/"))
            if _is_prefix(theirs) and _is_prefix(ours):
                prefixes[below + ours.removeprefix("/")] = theirs.removeprefix("/")
            elif _is_prefix(theirs) or _is_prefix(ours):
                raise BridgeckptError(f"renames has {theirs!r}: {ours!r}, a prefix and a name", hint=_BOTH_ALIKE)
            else:
                names[below + ours] = theirs
        return cls(below, tuple(sorted(prefixes.items(), key=lambda pair: -len(pair[0]))), names)

    def unused(self, variables: Iterable[str]) -> list[str]:
        """The renamed prefixes and names of the program that no variable has."""
        known = list(variables)
        prefixes = [ours for ours, _ in self.prefixes if not any(name.startswith(ours) for name in known)]
        return [*prefixes, *(name for name in self.names if name not in known)]

    def of(self, name: str) -> str | None:
        """The checkpoint's name for a variable of the program; None if the variable is outside ``scope``."""
        if not name.startswith(self.scope):
            return None
        if name in self.names:
            return self.names[name]
        ours, theirs = next((ours, theirs) for ours, theirs in self.prefixes if name.startswith(ours))
        return theirs + name.removeprefix(ours)


def common_change(pairs: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The most frequent change of prefix, the program's and the checkpoint's, among pairs of their names."""
    changes = Counter(_differing_prefixes(name, other) for name, other in pairs)
    return changes.most_common(1)[0][0] if changes else ("", "")


def advice(asked: Iterable[str], available: Iterable[str], more_than: int = 0) -> str | None:
    """The ``scope`` or ``renames`` by which the checkpoint has more than ``more_than`` of the names; None if unclear.

    A change of prefix is clear if no other one finds as many names, or if among the best it is the only one with an
    empty side. Fewer than three names must share more than their last part: many heads have an ``output_bias``.
    """
    names, sample = set(available), sorted(asked)
    by_end: dict[str, list[str]] = {}
    for name in sorted(names):
        by_end.setdefault(_end(name), []).append(name)
    votes = Counter(
        _differing_prefixes(name, other) for name in sample[:_SAMPLE] for other in by_end.get(_end(name), [])[:_SAMPLE]
    )
    found_by_change = {
        (ours, theirs): [name for name in sample if name.startswith(ours) and theirs + name.removeprefix(ours) in names]
        for (ours, theirs), _ in votes.most_common(_CANDIDATES)
        if ours != theirs
    }
    most = max(map(len, found_by_change.values()), default=0)
    best = [change for change, found in found_by_change.items() if len(found) == most]
    best = [change for change in best if not all(change)] or best
    if len(best) != 1 or most <= more_than:
        return None
    ours, theirs = best[0]
    if not theirs:
        return f'the checkpoint has {most} of them without "{ours}": scope="{ours.removesuffix("/")}"'
    if most < _EVIDENCE and not any("/" in name.removeprefix(ours) for name in found_by_change[best[0]]):
        return None
    return f"the checkpoint has {most} of them under another prefix: renames={{{theirs!r}: {ours!r}}}"


def _end(name: str) -> str:
    return name.rpartition("/")[2]


def _differing_prefixes(name: str, other: str) -> tuple[str, str]:
    """The two names without the parts at the end that they share."""
    ours, theirs = name.split("/"), other.split("/")
    while ours and theirs and ours[-1] == theirs[-1]:
        ours.pop()
        theirs.pop()
    return "".join(f"{part}/" for part in ours), "".join(f"{part}/" for part in theirs)


def _is_prefix(text: str) -> bool:
    return not text or text.endswith("/")

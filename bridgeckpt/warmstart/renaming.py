"""The checkpoint's name for a variable of the program, by ``scope`` and ``renames``.

"ours" are names and prefixes of the program, "theirs" those of the checkpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import BridgeckptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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

    def behind(self, name: str) -> str | None:
        """What follows a renamed prefix in a name of the program; "" for a renamed name, else None."""
        if name in self.names:
            return ""
        renamed = (
            ours for ours, theirs in self.prefixes if name.startswith(ours) and (ours, theirs) != (self.scope, "")
        )
        prefix = next(renamed, None)
        return None if prefix is None else name.removeprefix(prefix)

    def of(self, name: str) -> str | None:
        """The checkpoint's name for a variable of the program; None if the variable is outside ``scope``."""
        if not name.startswith(self.scope):
            return None
        if name in self.names:
            return self.names[name]
        ours, theirs = next((ours, theirs) for ours, theirs in self.prefixes if name.startswith(ours))
        return theirs + name.removeprefix(ours)


def _is_prefix(text: str) -> bool:
    return not text or text.endswith("/")

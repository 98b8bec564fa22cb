"""The names of a checkpoint: looks up templates in them, and binds the wildcards of a dialect to them."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

from bridgeckpt.mapping.notation.templates import COUNTER, evaluate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from bridgeckpt.mapping.notation.templates import Template, Values

_NUMBER = re.compile(r"_[0-9]{1,9}\Z")
_MANY = 2000  # names that difflib compares in a few milliseconds


class Names:
    """The names of a checkpoint's tensors, with a lookup of templates."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = dict.fromkeys(names)  # a set that keeps the order
        self._sorted: list[str] | None = None
        self._numbered: dict[tuple[str, str], list[str]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def find(self, template: Template, values: Values) -> str | None:
        """The name that the template stands for, or None when the checkpoint lacks it."""
        if template.counter is None:
            name = template.render(values)
            return name if name in self._names else None
        before, after, ordinal = template.counter
        if before.has_counter:
            numbered = self._with_counters(template, values)
        else:
            numbered = self._with_counter(before.render(values), after.render(values))
        position = evaluate(ordinal, values)
        return numbered[position - 1] if 1 <= position <= len(numbered) else None

    def _with_counters(self, template: Template, values: Values) -> list[str]:
        """The names of a template with several counters by the last; of those before it, the lowest counts."""
        pattern = template.pattern(values).pattern
        if (known := self._numbered.get((pattern, ""))) is not None:
            return known
        counted = re.compile(pattern.replace(COUNTER, f"({COUNTER})"), re.DOTALL)
        matches = sorted(
            ([int(number[1:] or 0) for number in match.groups()], match[0])
            for match in map(counted.fullmatch, self._names)
            if match
        )
        self._numbered[pattern, ""] = numbered = [name for key, name in matches if key[:-1] == matches[0][0][:-1]]
        return numbered

    def nearest(self, name: str, n: int = 3) -> list[str]:
        """The ``n`` names most similar to ``name``, best first."""
        from difflib import get_close_matches  # only for messages

        candidates: Iterable[str] = self._names
        if len(self._names) > _MANY:
            last = name.rpartition("/")[2]
            candidates = [other for other in self._names if other.rpartition("/")[2] == last][:_MANY]
        return get_close_matches(name, candidates, n)

    def _with_counter(self, before: str, after: str) -> list[str]:
        """The names of the form ``before``, counter, ``after``, in the order of the counter."""
        if (known := self._numbered.get((before, after))) is not None:
            return known
        if self._sorted is None:
            self._sorted = sorted(self._names)
        matches: list[tuple[int, str]] = []
        for position in range(bisect_left(self._sorted, before), len(self._sorted)):
            name = self._sorted[position]
            if not name.startswith(before):
                break
            counter = name[len(before) : len(name) - len(after)]
            if name == f"{before}{counter}{after}" and (not counter or _NUMBER.match(counter)):
                matches.append((int(counter[1:] or 0), name))
        self._numbered[before, after] = numbered = [name for _, name in sorted(matches)]
        return numbered


def bind(
    templates: Sequence[Template], names: Collection[str], absent: Sequence[Template] = ()
) -> list[dict[str, str]]:
    """The values of the wildcards with which all ``templates`` are among ``names``, and no template of ``absent`` is.

    Every index is 0. The time is linear in the number of names. A checkpoint with two towers (``bert/...`` and
    ``student/bert/...``) has two bindings.
    """
    bindings: list[dict[str, str]] = [{}]
    for template in templates:
        bindings = [extended for binding in bindings for extended in _extend(binding, template, names)]
    return [binding for binding in bindings if not any(_extend(binding, template, names) for template in absent)]


def _extend(binding: dict[str, str], template: Template, names: Collection[str]) -> list[dict[str, str]]:
    """``binding`` with the wildcards of ``template`` added: one for each way in which it is among ``names``."""
    pattern = template.pattern({**dict.fromkeys(template.indices, 0), **binding})
    literal_end = template.text.rpartition("}")[2]  # cheap to compare, and excludes nearly every name
    matches = filter(None, (pattern.fullmatch(name) for name in names if name.endswith(literal_end)))
    extended = dict.fromkeys(tuple({**binding, **match.groupdict()}.items()) for match in matches)
    return [dict(items) for items in extended]

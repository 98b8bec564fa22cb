"""Pairs: which tensors of the two sides of a comparison belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bridgeckpt.aligning.sides import AlignedSide
    from bridgeckpt.copying.job import Job
    from bridgeckpt.mapping.tables.model_records import ModelTable


class Pair(NamedTuple):
    """Two tensors that should be equal; ``tied`` is a note if their names are two names of one parameter."""

    name: str
    a: Job
    b: Job
    tied: str | None


class Pairs(NamedTuple):
    """The pairs of two sides, and the names that only side A (``missing``) or only side B (``extra``) has."""

    pairs: list[Pair]
    missing: list[str]
    extra: list[str]


def pair_tensors(a: AlignedSide, b: AlignedSide, model: ModelTable | None) -> Pairs:
    """Pair the jobs of both sides by name, with or without the base model's prefix, and by tied parameters."""
    keys_a, keys_b = _keys(a, b, model)
    ties = _ties([*keys_a, *keys_b], model)
    pairs, missing, extra = [], [], []
    taken = set[str]()
    for key, name in keys_a.items():
        if key in keys_b:
            pairs.append(Pair(max(name, keys_b[key], key=len), a.jobs[name], b.jobs[keys_b[key]], None))
        elif partner := next((other for other in ties.get(key, ()) if other in keys_b), None):
            other = keys_b[partner]
            taken.add(partner)
            pairs.append(Pair(name, a.jobs[name], b.jobs[other], f"B keeps it as {other}"))
        else:
            missing.append(name)
    for key, name in keys_b.items():
        if key in keys_a or key in taken:
            continue
        if partner := next((other for other in ties.get(key, ()) if other in keys_a), None):
            other = keys_a[partner]
            pairs.append(Pair(name, a.jobs[other], b.jobs[name], f"A keeps it as {other}"))
        else:
            extra.append(name)
    return Pairs(pairs, missing, extra)


def _prefix(model: ModelTable | None) -> str:
    """The prefix that names have in a class with a head, but not in the bare model."""
    return next((a.drop_prefix for a in model.architectures.values() if a.drop_prefix), "") if model else ""


def _keys(a: AlignedSide, b: AlignedSide, model: ModelTable | None) -> tuple[dict[str, str], dict[str, str]]:
    """The names of both sides, by their name in the bare model, unless two of one side would then be the same."""
    prefix = _prefix(model)
    keys = [{name.removeprefix(prefix): name for name in side.jobs} for side in (a, b)]
    if any(len(own) < len(side.jobs) for own, side in zip(keys, (a, b), strict=True)):
        keys = [{name: name for name in side.jobs} for side in (a, b)]
    return keys[0], keys[1]


def _ties(keys: list[str], model: ModelTable | None) -> dict[str, list[str]]:
    """For each key, the other keys of the same parameter."""
    ties: dict[str, list[str]] = {}
    prefix = _prefix(model)
    for tied in model.tied if model else ():
        pattern = tied.pt.pattern({})
        for key in dict.fromkeys(keys):
            if match := pattern.fullmatch(key) or pattern.fullmatch(prefix + key):
                to = tied.to.render(match.groupdict()).removeprefix(prefix)
                ties.setdefault(key, []).append(to)
                ties.setdefault(to, []).append(key)
    return ties

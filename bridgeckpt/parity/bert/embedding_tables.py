"""Wrong embeddings: which table, and which of its rows, by where the difference shows.

A wrong row of the word table shows wherever its token stands, one of the position table at its position in every
sequence, one of the token types wherever the type is given; a wrong gamma or beta everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from bridgeckpt.parity.bert.embeddings import TABLES, Entries, RecordedEmbeddings
from bridgeckpt.parity.diagnosing.anatomy import NOTHING, Cause, Patch, Replacement
from bridgeckpt.parity.diagnosing.dense import normal
from bridgeckpt.parity.diagnosing.fitting import fit, slope
from bridgeckpt.parity.diagnosing.wording import TOLERANCES, describe, rows_text

Tensor = Any  # torch is imported inside functions

_FITTED = 64  # entries that a row is fitted to, at most
_SCREENED = 8  # entries by which likely elements are found
_LIKELY = 4
_ROWS = 8  # wrong rows that are fitted, at most


class EmbeddingTables(RecordedEmbeddings):
    """The tables of words, positions and types, and which of them is to blame."""

    stage = "embeddings"

    def blame(self) -> Cause:
        """The tensor to blame for wrong embeddings, with its rows."""
        tries = (_rows, _vectors, _zeros, _scales, _tables, _eliminated)
        return next(cause for attempt in tries for cause in attempt(self))


class _Entered(NamedTuple):
    """Some entries with what is normalised in them, to be computed with changes."""

    entries: list[Entries]
    parts: list[tuple[Tensor, Tensor, Tensor]]
    expected: Tensor
    eps: float

    def with_sums(self, changed: Callable[[Tensor], Tensor]) -> Tensor:
        """All values, flat, the sums of rows being changed."""
        import torch

        return torch.cat(
            [
                entries.compute(changed(summed), gamma, beta, self.eps).reshape(-1)
                for entries, (summed, gamma, beta) in zip(self.entries, self.parts, strict=True)
            ]
        )


def _entered(embeddings: RecordedEmbeddings, entries: list[Entries]) -> _Entered:
    import torch

    parts = [embeddings.parts(entry, NOTHING, torch.float64) for entry in entries]
    expected = torch.cat([entry.expected.reshape(-1) for entry in entries])
    return _Entered(entries, parts, expected, embeddings.settings(NOTHING).eps)


def _whole(embeddings: RecordedEmbeddings) -> _Entered | None:
    """The entries of the first probe that keeps whole values."""
    whole = [entries for entries in embeddings.entries if entries.keep is None]
    return _entered(embeddings, whole[:1]) if whole else None


def _wrong_rows(embeddings: RecordedEmbeddings, table: str) -> list[int]:
    """The rows of a table that are wrong wherever they are read, if they explain all wrong entries; else no rows."""
    import torch

    read = torch.cat([entries.rows[table] for entries in embeddings.entries])
    wrong = torch.cat(embeddings.wrong)
    rows = read[wrong].unique()
    reading = torch.isin(read, rows)
    behind = bool(wrong[reading].all()) and len(rows) < len(read.unique())
    return [int(row) for row in rows] if behind else []


def _rows(embeddings: RecordedEmbeddings) -> Iterator[Cause]:
    """A few rows of one table are wrong."""
    import torch

    for table in TABLES:
        if not (rows := _wrong_rows(embeddings, table)):
            continue
        name = embeddings.names[table]
        have = embeddings.anatomy.parameters[name]
        if len(rows) == 2:
            order = torch.arange(len(have))
            order[rows] = torch.tensor(rows[::-1])
            exchanged = Patch({name: Replacement(name, partial(_ordered, order))})
            if embeddings.fixed_by(exchanged):
                yield Cause(f"{rows_text(rows)} of {name} are swapped", name, exchanged)
        want, texts = have.double(), []
        for row in rows[:_ROWS]:
            if (fitted := _fitted_row(embeddings, table, row)) is not None:
                want[row] = fitted
                tolerance = TOLERANCES[embeddings.precision]
                texts.append(describe(have[row].double(), fitted, tolerance, free=True))
        text = f"{name} is wrong in {rows_text(rows)}"
        if not bool(have[rows].any()):
            text = f"{name} is all zeros in {rows_text(rows)}"
        elif len(rows) == 1 and texts:
            text = f"row {rows[0]} of {name} {texts[0]}"
        yield Cause(text, name, Patch({name: Replacement(values=want)}) if len(texts) == len(rows) else NOTHING)


def _fitted_row(embeddings: RecordedEmbeddings, table: str, row: int) -> Tensor | None:
    """The right values of a row: other in one element, a multiple, or solved for if enough values were kept."""
    import torch

    have = embeddings.anatomy.parameters[embeddings.names[table]][row].double()
    entries_of_row = [
        entries.where((entries.rows[table] == row).nonzero()[:_FITTED, 0])
        for entries in sorted(embeddings.entries, key=lambda entries: entries.keep is not None)
    ]
    entered = _entered(embeddings, [entries for entries in entries_of_row if len(entries.expected)])

    def predict(change: Tensor) -> Tensor:
        return entered.with_sums(lambda summed: summed + change)

    directions = list(torch.eye(len(have), dtype=have.dtype)[_likely(entered, have)])
    for direction, precision in (*((unit, embeddings.precision) for unit in directions), (have, "float32")):
        by = fit(lambda by: predict(by * direction), torch.zeros(1, dtype=have.dtype), entered.expected)  # noqa: B023
        if embeddings.within(entered.expected, predict(by * direction), precision):
            return have + by * direction
    if len(entered.expected) < len(have):
        return None
    change = fit(predict, torch.zeros_like(have), entered.expected)
    return have + change if embeddings.within(entered.expected, predict(change), embeddings.precision) else None


def _likely(entered: _Entered, have: Tensor) -> list[int]:
    """The elements of a row by which the difference is best explained to first order."""
    import torch

    few = entered._replace(
        entries=[entries.where(torch.arange(min(_SCREENED, len(entries.expected)))) for entries in entered.entries],
        parts=[(summed[:_SCREENED], gamma, beta) for summed, gamma, beta in entered.parts],
    )
    expected = torch.cat([entries.expected.reshape(-1) for entries in few.entries])
    zeros = torch.zeros_like(have)

    def predict(change: Tensor) -> Tensor:
        return few.with_sums(lambda summed: summed + change)

    error = expected - predict(zeros)
    push = slope(predict, zeros).push
    pushed = [push(unit) for unit in torch.eye(len(have), dtype=have.dtype)]
    likeness = torch.stack([(change @ error).abs() / change.norm().clamp(min=1e-300) for change in pushed])
    order: list[int] = likeness.argsort(descending=True)[:_LIKELY].tolist()
    return order


def _vectors(embeddings: RecordedEmbeddings) -> Iterator[Cause]:
    """Gamma or beta: as many unknowns as features, against every entry."""
    import torch

    if (entered := _whole(embeddings)) is None:
        return
    summed, gamma, beta = entered.parts[0]
    normalised = normal(summed, entered.eps)
    expected = entered.entries[0].expected
    for role, have, predict in (
        ("beta", beta, lambda change: normalised * gamma + beta + change),
        ("gamma", gamma, lambda change: normalised * (gamma + change) + beta),
    ):
        want = have + fit(predict, torch.zeros_like(have), expected)
        name = embeddings.names[role]
        patch = Patch({name: Replacement(values=want)})
        if embeddings.fixed_by(patch):
            yield Cause(f"{name} {describe(have, want, TOLERANCES[embeddings.precision])}", name, patch)


def _zeros(embeddings: RecordedEmbeddings) -> Iterator[Cause]:
    for table in TABLES:
        name = embeddings.names[table]
        if not bool(embeddings.anatomy.parameters[name].any()):
            found = (cause for cause in _tables(embeddings) if cause.parameter == name)
            patch = next((cause.patch for cause in found), NOTHING)
            yield Cause(f"{name} is all zeros", name, patch)


def _scales(embeddings: RecordedEmbeddings) -> Iterator[Cause]:
    """A table is a multiple of what it should be; float32 values can only be so to the precision of float32."""
    import torch

    if (entered := _whole(embeddings)) is None:
        return
    for table in TABLES:
        name = embeddings.names[table]
        read = embeddings.anatomy.parameters[name][entered.entries[0].rows[table]].double()
        start = torch.zeros(1, dtype=read.dtype)
        by = fit(lambda by: entered.with_sums(lambda summed: summed + read * by), start, entered.expected)  # noqa: B023
        factor = 1 + float(by)
        patch = Patch({name: Replacement(name, partial(_multiplied, factor))})
        if embeddings.fixed_by(patch, precision="float32"):
            yield Cause(f"{name} is {1 / factor:.6g} times what it should be", name, patch)


def _tables(embeddings: RecordedEmbeddings) -> Iterator[Cause]:
    """A table is wrong throughout: it is solved for row by row if there are fewer unknowns than equations."""
    import torch

    if (entered := _whole(embeddings)) is None:
        return
    for table in TABLES:
        name = embeddings.names[table]
        have = embeddings.anatomy.parameters[name]
        rows, place = entered.entries[0].rows[table].unique(return_inverse=True)
        if 2 * len(rows) > len(place):  # nearly as many unknowns as equations: anything could be explained
            continue
        start = torch.zeros(len(rows), have.shape[1], dtype=torch.float64)
        change = fit(
            lambda by: entered.with_sums(lambda summed: summed + by[place]),  # noqa: B023
            start,
            entered.expected,
        )
        patch = Patch({name: Replacement(values=have.double().index_add(0, rows, change))})
        if bool((embeddings.errors(entered.entries[0], patch) <= 1).all()):
            yield Cause(f"{name} is wrong throughout", name, patch)


def _eliminated(embeddings: RecordedEmbeddings) -> Iterator[Cause]:
    """Neither positions nor token types explain the difference: the words are left."""
    name = embeddings.names["words"]
    others = f"{embeddings.names['positions']} or {embeddings.names['types']}"
    yield Cause(f"{name} is wrong throughout: no rows of {others} explain the difference", name, NOTHING)


def _ordered(order: Tensor, values: Tensor) -> Tensor:
    return values[order]


def _multiplied(factor: float, values: Tensor) -> Tensor:
    return values.double() * factor

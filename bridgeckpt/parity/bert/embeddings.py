"""The embeddings in a reference, over all its probes, compared with what the model computes for each entry.

The sweep reads every row of the three tables, but keeps only projections.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.parity.diagnosing.anatomy import NOTHING, Anatomy, Patch
from bridgeckpt.parity.diagnosing.dense import normal
from bridgeckpt.parity.judging.rounding import REFERENCE_UNITS, UNITS
from bridgeckpt.parity.reference.probes import IDS, TYPES, Probe

if TYPE_CHECKING:
    from bridgeckpt.parity.bert.definition import StageSettings
    from bridgeckpt.parity.reference.reference import Reference

Tensor = Any  # torch is imported inside functions

TABLES = ("types", "positions", "words")
_CLEAR = 16.0  # times the measured rounding: an entry with a larger error is wrong
_AT_ONCE = 4096  # entries
_LEFT = 0.15  # share of the wrong entries that may stay wrong with a cause that explains the rest


class Entries(NamedTuple):
    """Recorded embeddings: for each the row read of every table, and its values, or their projections."""

    rows: Mapping[str, Tensor]
    expected: Tensor
    keep: Tensor | None

    def where(self, chosen: Tensor) -> Entries:
        """Those entries alone."""
        return self._replace(
            rows={table: rows[chosen] for table, rows in self.rows.items()}, expected=self.expected[chosen]
        )

    def compute(self, summed: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
        """What the sum of the three rows becomes."""
        values = normal(summed, eps) * gamma + beta
        return values if self.keep is None else values @ self.keep.to(values.dtype)


class RecordedEmbeddings:
    """A model's embeddings against everything that a reference holds of them."""

    def __init__(self, reference: Reference, anatomy: Anatomy, settings: Callable[[Patch], StageSettings]) -> None:
        self.anatomy, self.settings = anatomy, settings
        self.names = anatomy.roles["embeddings"]
        precise = any("embeddings" in stages for stages in reference.runs.get("float64", {}).values())
        run = "float64" if precise else reference.finest
        self.precision = "float64" if precise else "float32"
        hidden = anatomy.parameters[self.names["gamma"]].numel()
        self.entries = [
            _entries(reference.probes[name], stages["embeddings"], hidden)
            for name, stages in reference.runs.get(run, {}).items()
            if "embeddings" in stages and getattr(reference.probes[name].inputs.get(IDS), "ndim", 0) == 2
        ]
        self.wrong = [self.errors(entries) > 1 for entries in self.entries]

    def within(self, expected: Tensor, found: Tensor, precision: str) -> bool:
        """Whether rounding in a precision explains the difference of some values."""
        floor = _CLEAR * REFERENCE_UNITS[precision] * expected.square().mean().sqrt()
        return bool((expected - found).square().mean().sqrt() <= floor)

    @property
    def any_wrong(self) -> bool:
        """Whether an entry is wrong."""
        return any(bool(wrong.any()) for wrong in self.wrong)

    def compute(self, entries: Entries, patch: Patch, dtype: Any) -> Tensor:  # noqa: ANN401
        """The model's values of the entries."""
        eps = self.settings(patch).eps
        return entries.compute(*self.parts(entries, patch, dtype), eps)

    def parts(self, entries: Entries, patch: Patch, dtype: Any) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401
        """The sums of rows that are normalised, gamma and beta."""
        tensors = {role: self.anatomy.tensor(name, patch) for role, name in self.names.items()}
        # Rows are read before they are widened: a float64 copy of a word table is large.
        settings = self.settings(patch)
        rows = {
            "words": entries.rows["words"],
            "positions": settings.position(entries.rows["positions"], len(tensors["positions"])),
            "types": settings.type(entries.rows["types"], len(tensors["types"])),
        }
        summed = sum(tensors[table][rows[table]].to(dtype) for table in TABLES)
        return summed, tensors["gamma"].to(dtype), tensors["beta"].to(dtype)

    def fixed_by(self, patch: Patch, *, precision: str | None = None) -> bool:
        """Whether no entry is wrong with ``patch``, by the precision of the reference or by another."""
        return all(bool((self.errors(entries, patch, precision) <= 1).all()) for entries in self.entries)

    def mostly_fixed_by(self, patch: Patch) -> bool:
        """Whether ``patch`` corrects most wrong entries and makes none wrong: a shifted table has lost some rows."""
        import torch

        left = torch.cat([self.errors(entries, patch) > 1 for entries in self.entries])
        wrong = torch.cat(self.wrong)
        return not bool((left & ~wrong).any()) and float(left.sum()) <= _LEFT * float(wrong.sum())

    def errors(self, entries: Entries, patch: Patch = NOTHING, precision: str | None = None) -> Tensor:
        """Each entry's error; above 1 it is clearly not rounding."""
        import torch

        count = len(entries.expected)
        pieces = [entries.where(torch.arange(at, min(at + _AT_ONCE, count))) for at in range(0, count, _AT_ONCE)]
        return torch.cat([self._errors(piece, patch, REFERENCE_UNITS[precision or self.precision]) for piece in pieces])

    def _errors(self, entries: Entries, patch: Patch, unit: float) -> Tensor:
        import torch

        truth = self.compute(entries, patch, torch.float64)
        noise = (self.compute(entries, patch, torch.float32).double() - truth) * (unit / UNITS["float32"])
        floor = float(noise.square().mean() + (truth * unit).square().mean() / 3) ** 0.5
        if (stored := UNITS.get(self.anatomy.subject.stored, 0.0)) > UNITS["float32"]:
            floor += stored * float(truth.square().mean()) ** 0.5
        return (entries.expected - truth).square().mean(1).sqrt() / (_CLEAR * floor)


def _entries(probe: Probe, values: Any, hidden: int) -> Entries:  # noqa: ANN401
    """The entries of one probe, padded positions left out; the tables' rows are read in transformers' way."""
    import numpy as np
    import torch

    ids = probe.inputs[IDS]
    at = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    types = probe.inputs.get(TYPES, np.zeros_like(ids))
    kept = slice(None) if probe.positions is None else list(probe.positions)
    mask = probe.mask if probe.mask is not None else np.ones(ids[:, kept].shape, bool)
    rows = {
        table: torch.as_tensor(np.ascontiguousarray(of[:, kept][mask])).long()
        for table, of in zip(("words", "positions", "types"), (ids, at, types), strict=True)
    }
    # What is kept of the unit vectors is the projection itself.
    keep = torch.as_tensor(probe.keep(np.eye(hidden))) if probe.directions else None
    return Entries(rows, torch.as_tensor(values[mask]).double(), keep)

"""The lints of mapping tables: what each code means, a finding, and the error that is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Mapping

CODES: Mapping[str, str] = {
    "schema": "the file is not in the mapping language: TOML syntax, an unknown key, a value of the wrong type",
    "reference": "a table, group or class that is named does not exist, or groups borrow in a circle",
    "detect": "the detect names do not bind every wildcard, or another dialect of the model is recognised by them too",
    "reason": "an ignored or derived tensor, or an orientation, gives no reason",
    "unknown-axis": "a layout names an axis that [dims] does not size",
    "repeated-axis": "an axis stands twice on one side of a layout",
    "one-sided-axis": "an axis stands on one side of a layout only",
    "index-mismatch": "the two names of a row do not run over the same indices, or a list does not fit its [axis]",
    "duplicate-name": "two rows speak of one tensor",
    "role": "a bias or beta becomes a weight, or a kernel or gamma a bias",
    "orientation": "a kernel becomes a weight, no axis moves, and no reason is given",
    "merge-order": "one side merges the same axes in two orders",
    "round-trip": "a layout and its inverse do not give the tensor back bit for bit",
    "dialect-agreement": "two dialects give one parameter different PyTorch layouts",
    "target-coverage": "the rows do not make exactly the parameters of the Hugging Face class",
}


class LintError(TableError):
    """A :class:`TableError` that knows which lint found it: ``code`` is a key of :data:`CODES`."""

    def __init__(self, code: str, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, where=where, hint=hint)
        self.code = code
        self.reason = message  # without the place


class LintProblem(NamedTuple):
    """A finding: a key of :data:`CODES`, what is wrong, ``file:line`` when it has a place, and what to do."""

    code: str
    message: str
    where: str | None = None
    hint: str | None = None

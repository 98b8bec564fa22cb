"""The lints of mapping tables: what each code means, and the records of problems."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Mapping

CODES: Mapping[str, str] = {
    "schema": "the file is not in the mapping language: TOML syntax, an unknown key, a value of the wrong type",
    "reference": "a table, group or class that is named does not exist, or groups borrow in a circle",
    "detect": "the detect names do not bind every wildcard, or another dialect recognises the same names",
    "reason": "an ignored or derived tensor, or an orientation, gives no reason",
    "ignored-part": "an ignored tensor is a part of the model without a head, which computes something else without it",
    "unknown-axis": "a layout names an axis that [dims] does not size",
    "repeated-axis": "an axis is twice on one side of a layout",
    "one-sided-axis": "an axis is on only one side of a layout",
    "index-mismatch": "the two names of a row do not run over the same indices, or a list does not fit its [axis]",
    "duplicate-name": "two rows have the same tensor",
    "role": "a bias or beta becomes a weight, or a kernel or gamma a bias",
    "orientation": "a kernel becomes a weight, no axis moves, and no reason is given",
    "merge-order": "one side merges the same axes in two orders",
    "round-trip": "a layout and its inverse do not give the tensor back bit for bit",
    "dialect-agreement": "two dialects give one parameter different PyTorch layouts",
    "optional": "a parameter may be absent, and the class is not complete without it",
    "config-key": "a key of the class's config changes what it computes, and no table says its value",
    "target-coverage": "the rows do not make exactly the parameters of the Hugging Face class",
}


class LintError(TableError):
    """A :class:`TableError` with the ``code`` of its lint, a key of :data:`CODES`."""

    def __init__(self, code: str, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, where=where, hint=hint)
        self.code = code
        self.reason = message  # without the place


class LintProblem(NamedTuple):
    """A problem: a key of :data:`CODES`, what is wrong, ``file:line`` if it is known, and what to do."""

    code: str
    message: str
    where: str | None = None
    hint: str | None = None

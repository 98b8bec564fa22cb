"""The errors of bridgeckpt: every failure a caller can expect is a :class:`BridgeckptError`.

An error says what went wrong and where in its message, and what to do next in its ``hint``. The facts stay reachable as
attributes, so that a script can act on them without parsing a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class BridgeckptError(Exception):
    """Base class: ``message`` says what and where, ``hint`` what to do next (or None)."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class OptionError(BridgeckptError, TypeError):
    """An argument that a function does not have, or whose value it does not take; ``option`` is its name."""

    def __init__(self, message: str, *, option: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.option = option


class CheckpointError(BridgeckptError):
    """A checkpoint that cannot be found, recognised or read; ``path`` is the file that is to blame."""

    def __init__(self, message: str, *, path: Path | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.path = path


class TableError(BridgeckptError):
    """A mapping table, or a layout in one, that is not well formed; ``where`` is ``file:line`` when known."""

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(f"{where}: {message}" if where else message, hint=hint)
        self.where = where


class ConfigError(BridgeckptError):
    """A model configuration or vocabulary that is missing, malformed or of another model."""


class Problem(NamedTuple):
    """One reason to refuse.

    ``kind`` is missing, shape, unmapped, refused, config, heads or vocabulary; ``subject`` what it is about;
    ``details`` explain it, ``hint`` says what to do about it; ``tensors`` are the names of all tensors it covers.
    """

    kind: str
    subject: str
    details: tuple[str, ...] = ()
    hint: str | None = None
    tensors: tuple[str, ...] = ()

    @property
    def explanation(self) -> tuple[str, ...]:
        """The lines below the subject."""
        return (*self.details, f"hint: {self.hint}") if self.hint else self.details


class PlanError(BridgeckptError):
    """A conversion that was refused: ``problems`` holds every reason, not only the first."""

    def __init__(self, message: str, problems: Sequence[Problem] = (), *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class OutputError(BridgeckptError):
    """An output that exists already or could not be written; what stood there before is untouched."""


class PrecisionError(BridgeckptError):
    """A value that the wanted dtype cannot hold; nothing is written."""


class ParityError(BridgeckptError):
    """A verification that could not be carried out: a framework, a device or memory is lacking, or nothing compares."""

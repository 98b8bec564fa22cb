"""The errors of bridgeckpt: every failure that a caller can expect is a :class:`BridgeckptError`.

::

    BridgeckptError             a failure that a caller can expect
      OptionError               a function does not have an argument, or does not take its value (also a TypeError)
      CheckpointError           a checkpoint cannot be found, recognised or read
      TableError                a mapping table is not well formed
        LintError               the same, with the code of the rule (bridgeckpt.mapping.notation.errors)
      ConfigError               a config or vocabulary is missing, malformed or of another model
      PlanError                 a conversion is refused, with every reason
      OutputError               an output exists already or cannot be written
      PrecisionError            a value does not fit the wanted dtype
      ParityError               a verification cannot be carried out
      WarmStartError            a warm start is refused (bridgeckpt.warmstart.report)

An error says what went wrong and where in its ``message``, and what to do next in its ``hint``. Both are in Python's
words; a :class:`~bridgeckpt.sentences.Sentence` in them knows which settings it names, so that the command line can
name its options. The facts are attributes: a script can act on them without parsing a sentence. Errors pickle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from bridgeckpt.sentences import Sentence, Words, named, say, within

if TYPE_CHECKING:
    from pathlib import Path


Kind = TypeVar("Kind", bound="BridgeckptError")


class BridgeckptError(Exception):
    """Base class: ``message`` says what and where, ``hint`` what to do next (or None)."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Callable[..., BridgeckptError], tuple[Any, ...]]:
        """Pickled by its attributes: what the constructor of a subclass takes does not matter."""
        return _restored, (type(self), self.args, self.__dict__)

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that the error speaks of, by their names in Python."""
        return named((self.message, self.hint))

    def said(self, words: Words) -> str:
        """The message and the hint, with each setting as ``words`` spells it."""
        message = say(self.message, words)
        return f"{message}\n  hint: {say(self.hint, words)}" if self.hint else message

    def within(self, argument: str) -> Self:
        """The same error, its settings as entries of the dict that ``argument`` takes."""
        made = _restored(type(self), self.args, self.__dict__)
        made.message = within(self.message, argument)
        made.hint = within(self.hint, argument) if self.hint else None
        made.args = (made.message, *self.args[1:])
        return made


class OptionError(BridgeckptError, TypeError):
    """An argument that a function does not have, or whose value it does not take; ``option`` is its name."""

    def __init__(self, message: str, *, option: str = "", hint: str | None = None) -> None:
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
    def settings(self) -> tuple[str, ...]:
        """The settings that it speaks of, by their names in Python."""
        return named((self.subject, *self.details, self.hint))

    @property
    def explanation(self) -> tuple[str, ...]:
        """The lines below the subject."""
        return (*self.details, Sentence("hint: {hint}", hint=self.hint)) if self.hint else self.details

    @property
    def line(self) -> str:
        """The problem on one line, without its details."""
        said = f"{self.kind} {self.subject}"
        return Sentence("{said} ({hint})", said=said, hint=self.hint) if self.hint else said

    def record(self) -> dict[str, Any]:
        """The problem as JSON-ready values."""
        return {**self._asdict(), "settings": self.settings}

    def within(self, argument: str) -> Problem:
        """The same problem, its settings as entries of the dict that ``argument`` takes."""
        return self._replace(
            subject=within(self.subject, argument),
            details=tuple(within(detail, argument) for detail in self.details),
            hint=within(self.hint, argument) if self.hint else None,
        )


class PlanError(BridgeckptError):
    """A conversion that was refused: ``problems`` holds every reason, not only the first.

    ``kind`` is "unrecognised" where no mapping table reads the names, which are ``names`` then.
    """

    def __init__(
        self,
        message: str,
        problems: Sequence[Problem] = (),
        *,
        kind: str | None = None,
        names: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)
        self.kind = kind
        self.names = tuple(names)

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that the error or one of its problems speaks of."""
        return tuple(dict.fromkeys((*super().settings, *(name for one in self.problems for name in one.settings))))

    def within(self, argument: str) -> Self:
        """The same error and problems, their settings as entries of the dict that ``argument`` takes."""
        made = super().within(argument)
        made.problems = tuple(problem.within(argument) for problem in self.problems)
        return made


class OutputError(BridgeckptError):
    """An output that exists already or could not be written; what stood there before is untouched."""


class PrecisionError(BridgeckptError):
    """A value that the wanted dtype cannot hold; nothing is written."""


class ParityError(BridgeckptError):
    """A verification that could not be carried out: a framework, a device or memory is lacking, or nothing compares."""


def _restored(kind: type[Kind], args: tuple[Any, ...], attributes: dict[str, Any]) -> Kind:
    """An error with the attributes of another, made without its constructor."""
    made = kind.__new__(kind, *args)
    made.__dict__.update(attributes)
    return made

"""The errors of bridgeckpt: every failure that a caller can expect is a :class:`BridgeckptError`.

::

    BridgeckptError             a failure that a caller can expect
      OptionError               an argument is unknown or its value is not valid (also a TypeError)
      CheckpointError           a checkpoint cannot be found, recognised or read
      TableError                a mapping table is not well formed
        LintError               the same, with the code of the rule (bridgeckpt.mapping.notation.errors)
      ConfigError               a config or vocabulary is missing, malformed or belongs to another model
      PlanError                 a conversion is refused, with every reason
      OutputError               an output exists already or cannot be written
      PrecisionError            a value does not fit the wanted dtype
      ParityError               a verification cannot be carried out
      WarmStartError            a warm start is refused (bridgeckpt.warmstart.report)

The ``message`` of an error says what went wrong and where, its ``hint`` what to do next. Both name settings as Python
spells them. Where one is a :class:`~bridgeckpt.sentences.Sentence`, the command line can name its own options instead.
Facts are attributes, so that a script can act on them without parsing text. Errors can be pickled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from bridgeckpt.sentences import Sentence, Words, joined, say, setting_names, within

if TYPE_CHECKING:
    from pathlib import Path


ErrorType = TypeVar("ErrorType", bound="BridgeckptError")


class BridgeckptError(Exception):
    """Base class: ``message`` says what went wrong and where, ``hint`` what to do next (or None)."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Callable[..., BridgeckptError], tuple[Any, ...]]:
        """Pickle the attributes, since the constructors of subclasses take different arguments."""
        return _restored, (type(self), self.args, self.__dict__)

    @property
    def settings(self) -> tuple[str, ...]:
        """The names of the settings that the error mentions, as in Python."""
        return setting_names((self.message, self.hint))

    def said(self, words: Words) -> str:
        """The message and the hint, with each setting as ``words`` spells it."""
        message = say(self.message, words)
        return f"{message}\n  hint: {say(self.hint, words)}" if self.hint else message

    def within(self, argument: str) -> Self:
        """A copy that names each setting as an entry of the dict ``argument``: ``reading={"heads": N}``."""
        made = _restored(type(self), self.args, self.__dict__)
        made.message = within(self.message, argument)
        made.hint = within(self.hint, argument) if self.hint else None
        made.args = (made.message, *self.args[1:])
        return made


class OptionError(BridgeckptError, TypeError):
    """An argument is unknown or its value is not valid; ``option`` is its name."""

    def __init__(self, message: str, *, option: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.option = option


class CheckpointError(BridgeckptError):
    """A checkpoint cannot be found, recognised or read; ``path`` is the file at fault."""

    def __init__(self, message: str, *, path: Path | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.path = path


class TableError(BridgeckptError):
    """A mapping table, or a layout in one, is not well formed; ``where`` is ``file:line`` if known."""

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(joined(": ", (where, message)) if where else message, hint=hint)
        self.where = where


class ConfigError(BridgeckptError):
    """A model configuration or vocabulary is missing, malformed or belongs to another model."""


class Problem(NamedTuple):
    """One reason to refuse.

    ``kind`` is "missing", "shape", "dtype", "unmapped", "refused", "config", "conflict", "class", "heads" or
    "vocabulary". ``subject`` says what the problem is about, ``details`` explain it, and ``hint`` says what to do.
    ``tensors`` are the names of all tensors that it concerns.
    """

    kind: str
    subject: str
    details: tuple[str, ...] = ()
    hint: str | None = None
    tensors: tuple[str, ...] = ()

    @property
    def settings(self) -> tuple[str, ...]:
        """The names of the settings that it mentions, as in Python."""
        return setting_names((self.subject, *self.details, self.hint))

    @property
    def explanation(self) -> tuple[str, ...]:
        """The lines that explain the subject: the details, then the hint."""
        return (*self.details, Sentence("hint: {hint}", hint=self.hint)) if self.hint else self.details

    @property
    def line(self) -> str:
        """The problem on one line, without its details."""
        line = f"{self.kind} {self.subject}"
        return Sentence("{line} ({hint})", line=line, hint=self.hint) if self.hint else line

    def record(self) -> dict[str, Any]:
        """The problem as JSON-ready values."""
        return {**self._asdict(), "settings": self.settings}

    def within(self, argument: str) -> Problem:
        """A copy that names each setting as an entry of the dict ``argument``."""
        return self._replace(
            subject=within(self.subject, argument),
            details=tuple(within(detail, argument) for detail in self.details),
            hint=within(self.hint, argument) if self.hint else None,
        )


class PlanError(BridgeckptError):
    """A conversion is refused: ``problems`` holds every reason, not only the first.

    ``kind`` is "unrecognised" if no mapping table reads the checkpoint; ``names`` are then those of its tensors. It is
    "pytorch" if the checkpoint is one of PyTorch already. It is "dialects" if several tables read the checkpoint, and
    "models" if it holds several models; ``names`` are then the tables or the scopes.
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
        """The names of the settings that the error or one of its problems mentions."""
        names = (name for problem in self.problems for name in problem.settings)
        return tuple(dict.fromkeys((*super().settings, *names)))

    def within(self, argument: str) -> Self:
        """A copy that names each setting, also in its problems, as an entry of the dict ``argument``."""
        made = super().within(argument)
        made.problems = tuple(problem.within(argument) for problem in self.problems)
        return made


class OutputError(BridgeckptError):
    """An output exists already or cannot be written; what was there before is unchanged."""


class PrecisionError(BridgeckptError):
    """The wanted dtype cannot hold a value; nothing is written."""


class ParityError(BridgeckptError):
    """A verification cannot be carried out: a framework, a device or memory is missing, or nothing can be compared."""


def _restored(kind: type[ErrorType], args: tuple[Any, ...], attributes: dict[str, Any]) -> ErrorType:
    """A copy of an error by its attributes, made without calling its constructor."""
    made = kind.__new__(kind, *args)
    made.__dict__.update(attributes)
    return made

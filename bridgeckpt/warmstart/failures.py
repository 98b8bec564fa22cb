"""Errors of a translation that does not end the warm start: a note for the report, and the choices that are left."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import PlanError
from bridgeckpt.sentences import Sentence, Setting, within
from bridgeckpt.warmstart.planned import ProgramError

if TYPE_CHECKING:
    from bridgeckpt.errors import ConfigError

READING = "reading"  # the argument of a warm start that holds the keywords of a plan
_NOTE_LENGTH = 300  # characters: a longer error is shortened when it becomes a note


def note_of(failure: PlanError | ConfigError) -> str:
    """The note that names were not translated, and why."""
    hint = failure.hint
    if isinstance(failure, PlanError) and (key := _choice(failure)) is not None:
        hint = Sentence("choose one with {choice}", choice=Setting(key))  # whichever is tried and works is advised
    error = failure.within(READING)
    message = shorten(" ".join(error.message.split()), _NOTE_LENGTH)
    return f"its names were not translated: {message}" + (f" (hint: {within(hint, READING)})" if hint else "")


def _choice(error: PlanError) -> str | None:
    """The option for the checkpoint that chooses one of several models or tables, if that is what went wrong."""
    options = {"models": "scope", "dialects": "mapping"}
    return None if isinstance(error, ProgramError) else options.get(error.kind or "")


def choices_of(error: PlanError | ConfigError | None) -> list[Mapping[str, Any]]:
    """The options that choose one of several models or tables, if names were not translated for that reason."""
    if not isinstance(error, PlanError):
        return []
    if isinstance(error, ProgramError):
        return [{"scope": name.strip("/")} for name in error.names if name and error.kind == "models"]
    key = _choice(error)
    return [] if key is None else [{READING: {key: name.strip("/")}} for name in error.names]

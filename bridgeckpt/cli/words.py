"""The words of the command line: how it spells the settings that errors, problems and notes name."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import cache

from bridgeckpt.cli.arguments import parser
from bridgeckpt.sentences import Setting, python_words
from bridgeckpt.sentences import say as say_with


def say(text: str) -> str:
    """A text with the options of the command line in it."""
    return say_with(text, option)


def option(setting: Setting) -> str:
    """A setting as an option: ``--heads N``, ``--ema``, ``--scope student/``; what is none stays as it is in Python."""
    spellings = options().get(setting.name)
    if spellings is None:
        return python_words(setting)
    if None not in spellings:  # flags, each for a value of its own
        chosen = spellings.get(setting.value)
        return chosen if chosen is not None else "/".join(map(str, spellings.values()))
    import shlex  # only when an option is spelled

    value = setting.blank if setting.value is None else shlex.quote(str(setting.value))
    return f"{spellings[None]} {value}".rstrip()


@cache
def options() -> dict[str, dict[object, str]]:
    """The options of all commands by the setting that each is; a flag also by the value that it stands for.

    A setting is named as the keyword of the function is, and so is the attribute in which argparse puts an option.
    """
    found: dict[str, dict[object, str]] = {}
    for action in _actions(parser()):
        if isinstance(action, argparse.BooleanOptionalAction):
            found.setdefault(action.dest, dict(zip((True, False), action.option_strings, strict=True)))
        elif action.option_strings:
            value = action.const if action.nargs == 0 else None
            found.setdefault(action.dest, {}).setdefault(value, action.option_strings[-1])
    return found


def _actions(of: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in of._actions:  # noqa: SLF001 - argparse has no other list of them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action

"""The settings that errors, problems and notes name, written as options of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import cache

from bridgeckpt.cli.arguments import parser
from bridgeckpt.sentences import Setting, python_words
from bridgeckpt.sentences import say as say_with


def say(text: str) -> str:
    """A text with its settings as options of the command line."""
    return say_with(text, option)


def option(setting: Setting) -> str:
    """A setting as an option: ``--heads N``, ``--ema``, ``--scope student/``; as in Python if there is no option."""
    spellings = options().get(setting.name)
    if spellings is None:
        return python_words(setting)
    if None not in spellings:  # flags, one for each value
        chosen = spellings.get(setting.value)
        return chosen if chosen is not None else "/".join(map(str, spellings.values()))
    import shlex  # only when an option is spelled

    value = setting.blank if setting.value is None else shlex.quote(str(setting.value))
    return f"{spellings[None]} {value}".rstrip()


@cache
def options() -> dict[str, dict[object, str]]:
    """The options of all commands: setting to value to option. The value is None for an option that is not a flag.

    The name of a setting is a keyword of the Python function, and also the attribute in which argparse stores it.
    """
    spellings: dict[str, dict[object, str]] = {}
    for action in _actions(parser()):
        if isinstance(action, argparse.BooleanOptionalAction):
            spellings.setdefault(action.dest, dict(zip((True, False), action.option_strings, strict=True)))
        elif action.option_strings:
            value = action.const if action.nargs == 0 else None
            spellings.setdefault(action.dest, {}).setdefault(value, action.option_strings[-1])
    return spellings


def _actions(command_line: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in command_line._actions:  # noqa: SLF001 - argparse has no other list of them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action

"""The options that a command was given, as the keywords of the Python function that it calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar, cast

from bridgeckpt.options import hints_of

if TYPE_CHECKING:
    import argparse

Options = TypeVar("Options", bound=Mapping[str, object])


def given(arguments: argparse.Namespace, options: type[Options]) -> Options:
    """The values of all ``options``, from the arguments of a command that has them.

    argparse stores each option under the name of its keyword. An option that the command lacks is an AttributeError,
    so a new one cannot be forgotten.
    """
    return cast("Options", {name: getattr(arguments, name) for name in hints_of(options)})

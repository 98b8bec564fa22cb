"""Values checked against type hints: whether a value fits a hint, and what a hint asks for in plain words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, is_typeddict

_WORDS: Mapping[object, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    os.PathLike: "a path",
    Path: "a path",
    Callable: "a function",
    Mapping: "a dict",
}


def fits(hint: Any, value: object) -> bool:  # noqa: ANN401 - hints have no common type
    """Whether ``value`` fits ``hint``. A bool does not count as a number, nor a text as a list of texts."""
    if hint is Any or hint is object:
        return True
    if (choices := _choices(hint)) is not None:
        return any(fits(choice, value) for choice in choices)
    if hint is None or hint is NoneType:
        return value is None
    if hint in (int, float):
        return isinstance(value, int if hint is int else (int, float)) and not isinstance(value, bool)
    if is_typeddict(hint):
        return isinstance(value, Mapping)
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in inner)
    if not isinstance(value, origin) or (isinstance(value, str) and origin is not str):
        return False
    if isinstance(value, Mapping) and len(inner) == 2:
        return all(fits(inner[0], key) and fits(inner[1], item) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset) and inner:
        return all(fits(inner[0], item) for item in value)
    return True


def plain_number(value: object, hint: Any = None) -> object:  # noqa: ANN401
    """A number of numpy as Python's, also inside a dict of options if ``hint`` allows one; any other value as it is."""
    if isinstance(value, dict) and typed_dict_in(hint) is not None:
        return {key: plain_number(item) for key, item in value.items()}
    is_scalar = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if is_scalar else value  # type: ignore[attr-defined]


def describe(hint: Any) -> str:  # noqa: ANN401
    """The values that ``hint`` allows, in words; None is not mentioned."""
    if (choices := _choices(hint)) is not None:
        words = dict.fromkeys(describe(choice) for choice in choices if choice is not NoneType)
        if _WORDS[os.PathLike] in words:  # a path may be given as text
            words.pop(_WORDS[str], None)
        return " or ".join(words)
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if isinstance(origin, type) and issubclass(origin, Iterable) and inner and not issubclass(origin, Mapping):
        return f"a list of {describe(inner[0])}" if inner[0] in _WORDS else "a list"
    if is_typeddict(hint):
        return "a dict"
    return _WORDS.get(origin) or f"a {getattr(origin, '__name__', origin)}"


def typed_dict_in(hint: Any) -> Any:  # noqa: ANN401
    """The TypedDict that a hint allows, or None."""
    if is_typeddict(hint):
        return hint
    return next((typed for choice in _choices(hint) or () if (typed := typed_dict_in(choice)) is not None), None)


def _choices(hint: Any) -> tuple[Any, ...] | None:  # noqa: ANN401
    """The hints of which a value has to fit one; None for a hint without alternatives."""
    origin = get_origin(hint)
    if origin is Annotated:
        return (get_args(hint)[0],)
    return get_args(hint) if origin in (Union, UnionType) else None

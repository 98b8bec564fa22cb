"""The options of the public functions, written once: what each option means, and which values are valid.

A function declares its options as ``**options: Unpack[PlanOptions]``, which type checkers read. The decorator
:func:`checked` refuses unknown keywords and invalid values before any work is done. :func:`shown` adds every option to
the signature and the docstring of an exported function or class. The package calls it on first use, because only people
read them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache, wraps
from math import inf
from types import SimpleNamespace
from typing import Annotated, Any, NamedTuple, TypedDict, TypeVar, cast, get_args, get_type_hints, is_typeddict

from bridgeckpt.dtypes import WEIGHT_DTYPES
from bridgeckpt.errors import OptionError
from bridgeckpt.type_hints import describe, fits, plain_number, typed_dict_in

AnyPath = str | os.PathLike[str]
Function = TypeVar("Function", bound=Callable[..., Any])
Shown = TypeVar("Shown")


class Constraint(NamedTuple):
    """A condition on the value of an option: ``wanted`` says it in words, ``fits`` tests a value of the right type.

    ``says_type``: the words also name the type.
    """

    wanted: str
    fits: Callable[[Any], bool]
    says_type: bool = True


def one_of(*choices: str) -> Constraint:
    """The rule that a text is one of ``choices``."""
    return Constraint(f"one of {', '.join(choices)}", choices.__contains__)


Dtype = Annotated[str | None, one_of(*WEIGHT_DTYPES)]


Seed = Annotated[int, Constraint("a whole number of 0 or more", lambda seed: seed >= 0)]
Tolerance = Annotated[float | None, Constraint("a finite number of 0 or more", lambda tolerance: 0 <= tolerance < inf)]


class SourceOptions(TypedDict, total=False):
    """How to read a TensorFlow checkpoint, for every function that reads one."""

    config: Annotated[AnyPath | None, "config file, or a folder that holds one; None looks beside the checkpoint."]
    heads: Annotated[
        int | None,
        "number of attention heads; None takes it from the config, the graph or, in a few formats, the shapes.",
        Constraint("at least 1", lambda heads: heads >= 1, says_type=False),
    ]
    scope: Annotated[
        str | None, "leading path of the variables' names; it chooses one model if the checkpoint holds several."
    ]


class ActivationOptions(TypedDict, total=False):
    """Parts of the computation that no tensor shows."""

    hidden_act: Annotated[
        str | None,
        "activation function, by its name in transformers; None takes it from the graph, the config or the table.",
    ]
    layer_norm_eps: Annotated[
        float | None, "epsilon of LayerNorm; None takes it from the graph, the config or the table."
    ]


class DiffOptions(SourceOptions, total=False):
    """How to read the TensorFlow checkpoint in a comparison."""

    mapping: Annotated[AnyPath | None, "name or file of the mapping table; None finds the one that fits the names."]
    architecture: Annotated[str | None, "Hugging Face class; None takes the one whose heads the checkpoint has."]
    ema: Annotated[bool, "take the exponential moving averages instead of the weights."]


class RecordOptions(SourceOptions, ActivationOptions, total=False):
    """How to read a checkpoint that is going to be run in TensorFlow."""


class PlanOptions(DiffOptions, ActivationOptions, total=False):
    """What a caller can set instead of having it detected. Every function that makes a plan takes these keywords."""

    vocab: Annotated[AnyPath | None, "vocabulary file; None looks beside the checkpoint."]
    lowercase: Annotated[bool | None, "whether the tokenizer lower-cases; None infers it from the vocabulary."]


class ConvertOptions(PlanOptions, total=False):
    """How to read a checkpoint that is converted, and what to write beside the model."""

    keep_rest: Annotated[
        bool,
        "also write what the class does not have (excluded), under its TensorFlow names, into unconverted.safetensors.",
    ]


def checked(options: type[Mapping[str, object]] | None = None) -> Callable[[Function], Function]:
    """A decorator that checks the arguments of a function, whose ``**options`` are those of ``options``.

    It checks the type in an argument's annotation and every :class:`Constraint` there. It skips an annotation that
    names something which only type checkers import.
    """

    def decorate(function: Function) -> Function:
        name = function.__qualname__.removesuffix(".__init__")

        @wraps(function)
        def checking(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401 - whatever the function takes and returns
            known = _known(function, options)
            arguments = tuple(plain_number(value) for value in arguments)
            keywords = {name: plain_number(value, known.get(name)) for name, value in keywords.items()}
            positional = dict(zip(_positional(function), arguments, strict=False))  # Python reports too many itself
            check_values(f"{name}()", {**positional, **keywords}, known)
            return function(*arguments, **keywords)

        checking.__options__ = options  # type: ignore[attr-defined]
        return cast("Function", checking)

    return decorate


def check_values(where: str, values: Mapping[str, object], known: Mapping[str, Any], prefix: str = "{}") -> None:
    """Refuse names that are not ``known``, and values that do not fit the hints in it.

    ``where`` is the function or argument that takes the values. ``prefix`` turns a name into what messages call it, as
    ``reading['{}']`` does.

    Raises:
        OptionError: An option is unknown (the message suggests the nearest name), or its value is not valid.
    """
    for name, value in values.items():
        if name not in known:
            raise _unknown(where, name, known)
        hint = known[name]
        label = prefix.format(name)
        rules = [entry for entry in getattr(hint, "__metadata__", ()) if isinstance(entry, Constraint)]
        if not fits(hint, value):
            wanted = next((rule.wanted for rule in rules if rule.says_type), None) or describe(hint)
            raise OptionError(f"{label} must be {wanted}, not {_text(value)}", option=name)
        if isinstance(value, Mapping) and (record := typed_dict_in(hint)) is not None:
            check_values(label, value, hints_of(record), f"{label}['{{}}']")
        if broken := next((rule for rule in rules if value is not None and not rule.fits(value)), None):
            raise OptionError(f"{label} must be {broken.wanted}, not {_text(value)}", option=name)


@cache
def hints_of(options: type[Mapping[str, object]]) -> dict[str, Any]:
    """The options of a record, each with its type hint."""
    return get_type_hints(options, include_extras=True)


def given_names(values: Mapping[str, object], options: type[Mapping[str, object]]) -> list[str]:
    """The names in the record ``options`` that ``values`` sets to something else than leaving them out would."""
    defaults = {name: _default(hint) for name, hint in hints_of(options).items()}
    return [name for name, default in defaults.items() if values.get(name, default) is not default]


@cache
def _known(function: Callable[..., Any], options: type[Mapping[str, object]] | None) -> dict[str, Any]:
    """The type hint of every argument of a function; the positional arguments come first, in order."""
    own = {name: _hint(function, name) for name in _arguments(function)}
    return own | (hints_of(options) if options is not None else {})


def _arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _positional(function: Callable[..., Any]) -> tuple[str, ...]:
    return function.__code__.co_varnames[: function.__code__.co_argcount]


def _hint(function: Callable[..., Any], name: str) -> Any:  # noqa: ANN401 - what annotations may be
    written = SimpleNamespace(__annotations__={name: function.__annotations__.get(name, Any)})
    try:
        return get_type_hints(written, globalns=function.__globals__, include_extras=True)[name]
    except NameError:  # imported for type checkers only
        return Any


def _unknown(where: str, name: str, known: Mapping[str, object]) -> OptionError:
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1)
    advice = f'; did you mean "{near[0]}"?' if near else ""
    return OptionError(f'{where} has no option "{name}"{advice}', option=name, hint=f"it takes {', '.join(known)}")


def _text(value: object) -> str:
    from textwrap import shorten

    try:
        return f'"{value}"' if isinstance(value, str) and len(value) < 80 else shorten(repr(value), 80)
    except ValueError:  # Python writes no number of thousands of digits
        return "a number of thousands of digits"


def shown(exported: Shown) -> Shown:
    """Add the options of an exported function or class to its signature and docstring; returns it."""
    if is_typeddict(exported):
        _describe(exported, hints_of(cast("type[Mapping[str, object]]", exported)))
    function = exported.__dict__.get("__init__") if isinstance(exported, type) else exported
    if hasattr(function, "__options__"):
        _show(function)
    return exported


def _show(function: Any) -> None:  # noqa: ANN401 - a function with attributes
    import inspect

    options = hints_of(function.__options__) if function.__options__ is not None else {}
    signature = inspect.signature(function.__wrapped__)
    known = _known(function.__wrapped__, None)
    own = [
        parameter if known[name] is Any else parameter.replace(annotation=_plain(known[name]))
        for name, parameter in signature.parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_default(hint),
            annotation=_plain(hint),
        )
        for name, hint in options.items()
    ]
    function.__signature__ = signature.replace(parameters=[*own, *added])
    _describe(function, options)


def _default(hint: Any) -> object:  # noqa: ANN401
    """The value of an option that the caller leaves out."""
    return None if fits(hint, None) else False if fits(hint, False) else ()


def _plain(hint: Any) -> Any:  # noqa: ANN401
    """An annotation without its metadata."""
    return get_args(hint)[0] if hasattr(hint, "__metadata__") else hint


def _describe(what: Any, options: Mapping[str, Any]) -> None:  # noqa: ANN401 - a function or a class
    """Put a line for each option into a docstring, in place of the line on ``options``."""
    import re
    from textwrap import fill

    if not what.__doc__ or not options:
        return
    place = re.search(r"^( *)options: .*(?:\n\1 +.*)*", what.__doc__, re.MULTILINE)
    indent = place[1] if place else ""
    lines = [
        fill(f"{name}: {text}", 120, initial_indent=indent, subsequent_indent=f"{indent}    ")
        for name, hint in options.items()
        for text in getattr(hint, "__metadata__", ())
        if isinstance(text, str)
    ]
    listed = "\n".join(lines)
    before, after = (what.__doc__[: place.start()], what.__doc__[place.end() :]) if place else (what.__doc__, "")
    what.__doc__ = f"{before}{listed}{after}" if place else f"{before.rstrip()}\n\n{listed}\n"

"""The options of the public functions, written once: what each means, and which values it takes.

A function takes a record of options with ``**options: Unpack[PlanOptions]``, which type checkers read, and is decorated
with :func:`checked`, which refuses a keyword that it does not have and a value that it does not take before any work is
done. :func:`shown` gives the function a signature and a docstring with every option; the package does that when the
function is first taken from it, since the program itself needs neither.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, NamedTuple, TypedDict, TypeVar, cast, get_args, get_type_hints, is_typeddict

from bridgeckpt.dtypes import WEIGHT_DTYPES
from bridgeckpt.errors import OptionError
from bridgeckpt.hints import fits, record_in, spelled

AnyPath = str | os.PathLike[str]
Function = TypeVar("Function", bound=Callable[..., Any])
Shown = TypeVar("Shown")


class Rule(NamedTuple):
    """What a value has to be: the words for it, and whether a value of the right type is so.

    ``says_type``: the words also say which type that is.
    """

    wanted: str
    fits: Callable[[Any], bool]
    says_type: bool = True


def one_of(*choices: str) -> Rule:
    """The rule that a text is one of ``choices``."""
    return Rule(f"one of {', '.join(choices)}", choices.__contains__)


Dtype = Annotated[str | None, one_of(*WEIGHT_DTYPES)]


class SourceOptions(TypedDict, total=False):
    """How a TensorFlow checkpoint is read, whatever is done with it."""

    config: Annotated[AnyPath | None, "config file, or a folder with one; None looks beside the checkpoint."]
    heads: Annotated[
        int | None,
        "number of attention heads; None takes the config's or the graph's, where no shape tells it.",
        Rule("at least 1", lambda heads: heads >= 1, says_type=False),
    ]
    scope: Annotated[str | None, "leading path of the variables, when the checkpoint holds several models."]


class ActivationOptions(TypedDict, total=False):
    """What a model computes with, and no tensor tells."""

    hidden_act: Annotated[
        str | None, "activation by its transformers name; None takes the graph's, else the dialect's."
    ]
    layer_norm_eps: Annotated[float | None, "epsilon; None takes the graph's, else the dialect's."]


class DiffOptions(SourceOptions, total=False):
    """How to read a side of a comparison that is a TensorFlow checkpoint."""

    mapping: Annotated[str | Path | None, "name or file of the mapping table; None detects the dialect."]
    architecture: Annotated[str | None, "Hugging Face class; None takes the one whose heads are there."]
    ema: Annotated[bool, "take the exponential moving averages instead of the weights."]


class RecordOptions(SourceOptions, ActivationOptions, total=False):
    """How to read a checkpoint that is run in TensorFlow."""


class PlanOptions(DiffOptions, ActivationOptions, total=False):
    """What a caller may decide instead of having it detected; every function that plans takes these keywords."""

    vocab: Annotated[AnyPath | None, "vocabulary file; None looks beside the checkpoint."]
    lowercase: Annotated[bool | None, "whether the tokenizer lower-cases; None infers it from the vocabulary."]


def checked(options: type[Mapping[str, object]] | None = None) -> Callable[[Function], Function]:
    """A decorator that checks the arguments of a function, whose ``**options`` are those of ``options``.

    What the annotation of an argument says is checked: its type, and every :class:`Rule` in it. An annotation that
    names something only type checkers import is not.
    """

    def decorate(function: Function) -> Function:
        name = function.__qualname__.removesuffix(".__init__")

        @wraps(function)
        def checking(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401 - whatever the function takes and returns
            known = _known(function, options)
            positional = dict(zip(known, arguments, strict=False))
            check_values(f"{name}()", {**positional, **keywords}, known)
            return function(*arguments, **keywords)

        checking.__options__ = options  # type: ignore[attr-defined]
        return cast("Function", checking)

    return decorate


def check_values(where: str, values: Mapping[str, object], known: Mapping[str, Any], prefix: str = "{}") -> None:
    """Refuse names that are not ``known``, and values that do not fit the hints there.

    ``where`` takes the values. ``prefix`` makes the name of one for messages, as in ``reading['{}']``.

    Raises:
        OptionError: naming the option, and for an unknown one the nearest that there is.
    """
    for name, value in values.items():
        if name not in known:
            raise _unknown(where, name, known)
        hint = known[name]
        called = prefix.format(name)
        rules = [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Rule)]
        if not fits(hint, value):
            wanted = next((rule.wanted for rule in rules if rule.says_type), None) or spelled(hint)
            raise OptionError(f"{called} must be {wanted}, not {_text(value)}", option=name)
        if isinstance(value, Mapping) and (record := record_in(hint)) is not None:
            check_values(called, value, hints_of(record), f"{called}['{{}}']")
        if broken := next((rule for rule in rules if value is not None and not rule.fits(value)), None):
            raise OptionError(f"{called} must be {broken.wanted}, not {_text(value)}", option=name)


@cache
def hints_of(options: type[Mapping[str, object]]) -> dict[str, Any]:
    """The options of a record with what each takes."""
    return get_type_hints(options, include_extras=True)


@cache
def _known(function: Callable[..., Any], options: type[Mapping[str, object]] | None) -> dict[str, Any]:
    """Every argument of a function by name with what it takes; the positional ones first and in order."""
    own = {name: _hint(function, name) for name in _arguments(function)}
    return own | (hints_of(options) if options is not None else {})


def _arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


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

    return f'"{value}"' if isinstance(value, str) and len(value) < 80 else shorten(repr(value), 80)


def shown(exported: Shown) -> Shown:
    """What the package exports, with its options in the signature and in the docstring."""
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
        one if known[name] is Any else one.replace(annotation=_plain(known[name]))
        for name, one in signature.parameters.items()
        if one.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if fits(hint, None) else False if fits(hint, False) else (),
            annotation=_plain(hint),
        )
        for name, hint in options.items()
    ]
    function.__signature__ = signature.replace(parameters=[*own, *added])
    _describe(function, options)


def _plain(hint: Any) -> Any:  # noqa: ANN401
    """An annotation without what is said of it."""
    return get_args(hint)[0] if hasattr(hint, "__metadata__") else hint


def _describe(what: Any, options: Mapping[str, Any]) -> None:  # noqa: ANN401 - a function or a class
    """Put a line for each option into a docstring, in the place of the line that speaks of ``options``."""
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

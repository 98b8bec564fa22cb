"""What callers of the public functions may ask for: arguments that cannot be are refused before any work is done."""

from __future__ import annotations

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.store.sizes import parse_size

DTYPES = ("float32", "float16", "bfloat16")  # what weights can be stored as
_FRAMEWORKS = ("np", "pt")


def check_dtype(dtype: str | None) -> None:
    """Refuse what is neither None nor one of :data:`DTYPES`.

    Raises:
        BridgeckptError: lists them.
    """
    if dtype is not None:
        _check_choice("dtype", dtype, DTYPES)


def check_framework(framework: str) -> None:
    """Refuse what is neither "np" nor "pt".

    Raises:
        BridgeckptError: lists them.
    """
    _check_choice("framework", framework, _FRAMEWORKS)


def check_heads(heads: int | None) -> None:
    """Refuse a number of attention heads below 1.

    Raises:
        BridgeckptError: it is.
    """
    if heads is not None and heads < 1:
        raise BridgeckptError(f"heads is {heads}", hint="a model has at least one attention head; None detects them")


def check_size(size: int | str) -> int:
    """The bytes of a size.

    Raises:
        BridgeckptError: it is none, or not above zero.
    """
    try:
        return parse_size(size)
    except ValueError as error:
        raise BridgeckptError(str(error), hint="give bytes as a whole number, or text such as 5GB") from None


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in set(choices):  # by hash: a dtype of numpy equals its name, but is no text
        raise BridgeckptError(f"{name} is {value!r}", hint=f"one of {', '.join(choices)}")

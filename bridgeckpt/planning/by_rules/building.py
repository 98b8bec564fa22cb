"""Builds a class of transformers from a config that may be damaged: without memory for weights, and in bounded time.

The code of a class trusts its config. A size of 0 divides by zero, a padding id outside the vocabulary fails an
assertion, and a billion layers are built one by one until the memory is used up. All of this is an error of the config.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import ConfigError
from bridgeckpt.sentences import Sentence
from bridgeckpt.store.texts import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A class has up to 10 modules for each of its tensors, most of them without one: dropouts, activations, containers.
_FEWEST, _FOR_EACH = 3_000, 20
_LARGEST = 2**31  # the classes make tables of their own from sizes; no size of a real model comes near
_LISTED = 1_000_000  # and in lists, such as the layers of each stage, of which they make lists
_LABELS = "num_labels"  # transformers makes a name for each


class _TooLargeError(Exception):
    """The config describes a model that the checkpoint cannot hold."""


def build(kind: Any, config: Mapping[str, Any], source: str, tensors: int) -> Any:  # noqa: ANN401 - classes of torch
    """A model of the class ``kind`` on the meta device.

    Args:
        kind: the class.
        config: the content of a config.json of transformers.
        source: what messages call the config.
        tensors: how many the checkpoint has.

    Raises:
        ConfigError: no model can be built from the config, or one of many more layers than the checkpoint can have.
    """
    import torch
    import transformers

    try:
        _refuse_large(config)
        made = kind.config_class.from_dict(dict(config))
        with torch.device("meta"), _bounded(_FEWEST + _FOR_EACH * tensors, tensors):
            return kind(made)
    except Exception as error:  # the code of any class runs here, and raises whatever it likes
        raise ConfigError(
            f"transformers {transformers.__version__} cannot build {kind.__name__} from {source}: {reason_of(error)}",
            hint=Sentence("is it the config of this checkpoint? Correct it, or give another with {config:FILE}"),
        ) from error


def reason_of(error: BaseException) -> str:
    """The first line of an error's message, with its kind if it says little."""
    text, kind = str(error).strip().partition("\n")[0], type(error).__name__
    if isinstance(error, KeyError | ArithmeticError | MemoryError) or not text:
        return f"{kind}: {text}" if text else kind
    return text


def _refuse_large(values: Mapping[str, Any], place: str = "") -> None:
    """Refuse numbers that would be used up before a class is built: names of labels, tables made of sizes."""
    for key, value in values.items():
        if isinstance(value, dict):
            _refuse_large(value, f"{place}{key}.")
        for number in value if isinstance(value, list) else [value]:
            most = _LISTED if key == _LABELS or isinstance(value, list) else _LARGEST
            if isinstance(number, int) and abs(number) > most:
                raise _TooLargeError(f"{place}{key} = {shown(value)} is no size of a model")


@contextmanager
def _bounded(most: int, tensors: int) -> Iterator[None]:
    """Stop the building of a model in this thread after ``most`` modules."""
    from torch.nn.modules.module import register_module_module_registration_hook

    thread, count = get_ident(), 0

    def registered(_parent: object, _name: str, _module: object) -> None:
        nonlocal count
        count += get_ident() == thread
        if count > most:
            raise _TooLargeError(f"it has many more layers than the {tensors} tensors of the checkpoint can fill")

    hook = register_module_module_registration_hook(registered)
    try:
        yield
    finally:
        hook.remove()

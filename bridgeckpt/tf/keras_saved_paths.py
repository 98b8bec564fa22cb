"""The paths under which Keras saves the variables of a model in ``.weights.h5`` and ``.keras``.

A layer's name there is that of its class, numbered within the list or the object that it is in:
``layers/dense_1/vars/0`` is the first variable of the second Dense of the model, whatever the program built before.

Source: keras/src/saving/saving_lib.py (``_save_state``, ``_save_container_state``), of Keras 3 and tf-keras. What
belongs to an object is asked of that module; in a version that lacks it, there are no such paths.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

from bridgeckpt.tf.keras_names import snake_case

_WALKS = ("_walk_saveable", "_walk_trackable")  # of Keras 3 and tf-keras
_LISTS = ("_trainable_variables", "_non_trainable_variables"), ("_trainable_weights", "_non_trainable_weights")
_KERAS = re.compile(r"(?:tf_)?keras\.")


class _Saver(NamedTuple):
    """How a Keras saves: the attributes of an object, and whether an object counts again where it was saved before."""

    attributes: Callable[[Any], Iterable[tuple[str, Any]]]
    counts_again: bool


def saved_paths(model: Any) -> dict[str, Any]:  # noqa: ANN401 - Keras has no types
    """The variables of a model by their paths; empty if it is no model of Keras, or of a Keras without such files."""
    saver = _saver_of(model)
    return dict(_of_object(model, "", saver, set())) if saver is not None else {}


def _saver_of(model: Any) -> _Saver | None:  # noqa: ANN401
    module = next((base.__module__ for base in type(model).__mro__ if _KERAS.match(base.__module__)), "")
    try:
        library = import_module(f"{module.partition('.')[0]}.src.saving.saving_lib")
    except (ImportError, ValueError):
        return None
    walk = next((found for name in _WALKS if callable(found := getattr(library, name, None))), None)
    return None if walk is None else _Saver(walk, hasattr(library, _WALKS[0]))


def _of_object(owner: Any, path: str, saver: _Saver, seen: set[int]) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    if id(owner) in seen:
        return
    seen.add(id(owner))
    for number, variable in enumerate(_own_variables(owner)):
        yield f"{path}vars/{number}", variable
    for name, child in saver.attributes(owner):
        if _is_saved(child):
            yield from _of_object(child, f"{path}{name}/", saver, seen)
        elif isinstance(child, (list, dict, tuple)):
            yield from _of_list(child, f"{path}{name}/", saver, seen)


def _of_list(owners: Any, path: str, saver: _Saver, seen: set[int]) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    used: dict[str, int] = {}
    for owner in owners.values() if isinstance(owners, dict) else owners:
        if not _is_saved(owner) or (id(owner) in seen and not saver.counts_again):
            continue
        name = snake_case(type(owner).__name__)
        count = used[name] = used.get(name, -1) + 1
        yield from _of_object(owner, f"{path}{name}_{count}/" if count else f"{path}{name}/", saver, seen)


def _is_saved(what: Any) -> bool:  # noqa: ANN401
    return hasattr(what, "save_own_variables") and not isinstance(what, type)


def _own_variables(owner: Any) -> list[Any]:  # noqa: ANN401
    """The variables that a layer saves itself, in order; none of a class that saves them in a way of its own."""
    if not _KERAS.match(getattr(type(owner).save_own_variables, "__module__", "")):
        return []
    lists = next((names for names in _LISTS if hasattr(owner, names[0])), ())
    return [variable for name in lists for variable in getattr(owner, name, ())]

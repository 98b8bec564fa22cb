"""The ways to name the variables of a module, a model or a list: by full names, or by paths of attributes."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bridgeckpt.tf.keras_saved_paths import saved_paths
from bridgeckpt.tf.runtime import tensorflow
from bridgeckpt.tf.variables import is_variable, name_of, named, wholes

if TYPE_CHECKING:
    from bridgeckpt.tf.variables import Variable


def is_model(what: Any) -> bool:  # noqa: ANN401
    """Whether ``what`` is an object that owns variables, not a variable or a collection of them."""
    if isinstance(what, Mapping) or is_variable(what):
        return False
    return _owned(what) is not None or not isinstance(what, Iterable)


def _owned(model: Any) -> list[Any] | None:  # noqa: ANN401
    """The variables that an object lists itself, for Keras its weights; None if it lists none."""
    module = tensorflow().Module
    try:
        if hasattr(model, "trainable_weights"):  # Keras
            owned = model.weights
        elif isinstance(model, module):  # the user may have overwritten the attribute ``variables``
            owned = module.variables.fget(model)
        else:
            owned = getattr(model, "variables", None)
    except ValueError:  # Keras 2 raises it for a model that is not built yet
        return []
    return list(owned) if isinstance(owned, (list, tuple)) and all(map(is_variable, owned)) else None


def namings(
    model: Any,  # noqa: ANN401
    stored_paths: Collection[str],
    *,
    saved_by_keras: bool = False,
) -> Iterator[dict[str, Variable]]:
    """The variables by their names, once for each way to name them. Nothing is yielded if there are no variables.

    ``stored_paths`` are the paths of attributes by which a checkpoint names its variables. If there are any, the
    model's paths come before its names, because Keras numbers names by what else was built. The paths also come below a
    prefix, such as ``model/`` of ``tf.train.Checkpoint(model=model)``, if exactly one prefix has all of them.
    ``saved_by_keras``: the checkpoint has the paths of ``.weights.h5`` and ``.keras``.
    """
    if isinstance(model, Mapping):
        yield from filter(None, [named(model)])
    elif hasattr(model, "variable_map"):  # a hub.Module: its names do not include its scope
        yield named(model.variable_map)
    elif not is_model(model):
        yield from filter(None, [wholes([model] if is_variable(model) else model)])
    else:
        if saved_by_keras:
            yield from filter(None, [_by_saved_path(model)])
        by_path = _by_path_or_name(model)
        if by_path and stored_paths:
            yield by_path
            prefixes = _prefixes(by_path, stored_paths)
            if len(prefixes) == 1:
                yield _below(prefixes[0], by_path)
        yield from namings_by_name(model)
        if by_path and not stored_paths:
            yield by_path


def namings_by_name(model: Any) -> Iterator[dict[str, Variable]]:  # noqa: ANN401
    """The variables of a model by their names, then without the model's own name. None if names are not unique."""
    owned = (_owned(model) if is_model(model) else None) or list(_by_path(model).values())
    if owned and len({name_of(one) for one in owned}) == len({id(one) for one in owned}):
        by_name = wholes(owned)
        yield by_name
        yield from filter(None, [_without_root(model, by_name)])


def _prefixes(paths: Collection[str], stored: Collection[str]) -> list[str]:
    """The prefixes below which all paths are stored."""
    first = next(iter(paths))
    fronts = [name.removesuffix(first) for name in stored if name.endswith(f"/{first}")]
    return [front for front in fronts if all(front + path in stored for path in paths)]


def _below(prefix: str, variables: Mapping[str, Variable]) -> dict[str, Variable]:
    return {prefix + name: one._replace(name=prefix + name) for name, one in variables.items()}


def _without_root(model: Any, by_name: dict[str, Variable]) -> dict[str, Variable]:  # noqa: ANN401
    """The names without the model's own, which Keras numbers in the order of construction.

    The result is empty if some name does not begin with the model's.
    """
    root = f"{getattr(model, 'name', '')}/"
    if not all(name.startswith(root) for name in by_name):
        return {}
    return {name.removeprefix(root): one._replace(name=name.removeprefix(root)) for name, one in by_name.items()}


def _by_path_or_name(model: Any) -> dict[str, Variable]:  # noqa: ANN401
    """The variables by paths of attributes; by name where no path leads to one, as to a list in Keras 3."""
    by_path = _by_path(model)
    reached = {id(one) for one in by_path.values()}
    return named({**{name_of(one): one for one in _owned(model) or () if id(one) not in reached}, **by_path})


def _by_saved_path(model: Any) -> dict[str, Variable]:  # noqa: ANN401
    """The variables by the paths under which Keras saves them; by name those that it would not save."""
    owned = {id(one): one for one in _owned(model) or ()}
    paths = {path: one for path, one in saved_paths(model).items() if id(one) in owned}
    reached = {id(one) for one in paths.values()}
    if not paths:
        return {}
    return named({**paths, **{name_of(one): one for key, one in owned.items() if key not in reached}})


def _by_path(root: Any) -> dict[str, Any]:  # noqa: ANN401
    """The variables of a trackable object by the shortest path of attributes that leads to each."""
    tf = tensorflow()
    variables: dict[str, Any] = {}
    seen, waiting = {id(root)}, deque([("", root)])
    while waiting:
        path, owner = waiting.popleft()
        try:
            children = tf.train.TrackableView.children(owner)
        except (AttributeError, TypeError, ValueError):  # not a trackable object
            continue
        for name, child in children.items():
            if id(child) in seen:
                continue
            seen.add(id(child))
            if is_variable(child):
                variables[f"{path}{name}"] = child
            else:
                waiting.append((f"{path}{name}/", child))
    return variables

"""Finds a config of the source, and reads it with transformers' keys.

Each code base writes its own kind of config: a JSON file, Model Garden's ``params.yaml``, the description of a Keras
model. ``[config.source]`` of a dialect gives the file, the place of the values in it, and their keys.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import ConfigError
from bridgeckpt.sentences import Sentence
from bridgeckpt.store import texts
from bridgeckpt.store.source import is_file, is_folder, matching
from bridgeckpt.store.texts import JSON, TextError, parse_json, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bridgeckpt.mapping.tables.model_records import ModelTable
    from bridgeckpt.mapping.tables.records import ConfigSource

ACTIVATION, EPSILON = "hidden_act", "layer_norm_eps"  # options of a conversion; the model table has their config keys
_UNREADABLE = Sentence("check the path and its permissions; {config:FILE} gives another")
_ANOTHER = Sentence("give the config of this checkpoint with {config:FILE}")


def named_class(values: Mapping[str, Any]) -> str | None:
    """The PyTorch class that a config of transformers names, also by the name of the TensorFlow class; or None."""
    match values.get("architectures"):
        case [str(name)]:
            return name.removeprefix("TF")
    return None


def find_config(directory: Path, explicit: Path | None, names: Iterable[str]) -> Path | None:
    """The config file: ``explicit`` (a file, or a folder to look in), else the first of ``names`` in ``directory``.

    A name may be a pattern (``*_config*.json``). None if there is no config.

    Raises:
        ConfigError: ``explicit`` does not exist, is unreadable or holds no config; or several files match a pattern.
    """
    try:
        return _find(directory, explicit, list(names))
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename}: {error.strerror}", hint=_UNREADABLE) from error


def _find(directory: Path, explicit: Path | None, names: list[str]) -> Path | None:
    if explicit is not None and not is_folder(explicit):
        if not is_file(explicit):
            takes = Sentence("{config} takes the path of a file")
            raise ConfigError(f"there is no config {explicit}", hint=takes)
        return explicit
    folder = explicit or directory
    for name in names:
        paths = [entry.path for entry in matching(folder, name) if entry.is_file]
        if len(paths) > 1:
            listed = ", ".join(path.name for path in paths)
            raise ConfigError(
                f"{folder} holds {len(paths)} configs: {listed}", hint=Sentence("say which with {config:FILE}")
            )
        if paths:
            return paths[0]
    if explicit is not None:
        exact_names = [name for name in names if "*" not in name]
        raise ConfigError(f"there is no config in {explicit}", hint=f"its name would be {' or '.join(exact_names)}")
    return None


def read_config(path: Path, model: ModelTable, source: ConfigSource) -> JSON:
    """Read a config of ``model`` and check the keys that a conversion uses.

    Raises:
        ConfigError: the file is neither JSON nor YAML, it is the config of another model, or a value is invalid.
    """
    return check_values(read_values(path), str(path), model, source)


def read_values(path: Path) -> JSON:
    """The content of a config of any model.

    Raises:
        ConfigError: the file is unreadable, is neither JSON nor YAML, or holds no object.
    """
    with _as_config_errors():
        return texts.read_config(path)


def parse_values(text: str, where: str) -> JSON:
    """The content of a config of any model that is a text inside a checkpoint.

    Raises:
        ConfigError: the text holds no JSON object.
    """
    with _as_config_errors():
        return parse_json(text, where)


@contextmanager
def _as_config_errors() -> Iterator[None]:
    """Raise a TextError as a ConfigError."""
    try:
        yield
    except TextError as error:
        if error.fault == "too large":
            message = f"{error.where} is not a model config: it {error.what}"
            raise ConfigError(message, hint=Sentence("give the config with {config:FILE}")) from error
        raise ConfigError(error.message, hint=_UNREADABLE if error.fault == "unreadable" else error.hint) from error


def check_values(values: JSON, where: str, model: ModelTable, source: ConfigSource) -> JSON:
    """The values by transformers' keys.

    Raises:
        ConfigError: they are of another model, or one is invalid.
    """
    values = _rename(values, source)
    for key, wanted in source.required.items():
        if values.get(key, wanted) != wanted:
            raise ConfigError(
                f"{where} says {key} = {shown(values[key])}: no class of transformers computes that",
                hint=f"only models with {key} = {shown(wanted)} can be converted",
            )
    kind = values.get("model_type", model.model)
    if kind != model.model:
        raise _wrong_model(where, f'"model_type" is {shown(kind)}', model)
    for key, other in model.config.foreign.items():
        repeated = values.get(model.config.repeating[key]) if key in model.config.repeating else None
        if values.get(key) not in (None, repeated):
            raise _wrong_model(where, f'"{key}" is a key of {other}', model)
    if invalid := [f"{key} = {shown(values[key])}: {reason}" for key, reason in _invalid_values(values, model)]:
        raise ConfigError("\n  ".join([f"{where} holds invalid values:", *invalid]), hint="correct the file")
    return values


def _rename(values: JSON, source: ConfigSource) -> JSON:
    """The values at the roots that exist (the first root wins), else all values; by transformers' keys."""
    objects = [inner for root in source.roots if (inner := _under(values, root.split("."))) is not None]
    merged: JSON = {}
    for inner in objects or [values]:
        for path, key in source.keys.items():
            *parents, last = path.split(".")
            holder = _under(inner, parents)
            if parents and holder is not None and holder.get(last) is not None:
                merged.setdefault(key, _plain(_only(holder[last])))
        for key, value in inner.items():
            merged.setdefault(source.keys.get(key, key), _plain(value))
    if objects and source.keys:  # the keys are not transformers': one without a translation has another meaning
        known = {*source.keys.values(), *source.required}
        merged = {key: value for key, value in merged.items() if key in known}
    return merged


def _under(values: object, path: list[str]) -> JSON | None:
    """The object at a path of keys, or None. In a list, a key is the ``name`` of one of its objects.

    A program may give all layers of a model a prefix: ``Student-Embedding-Norm``.
    """
    for key in path:
        if isinstance(values, list):
            named = {str(item["name"]): item for item in values if isinstance(item, dict) and "name" in item}
            prefixed = [item for name, item in named.items() if name.endswith(f"-{key}")]
            values = named.get(key, prefixed[0] if len(prefixed) == 1 else None)
        else:
            values = values.get(key) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else None


def _only(value: object) -> object:
    """The only element of a list, or the value: Keras' layers have lists of activations, of one in most models."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _plain(value: object) -> object:
    """A value; a function as Keras writes it becomes its name: ``{"class_name": ..., "config": "gelu"}``."""
    inner = value.get("config") if isinstance(value, dict) and "class_name" in value else None
    return inner if isinstance(inner, str) else value


def _wrong_model(where: str, evidence: str, model: ModelTable) -> ConfigError:
    return ConfigError(f"{where} is not the config of a {model.model} model: {evidence}", hint=_ANOTHER)


def _invalid_values(values: Mapping[str, Any], model: ModelTable) -> list[tuple[str, str]]:
    """The keys with invalid values, each with the reason."""
    sizes, options = model.size_keys, model.config.options
    numbers = {key for key, value in model.config.defaults.items() if isinstance(value, float)}
    numbers |= {options[EPSILON]} if EPSILON in options else set()
    invalid = []
    for key, value in values.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        name = model.config.keys.get(key, key)
        if name in sizes and not (is_number and isinstance(value, int) and value > 0):
            invalid.append((key, "a size is a whole number above 0"))
        elif name in numbers and not (is_number and 0 <= value <= 1):
            invalid.append((key, "a number from 0 to 1 is expected"))
        elif name == options.get(ACTIVATION) and not (value is None or isinstance(value, str)):
            invalid.append((key, "the name of an activation is expected"))
        elif name in model.config.flags and value not in (None, True, False):
            invalid.append((key, "true or false is expected"))
        elif name in model.config.tokens and not _are_ids(value):
            invalid.append((key, "the id of a token is expected"))
    return invalid


def _are_ids(value: object) -> bool:
    """Whether a value is the id of a token, a list of ids, or None."""
    ids = value if isinstance(value, list) and value else [value]
    return value is None or all(isinstance(one, int) and not isinstance(one, bool) for one in ids)

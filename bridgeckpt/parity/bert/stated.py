"""What is stated about a BERT: by the description inside the file, and by the config beside it, in that order.

A config that the user gives comes before both. A config beside the checkpoint that is another model's is not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import ConfigError, ParityError
from bridgeckpt.parity.bert.described import described
from bridgeckpt.parity.bert.refusals import refuse_config
from bridgeckpt.parity.hints import OWN_FUNCTION
from bridgeckpt.sentences import Sentence
from bridgeckpt.store.source import is_file, is_folder, matching
from bridgeckpt.store.texts import TextError, read_config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridgeckpt.parity.bert.variables import Bert

_NAMES = ("bert_config.json", "config.json", "params.yaml")
_PATTERN = "*bert_config*.json"
_MODEL = "bert"
_INSIDE = (("config",), ("task", "model", "encoder", "bert"))  # where KerasHub's and Model Garden's configs keep it
_RENAMED = {
    "num_heads": "num_attention_heads",
    "num_layers": "num_hidden_layers",
    "hidden_dim": "hidden_size",
    "vocabulary_size": "vocab_size",
    "hidden_activation": "hidden_act",
}
_SETTINGS = ("num_attention_heads", "hidden_act", "layer_norm_eps")


class Stated(NamedTuple):
    """What is stated.

    Attributes:
        values: By transformers' keys.
        sources: By key, the name of the file or the description that states it.
        notes: Contradictions, and configs that were not read.
    """

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    notes: tuple[str, ...]


def read_stated(directory: Path, bert: Bert, config: Path | None, texts: Mapping[str, str]) -> Stated:
    """What the config in ``config`` or ``directory``, and the descriptions ``texts`` inside the file, state.

    Raises:
        ConfigError: the config cannot be read, or is of another model.
        ParityError: ``config`` is of another model, or one of a variant that is not known here.
    """
    notes: list[str] = []
    outside = _given(config, bert) if config is not None else _beside(directory, bert, notes)
    inside, place = described(texts)
    refuse_config(inside, place)
    layers = [(inside, place)] if inside else []
    if outside is not None:
        layers.insert(0 if config is not None else len(layers), outside)
    values = {key: value for stated, _ in reversed(layers) for key, value in stated.items()}
    sources = {key: name for stated, name in reversed(layers) for key in stated}
    if bert.pruned and values.get("num_hidden_layers", bert.layers) != bert.layers:
        notes.append(
            f"{bert.layers} layers are run, all that the frozen graph has, although {sources['num_hidden_layers']} "
            f"says {values['num_hidden_layers']}: freezing keeps what the graph's outputs need"
        )
    if len(layers) == 2:
        notes += _contradictions(*layers)
    return Stated(values, sources, tuple(notes))


def _contradictions(first: tuple[Mapping[str, Any], str], second: tuple[Mapping[str, Any], str]) -> Iterator[str]:
    for key in _SETTINGS:
        one, other = first[0].get(key), second[0].get(key)
        if one is not None and other is not None and one != other:
            yield f"{key} = {one}, as {first[1]} says, although {second[1]} says {other}"


def _given(config: Path, bert: Bert) -> tuple[dict[str, Any], str]:
    """The values of the config that the user gives, a file or a folder, and its name."""
    if is_folder(config):
        path = next(_configs(config), None)
        if path is None:
            raise ConfigError(f"there is no config in {config}", hint=f"it would be called {' or '.join(_NAMES)}")
    else:
        path = config
        if not is_file(path):
            takes = Sentence("{config} takes the path of a JSON file")
            raise ConfigError(f"there is no config {path}", hint=takes)
    values = _read(path)
    if values.get("model_type", _MODEL) != _MODEL:
        raise _another_model(path, values)
    _check(values, path, bert)
    return values, path.name


def _another_model(path: Path, values: Mapping[str, Any]) -> ParityError:
    return ParityError(
        f'{path} says "model_type": "{values["model_type"]}", and the forward pass known here is that of a BERT',
        hint=OWN_FUNCTION,
    )


def _beside(directory: Path, bert: Bert, notes: list[str]) -> tuple[dict[str, Any], str] | None:
    """The values of the first config in a folder that is a BERT's, and its name.

    Names under ``bert/`` are those of a BERT, whatever lies beside them. A RoBERTa has the same below ``roberta/``.
    """
    for path in _configs(directory):
        values = _read(path)
        kind = values.get("model_type", _MODEL)
        if kind == _MODEL:
            _check(values, path, bert)
            return values, path.name
        if not f"/{bert.root}".endswith(f"/{_MODEL}/"):
            raise _another_model(path, values)
        notes.append(f'{path.name} is not read: it is the config of another model ("{kind}")')
    return None


def _configs(folder: Path) -> Iterator[Path]:
    """The configs in a folder, in the order in which they are looked for."""
    yield from (folder / name for name in _NAMES if is_file(folder / name))
    similar = [entry.path for entry in matching(folder, _PATTERN) if entry.is_file and entry.name not in _NAMES]
    if len(similar) > 1:
        names = ", ".join(path.name for path in similar)
        raise ConfigError(
            f"{folder} holds {len(similar)} configs: {names}", hint=Sentence("say which with {config:FILE}")
        )
    yield from similar


def _read(path: Path) -> dict[str, Any]:
    """The values of a config by transformers' keys."""
    try:
        values = read_config(path)
    except TextError as error:
        another = Sentence("{config:FILE} gives another")
        hint = another if error.fault in ("unreadable", "too large") else error.hint
        raise ConfigError(error.message, hint=hint) from error
    for inside in _INSIDE:
        values = _under(values, inside) or values
    return {_RENAMED.get(key, key): value for key, value in values.items()}


def _check(values: Mapping[str, Any], path: Path, bert: Bert) -> None:
    """Refuse a config of another model than the checkpoint's."""
    refuse_config(values, str(path))
    for key, size in (("hidden_size", bert.hidden), ("num_hidden_layers", bert.layers), ("vocab_size", bert.rows[0])):
        stated = values.get(key, size)
        fewer = bert.pruned and key == "num_hidden_layers" and isinstance(stated, int) and stated > size
        if stated != size and not fewer:
            raise ConfigError(
                f"{path} is of another model: its {key} is {stated}, and the checkpoint's {size}",
                hint=Sentence("give the config of this checkpoint with {config:FILE}"),
            )


def _under(values: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any] | None:
    """The object under nested ``keys``; None if there is no such object."""
    found: Any = values
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None

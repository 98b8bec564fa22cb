"""The settings of a BERT that no tensor holds: number of heads, activation, epsilon, and where each of them is from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import ConfigError, ParityError
from bridgeckpt.frozen import FrozenDict
from bridgeckpt.parity.bert.activations import FUNCTIONS, SAME
from bridgeckpt.parity.bert.assumptions import (
    GELU,
    activation_assumed,
    epsilon_assumed,
    head_assumed,
    words_of_the_user,
)
from bridgeckpt.parity.bert.described import described
from bridgeckpt.parity.bert.refusals import refuse_config
from bridgeckpt.parity.hints import OWN_FUNCTION
from bridgeckpt.parity.request import GivenSettings
from bridgeckpt.sentences import Sentence
from bridgeckpt.store.source import is_file, is_folder, matching
from bridgeckpt.store.texts import TextError, read_config

if TYPE_CHECKING:
    from bridgeckpt.parity.bert.variables import Bert

_NAMES = ("bert_config.json", "config.json", "params.yaml")
_PATTERN = "*bert_config*.json"
_TRAINER = "checkpoint"  # the folder in which transformers' TFTrainer saves; its config.json is one folder up
_DESCRIPTION = "model_config"
_MODEL = "bert"
_INSIDE = (("config",), ("task", "model", "encoder", "bert"))  # where KerasHub's and Model Garden's configs keep it
_RENAMED = {
    "num_heads": "num_attention_heads",
    "num_layers": "num_hidden_layers",
    "hidden_dim": "hidden_size",
    "vocabulary_size": "vocab_size",
    "hidden_activation": "hidden_act",
}


class Settings(NamedTuple):
    """The settings of a forward pass.

    Attributes:
        heads: Number of attention heads; 0 if it is not known.
        hidden_act: The activation by transformers' name.
        layer_norm_eps: What a LayerNorm adds to the variance.
        origins: Where each is from, by its name.
        assumed: By the key in config.json, a sentence for each setting that neither the source nor the user states.
        notes: On what the user alone states.
    """

    heads: int
    hidden_act: str
    layer_norm_eps: float
    origins: Mapping[str, str]
    assumed: Mapping[str, str] = FrozenDict()
    notes: tuple[str, ...] = ()

    def described(self) -> dict[str, str]:
        """Each setting with where it is from, as provenance has it."""
        values = {"heads": self.heads, "hidden_act": self.hidden_act, "layer_norm_eps": self.layer_norm_eps}
        return {name: f"{value} ({self.origins[name]})" for name, value in values.items() if name in self.origins}


def read_settings(
    directory: Path,
    bert: Bert,
    config: Path | None = None,
    given: GivenSettings | None = None,
    texts: Mapping[str, str] | None = None,
) -> Settings:
    """The given settings, else those of the config in ``config`` or ``directory``, else those of such models.

    ``texts`` are those that the file itself holds; one may be a description of the whole model.

    Raises:
        ConfigError: the config cannot be read or is of another model, or a value is not valid.
    """
    path = _find(directory, config)
    stated = _read(path, bert) if path else described(texts or {})
    refuse_config(stated, str(path or _DESCRIPTION))
    source = path.name if path else _DESCRIPTION
    asked = given or GivenSettings()
    heads, heads_origin = _heads(bert, stated, source, asked.heads)
    activation, act_origin, act_assumed = _activation(bert, stated, source, asked.hidden_act)
    epsilon, eps_origin, eps_assumed = _epsilon(bert, stated, source, asked.layer_norm_eps)
    origins = {"heads": heads_origin, "hidden_act": act_origin, "layer_norm_eps": eps_origin}
    values = {
        "num_attention_heads": asked.heads,
        "hidden_act": asked.hidden_act,
        "layer_norm_eps": asked.layer_norm_eps,
    }
    shown = {key for key in stated if key != "hidden_act" or _word(stated) not in bert.doubts}
    shown |= {"num_attention_heads"} if bert.heads else set()
    return Settings(
        heads=heads,
        hidden_act=activation,
        layer_norm_eps=epsilon,
        origins={name: origin for name, origin in origins.items() if origin},
        assumed={**act_assumed, **eps_assumed},
        notes=tuple(words_of_the_user(values, shown)),
    )


def _heads(bert: Bert, stated: Mapping[str, Any], source: str, asked: int | None) -> tuple[int, str]:
    """The number of heads and where it is from; 0 and "" if nothing says it."""
    heads = asked if asked is not None else bert.heads or stated.get("num_attention_heads", 0)
    if not heads:
        return 0, ""
    origin = "as asked" if asked is not None else "the kernels' shape" if bert.heads else source
    if not isinstance(heads, int) or heads < 1 or bert.hidden % heads:
        raise ConfigError(
            f"{bert.hidden} features cannot be divided among {heads} heads ({origin})",
            hint=Sentence("correct it with {heads:N}"),
        )
    return heads, origin


def _activation(
    bert: Bert, stated: Mapping[str, Any], source: str, asked: str | None
) -> tuple[str, str, Mapping[str, str]]:
    """The activation, where it is from, and what is assumed about it."""
    assumed: Mapping[str, str] = {}
    if asked is not None:
        activation, origin = asked, "as asked"
    else:
        word = _word(stated)
        activation, origin = bert.words.get(word or GELU, word or GELU), source if word is not None else "assumed"
        assumed = activation_assumed(bert, activation, word) or head_assumed(bert, activation)
    if SAME.get(activation, activation) not in FUNCTIONS:
        raise ConfigError(
            f'no activation is called "{activation}" ({origin})',
            hint=Sentence("choose one with {hidden_act:NAME}: {known}", known=", ".join(sorted({*FUNCTIONS, *SAME}))),
        )
    return activation, origin, assumed


def _word(stated: Mapping[str, Any]) -> str | None:
    """The word for the activation in a config, where no word is none; None if the config says nothing."""
    return str(stated["hidden_act"] or "linear").lower() if "hidden_act" in stated else None


def _epsilon(
    bert: Bert, stated: Mapping[str, Any], source: str, asked: float | None
) -> tuple[float, str, Mapping[str, str]]:
    """The epsilon, where it is from, and what is assumed about it."""
    epsilon, origin = (asked, "as asked") if asked is not None else (stated.get("layer_norm_eps"), source)
    if epsilon is None:
        return bert.epsilon, "assumed", epsilon_assumed(bert, bert.epsilon)
    if not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        raise ConfigError(f"layer_norm_eps = {epsilon} ({origin}) is not between 0 and 1", hint="as in 1e-12")
    return float(epsilon), origin, {}


def require_heads(settings: Settings, bert: Bert) -> Settings:
    """The same settings.

    Raises:
        ParityError: nothing says how many heads there are.
    """
    if not settings.heads:
        raise ParityError(
            f"nothing says how many attention heads share the {bert.hidden} features: there is no graph that could "
            "be run, and no config beside the checkpoint",
            hint=Sentence("say it with {heads:N}, or give the config with {config:FILE}"),
        )
    return settings


def _find(directory: Path, explicit: Path | None) -> Path | None:
    if explicit is not None and not is_folder(explicit):
        if not is_file(explicit):
            takes = Sentence("{config} takes the path of a JSON file")
            raise ConfigError(f"there is no config {explicit}", hint=takes)
        return explicit
    folder = explicit or directory
    for name in _NAMES:
        if is_file(folder / name):
            return folder / name
    similar = [entry.path for entry in matching(folder, _PATTERN) if entry.is_file]
    if len(similar) > 1:
        names = ", ".join(path.name for path in similar)
        raise ConfigError(
            f"{folder} holds {len(similar)} configs: {names}", hint=Sentence("say which with {config:FILE}")
        )
    if explicit is not None and not similar:
        raise ConfigError(f"there is no config in {explicit}", hint=f"it would be called {' or '.join(_NAMES)}")
    if not similar and folder.name == _TRAINER and is_file(folder.parent / "config.json"):
        return folder.parent / "config.json"
    return similar[0] if similar else None


def _read(path: Path, bert: Bert) -> dict[str, Any]:
    try:
        values = read_config(path)
    except TextError as error:
        another = Sentence("{config:FILE} gives another")
        hint = another if error.fault in ("unreadable", "too large") else error.hint
        raise ConfigError(error.message, hint=hint) from error
    for inside in _INSIDE:
        values = _under(values, inside) or values
    values = {_RENAMED.get(key, key): value for key, value in values.items()}
    if values.get("model_type", _MODEL) != _MODEL:
        raise ParityError(
            f'{path} says "model_type": "{values["model_type"]}", and the forward pass known here is that of a BERT',
            hint=OWN_FUNCTION,
        )
    for key, size in (("hidden_size", bert.hidden), ("num_hidden_layers", bert.layers), ("vocab_size", bert.rows[0])):
        if values.get(key, size) != size:
            raise ConfigError(
                f"{path} is of another model: its {key} is {values[key]}, and the checkpoint's {size}",
                hint=Sentence("give the config of this checkpoint with {config:FILE}"),
            )
    return values


def _under(values: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any] | None:
    """The object under nested ``keys``; None if there is no such object."""
    found: Any = values
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None

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
from bridgeckpt.parity.bert.stated import read_stated
from bridgeckpt.parity.request import GivenSettings
from bridgeckpt.sentences import Sentence

if TYPE_CHECKING:
    from bridgeckpt.parity.bert.variables import Bert


class Settings(NamedTuple):
    """The settings of a forward pass.

    Attributes:
        heads: Number of attention heads; 0 if it is not known.
        hidden_act: The activation by transformers' name.
        layer_norm_eps: What a LayerNorm adds to the variance.
        origins: Where each is from, by its name.
        assumed: By the key in config.json, a sentence for each setting that neither the source nor the user states.
        notes: On what the user alone states, and on statements that contradict each other.
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
    """The given settings, else those that are stated, else those of such models.

    A config in ``config`` states more than ``texts``, the descriptions of the model in its own file, and these state
    more than a config in ``directory``.

    Raises:
        ConfigError: the config cannot be read or is of another model, or a value is not valid.
    """
    stated, sources, notes = read_stated(directory, bert, config, texts or {})
    asked = given or GivenSettings()
    heads, heads_origin = _heads(bert, stated, sources, asked.heads)
    activation, act_origin, act_assumed = _activation(bert, stated, sources, asked.hidden_act)
    epsilon, eps_origin, eps_assumed = _epsilon(bert, stated, sources, asked.layer_norm_eps)
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
        notes=(*notes, *words_of_the_user(values, shown)),
    )


def _heads(bert: Bert, stated: Mapping[str, Any], sources: Mapping[str, str], asked: int | None) -> tuple[int, str]:
    """The number of heads and where it is from; 0 and "" if nothing says it."""
    heads = asked if asked is not None else bert.heads or stated.get("num_attention_heads", 0)
    if not heads:
        return 0, ""
    origin = "as asked" if asked is not None else "the kernels' shape" if bert.heads else sources["num_attention_heads"]
    if not isinstance(heads, int) or heads < 1 or bert.hidden % heads:
        raise ConfigError(
            f"{bert.hidden} features cannot be divided among {heads} heads ({origin})",
            hint=Sentence("correct it with {heads:N}"),
        )
    return heads, origin


def _activation(
    bert: Bert, stated: Mapping[str, Any], sources: Mapping[str, str], asked: str | None
) -> tuple[str, str, Mapping[str, str]]:
    """The activation, where it is from, and what is assumed about it."""
    assumed: Mapping[str, str] = {}
    if asked is not None:
        activation, origin = asked, "as asked"
    else:
        word = _word(stated)
        activation, origin = (
            bert.words.get(word or GELU, word or GELU),
            sources["hidden_act"] if word is not None else _unstated(bert),
        )
        assumed = activation_assumed(bert, activation, word) or head_assumed(bert, activation)
    if SAME.get(activation, activation) not in FUNCTIONS:
        raise ConfigError(
            f'no activation is called "{activation}" ({origin})',
            hint=Sentence("choose one with {hidden_act:NAME}: {known}", known=", ".join(sorted({*FUNCTIONS, *SAME}))),
        )
    return activation, origin, assumed


def _unstated(bert: Bert) -> str:
    """Where a setting is from that nothing states."""
    return f"{bert.code} computes with no other" if bert.is_constant else "assumed"


def _word(stated: Mapping[str, Any]) -> str | None:
    """The word for the activation in a config, where no word is none; None if the config says nothing."""
    return str(stated["hidden_act"] or "linear").lower() if "hidden_act" in stated else None


def _epsilon(
    bert: Bert, stated: Mapping[str, Any], sources: Mapping[str, str], asked: float | None
) -> tuple[float, str, Mapping[str, str]]:
    """The epsilon, where it is from, and what is assumed about it."""
    epsilon, origin = asked, "as asked"
    if asked is None:
        epsilon, origin = stated.get("layer_norm_eps"), sources.get("layer_norm_eps", "")
    if epsilon is None:
        return bert.epsilon, _unstated(bert), epsilon_assumed(bert, bert.epsilon)
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

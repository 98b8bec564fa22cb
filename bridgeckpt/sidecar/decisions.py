"""What no tensor says: the activation, and what a LayerNorm adds to the variance; each with a reason for the guess.

Configs say little: many have no epsilon, and the "gelu" of one is the tanh approximation where transformers' is the
error function. In order, the truth is what the user says, what the graph computes, what the config's word means in its
dialect, what the dialect always does. The model table says under which keys a config has both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import ConfigError
from bridgeckpt.sentences import Sentence, Setting
from bridgeckpt.sidecar.config_files import ACTIVATION, EPSILON

if TYPE_CHECKING:
    from bridgeckpt.mapping.tables.model_records import ModelTable
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.sidecar.graph.facts import GraphFacts
    from bridgeckpt.store.texts import JSON

# transformers.activations.ACT2FN: the names that mean one function, with no parameter of their own.
ACTIVATIONS = (
    *("gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh", "laplace"),
    *("linear", "mish", "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu", "swish", "tanh"),
)
# Names of one function: which of them stands in a config is no disagreement.
_SAME = {"gelu_new": "gelu_pytorch_tanh", "gelu_accurate": "gelu_pytorch_tanh", "gelu_python": "gelu", "swish": "silu"}

Value = str | float


class Decision(NamedTuple):
    """The value of a key of config.json, where it comes from, and notes for the user."""

    value: Value
    origin: str
    notes: tuple[str, ...]


def key_of(model: ModelTable, option: str, asked: Value | None) -> str | None:
    """The config key that an option of a conversion sets; None where the model has no such key.

    Raises:
        ConfigError: the caller ``asked`` for a value nevertheless.
    """
    key = model.config.options.get(option)
    if key is None and asked is not None:
        raise ConfigError(
            Sentence(
                "{given} cannot be given: the config of a {model} model has no such value",
                given=Setting(option, asked),
                model=model.model,
            ),
            hint=f"{model.name} may say in [config.options] which key it is",
        )
    return key


def decide_activation(
    key: str,
    asked: str | None,
    facts: GraphFacts | None,
    written: JSON,
    table: Table,
    *,
    by_transformers: bool,
) -> Decision:
    """Decide on the activation, which config.json has under ``key``; ``written`` is what the source's config says.

    Raises:
        ConfigError: transformers does not know it, or nothing tells.
    """
    claim = _activation_claim(key, written, table, by_transformers=by_transformers)
    decision = _decide(key, ACTIVATION, asked, facts, claim, table)
    _check_activation(decision.value, decision.origin)
    return decision


def decide_epsilon(key: str, asked: float | None, facts: GraphFacts | None, written: JSON, table: Table) -> Decision:
    """Decide on the epsilon, which config.json has under ``key``; ``written`` is what the source's config says.

    Raises:
        ConfigError: it is not between 0 and 1, or nothing tells.
    """
    decision = _decide(key, EPSILON, asked, facts, _epsilon_claim(key, written), table)
    _check_epsilon(key, decision.value, decision.origin)
    return decision


def _check_activation(value: Value, origin: str) -> None:
    if value not in ACTIVATIONS:
        raise ConfigError(
            f'transformers has no activation "{value}" ({origin})',
            hint=Sentence("choose one with {hidden_act}: {known}", known=", ".join(ACTIVATIONS)),
        )


def _check_epsilon(key: str, value: Value, origin: str) -> None:
    if isinstance(value, str) or not 0 < value < 1:
        raise ConfigError(f"{key} = {value} ({origin}) is not between 0 and 1", hint="as in 1e-12")


class _Claim(NamedTuple):
    """What a config says: the value, how it came about, the config's words for it, and what to say if it is taken."""

    value: Value
    provenance: str
    words: str
    note: str = ""


def _activation_claim(key: str, written: JSON, table: Table, *, by_transformers: bool) -> _Claim | None:
    """The activation by the config's word, as the dialect defines it: its code made the tensors."""
    if key not in written:
        return None
    word = (written[key] or "linear").lower()  # as get_activation of google-research/bert has it
    meaning = _meaning(table, key, word)
    if meaning == word:
        return _Claim(word, "read from the config", f'"{word}"')
    note = Sentence(
        '{key}: the config has a "model_type", as transformers writes it, whose "{word}" is another function; '
        "it is taken as {table} computes it ({meaning}), and {other} gives transformers'",
        key=key,
        word=word,
        table=table.name,
        meaning=meaning,
        other=Setting(ACTIVATION, word),
    )
    words = f'"{word}", which in {table.name} is {meaning}'
    provenance = f'the config\'s "{word}", as {table.name} computes it'
    return _Claim(meaning, provenance, words, note if by_transformers else "")


def _epsilon_claim(key: str, written: JSON) -> _Claim | None:
    stated = written.get(key)
    return _Claim(stated, "read from the config", str(stated)) if stated is not None else None


def _meaning(table: Table, key: str, word: str) -> str:
    """What a config of the dialect means by ``word`` as the value of ``key``."""
    return table.config.words.get(key, {}).get(word, word)


def _decide(
    key: str, option: str, asked: Value | None, facts: GraphFacts | None, claim: _Claim | None, table: Table
) -> Decision:
    """Decide on the value of ``key``; notes say where the reader would be surprised.

    ``option`` is the one that the caller may set it with, ``claim`` what the config says.
    """
    if asked is not None:
        return Decision(asked, "as asked", ())
    drawn = facts.values.get(key) if facts is not None else None
    if facts is not None and drawn is not None:
        contradicted = claim is not None and _same(claim.value) != _same(drawn)
        words = claim.words if claim is not None else ""
        note = f"{key} = {drawn}, as the graph computes it, although the config says {words}"
        return Decision(drawn, f"read from the graph ({facts.evidence[key]})", (note,) * contradicted)
    doubts = (f"{key}: {table.config.doubts[key]}",) if key in table.config.doubts else ()
    if claim is not None:
        return Decision(claim.value, claim.provenance, (*doubts, claim.note) if claim.note else doubts)
    assumed = table.config.values.get(key)
    if assumed is None and key in table.model.config.defaults:
        assumed = _meaning(table, key, table.model.config.defaults[key])
    if assumed is None:
        raise ConfigError(
            f"{table.name} does not say what {key} is, and neither does a graph or a config",
            hint=Sentence(
                "give it with {setting}, or as {key} in [config] of the table", setting=Setting(option), key=key
            ),
        )
    return Decision(assumed, f"assumed by {table.name}: neither a graph (.meta) nor a config says", doubts)


def _same(value: Value) -> Value:
    """One name for all names of a function."""
    return _SAME.get(value, value) if isinstance(value, str) else value

"""Decides on values that no tensor shows: the activation and LayerNorm's epsilon, each with a reason.

Configs are not enough: many have no epsilon, and "gelu" is the tanh approximation in some code bases and the error
function in transformers. The first of these decides: the user, the graph, the config (with the meaning of its word in
the dialect), the dialect's own value. The last is an assumption, and so is the meaning of a word that the dialect has
not always used alike: both come with a warning. The model table has the config keys of both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import ConfigError
from bridgeckpt.mapping.tables.records import ANY_WORD
from bridgeckpt.sentences import Sentence, Setting, joined
from bridgeckpt.sidecar.config_files import ACTIVATION, EPSILON
from bridgeckpt.sidecar.graph.sites import are_equal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridgeckpt.mapping.tables.model_records import ModelTable
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.sidecar.graph.facts import GraphFacts
    from bridgeckpt.store.texts import JSON

# transformers.activations.ACT2FN: the names of one function without parameters of its own.
ACTIVATIONS = (
    *("gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh", "hardswish"),
    *("laplace", "leaky_relu", "linear", "mish", "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu", "swish"),
    "tanh",
)
# Different names of one function. They do not contradict each other.
_SAME = {"gelu_new": "gelu_pytorch_tanh", "gelu_accurate": "gelu_pytorch_tanh", "gelu_python": "gelu", "swish": "silu"}

Value = str | float


class Doubt(NamedTuple):
    """Why a value may be wrong, "" if only the table says it; and the option that settles it."""

    reason: str
    option: Setting


class Decision(NamedTuple):
    """The value of a key of config.json, its origin, notes and warnings, and a doubt if it may be wrong."""

    value: Value
    origin: str
    notes: tuple[str, ...] = ()
    doubt: Doubt | None = None
    warnings: tuple[str, ...] = ()


def key_of(model: ModelTable, option: str, asked: Value | None) -> str | None:
    """The config key that an option of a conversion sets; None if the model has no such key.

    Raises:
        ConfigError: the model has no such key, but the caller ``asked`` for a value.
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
    """Decide on the activation, the value of ``key``; ``written`` are the values of the source's config.

    Raises:
        ConfigError: transformers does not know the activation, or nothing gives it.
    """
    claim = _activation_claim(key, written, table, by_transformers=by_transformers)
    decision = _decide(key, Setting(ACTIVATION, blank="NAME"), asked, facts, claim, table)
    _check_activation(decision.value, decision.origin)
    return decision


def decide_epsilon(key: str, asked: float | None, facts: GraphFacts | None, written: JSON, table: Table) -> Decision:
    """Decide on the epsilon, the value of ``key``; ``written`` are the values of the source's config.

    Raises:
        ConfigError: the epsilon is not between 0 and 1, or nothing gives it.
    """
    decision = _decide(key, Setting(EPSILON, blank="X"), asked, facts, _epsilon_claim(key, written), table)
    _check_epsilon(key, decision.value, decision.origin)
    return decision


def _check_activation(value: Value, origin: str) -> None:
    if value not in ACTIVATIONS:
        raise ConfigError(
            f'transformers has no activation "{value}" ({origin})',
            hint=Sentence("choose one with {hidden_act:NAME}: {known}", known=", ".join(ACTIVATIONS)),
        )


def _check_epsilon(key: str, value: Value, origin: str) -> None:
    if isinstance(value, str) or not 0 < value < 1:
        raise ConfigError(f"{key} = {value} ({origin}) is not between 0 and 1", hint="as in 1e-12")


class _Claim(NamedTuple):
    """A value in a config: its origin, the config's words for it, and a note for the user if the value is taken.

    ``word`` is what the config says, which the dialect may have used in several meanings.
    """

    value: Value
    provenance: str
    words: str
    word: str
    note: str = ""


def _activation_claim(key: str, written: JSON, table: Table, *, by_transformers: bool) -> _Claim | None:
    """The activation in the config, with the meaning that the dialect gives its word: its code made the tensors."""
    if key not in written:
        return None
    word = (written[key] or "linear").lower()  # as in get_activation of google-research/bert
    meaning = _meaning(table, key, word)
    if meaning == word:
        return _Claim(word, "read from the config", f'"{word}"', word)
    note = Sentence(
        '{key}: the config has a "model_type", as transformers writes it, but there "{word}" is another function; '
        "it is taken as {table} computes it ({meaning}), and {other} gives transformers'",
        key=key,
        word=word,
        table=table.name,
        meaning=meaning,
        other=Setting(ACTIVATION, word),
    )
    words = f'"{word}", which in {table.name} is {meaning}'
    provenance = f'the config\'s "{word}", as {table.name} computes it'
    return _Claim(meaning, provenance, words, word, note if by_transformers else "")


def _epsilon_claim(key: str, written: JSON) -> _Claim | None:
    stated = written.get(key)
    return _Claim(stated, "read from the config", str(stated), str(stated)) if stated is not None else None


def same_value(table: Table, key: str, one: object, other: object) -> bool:
    """Whether two values of ``key`` in configs of a dialect mean the same, as different names of one function do."""
    if key == table.model.config.options.get(ACTIVATION):
        return are_one(*(_meaning(table, key, str(value or "linear").lower()) for value in (one, other)))
    numbers = [value for value in (one, other) if isinstance(value, float)]
    return are_one(*numbers) if len(numbers) > 1 else one == other


def _meaning(table: Table, key: str, word: str) -> str:
    """What a config of the dialect means by ``word`` as the value of ``key``."""
    return table.config.words.get(key, {}).get(word, word)


def _decide(
    key: str, option: Setting, asked: Value | None, facts: GraphFacts | None, claim: _Claim | None, table: Table
) -> Decision:
    """Decide on the value of ``key``, with notes on surprises and a warning if nothing shows it.

    ``option`` is the option with which the caller may set it, ``claim`` the value in the config.
    """
    if asked is not None:
        return Decision(asked, "as asked")
    computed = facts.values.get(key) if facts is not None else None
    unclear = facts.unclear.get(key) if facts is not None else None
    if facts is not None and computed is not None:
        return _computed(computed, facts.evidence[key], key, claim, table)._replace(
            doubt=Doubt(unclear, option) if unclear is not None else None
        )
    if claim is not None:
        reason = unclear or _reason(table, key, claim.word)
        doubt = Doubt(reason, option) if reason is not None else None
        return Decision(claim.value, claim.provenance, (claim.note,) if claim.note else (), doubt)
    word = table.model.config.defaults.get(key)
    assumed = table.config.values.get(key)
    if assumed is None and word is not None:
        assumed = _meaning(table, key, word)
    if assumed is None:
        raise ConfigError(
            f"{table.name} does not say what {key} is, and neither does a graph or a config",
            hint=Sentence(
                "give it with {setting}, or as {key} in [config] of the table", setting=Setting(option.name), key=key
            ),
        )
    if key in table.config.certain:
        return Decision(assumed, table.config.certain[key])
    origin = f"assumed by {table.name}: neither a graph (.meta) nor a config says"
    return Decision(assumed, origin, doubt=Doubt(unclear or _reason(table, key, str(word)) or "", option))


def _computed(value: Value, node: str, key: str, claim: _Claim | None, table: Table) -> Decision:
    """The value that the graph computes with.

    A config with another is a warning, or a note if its word has two meanings and the graph decides between them.
    """
    origin = f"read from the graph ({node})"
    if claim is None or are_one(claim.value, value):
        return Decision(value, origin)
    said = f"{key} = {value}, as the graph computes it, although the config says {claim.words}"
    if _reason(table, key, claim.word) is not None and are_one(claim.word, value):
        return Decision(value, origin, notes=(said,))
    return Decision(value, origin, warnings=(said,))


def warn_of_doubts(decisions: Mapping[str, Decision], table: Table) -> dict[str, Sentence]:
    """By key, a warning for each value that may be wrong. Values with the same reason share one."""
    alike: dict[str, list[str]] = {}
    for key, decision in decisions.items():
        if decision.doubt is not None:
            alike.setdefault(decision.doubt.reason, []).append(key)
    return {key: _warning(decisions, keys, reason, table) for reason, keys in alike.items() for key in keys}


def _reason(table: Table, key: str, word: str) -> str | None:
    """Why the meaning of ``word`` as the value of ``key`` may be another one in the dialect; None if it cannot be."""
    doubts = table.config.doubts.get(key, {})
    return doubts.get(word) or doubts.get(ANY_WORD)


def _warning(decisions: Mapping[str, Decision], keys: Sequence[str], reason: str, table: Table) -> Sentence:
    one = len(keys) == 1
    whose = "it is that" if one else "they are those"
    options = (doubt.option for key in keys if (doubt := decisions[key].doubt) is not None)
    return Sentence(
        "{values} {are} assumed: {reason}. What settles {them}: {options}, the graph (.meta, saved_model.pb) beside "
        "the checkpoint, or outputs of the original model (`bridgeckpt.record`)",
        values=" and ".join(f"{key} = {decisions[key].value}" for key in keys),
        are="is" if one else "are",
        reason=reason or f"{whose} of {table.name}, neither a graph nor a config says",
        them="it" if one else "them",
        options=joined(" and ", options),
    )


def are_one(value: Value, other: Value) -> bool:
    """Whether two values mean the same: names of one function, or a number and its rounding."""
    return are_equal(*(_SAME.get(one, one) if isinstance(one, str) else float(one) for one in (value, other)))

"""The model's configuration: transformers' config.json, from what the source's says, with a reason for each guess.

No tensor says which activation a model has or what its LayerNorm adds to the variance, and configs say little: many
have no epsilon, and the "gelu" of one is the tanh approximation where transformers' is the error function. In order,
the truth is what the user says, what the graph computes, what the config's word means in its dialect, what the dialect
always does. The model table says under which keys a config has both.

Sizes are not this module's: planning solves them from the shapes and hands them in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridgeckpt.errors import ConfigError
from bridgeckpt.mapping.tables.tokenizer import PADDING
from bridgeckpt.sentences import Sentence, Setting
from bridgeckpt.sidecar.config_files import ACTIVATION, EPSILON

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bridgeckpt.mapping.tables.model_records import ModelTable
    from bridgeckpt.mapping.tables.records import Table
    from bridgeckpt.sidecar.graph.facts import GraphFacts
    from bridgeckpt.sidecar.tokenizer.vocabulary import Vocabulary
    from bridgeckpt.store.texts import JSON

# transformers.activations.ACT2FN: the names that mean one function, with no parameter of their own.
ACTIVATIONS = (
    *("gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh", "laplace"),
    *("linear", "mish", "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu", "swish", "tanh"),
)
# Names of one function: which of them stands in a config is no disagreement.
_SAME = {"gelu_new": "gelu_pytorch_tanh", "gelu_accurate": "gelu_pytorch_tanh", "gelu_python": "gelu", "swish": "silu"}
# Keys of a transformers config that are about its file or class; ours are written in their place.
_REPLACED = (
    "_name_or_path",
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "model_type",
    "num_labels",
    "torch_dtype",
    "transformers_version",
)
# Further keys of its older versions that say nothing of the model, or what is now said otherwise.
_OBSOLETE = ("output_past", "pruned_heads", "torchscript", "use_bfloat16", "tf_legacy_loss")

Value = str | float


class Configuration(NamedTuple):
    """The content of config.json: ``values`` in transformers' order, ``provenance`` of what no tensor says, by key, and
    ``notes`` to say aloud."""

    values: JSON
    provenance: Mapping[str, str]
    notes: tuple[str, ...]


def translate(
    source: Mapping[str, Any],
    table: Table,
    architecture: str,
    *,
    sizes: Mapping[str, int],
    facts: GraphFacts | None = None,
    hidden_act: str | None = None,
    layer_norm_eps: float | None = None,
    labels: int | None = None,
    vocabulary: Vocabulary | None = None,
) -> Configuration:
    """The config.json of the converted model.

    Args:
        source: what the config says, {} without one. What it may hand on is the model table's to say.
        table: the dialect, which says what a word of its configs means and what it always computes.
        architecture: the Hugging Face class.
        sizes: every size by its config key, as the shapes have it.
        facts: what the graph says.
        hidden_act: the user's choice of activation, by transformers' name.
        layer_norm_eps: the user's choice of epsilon.
        labels: number of labels of a classifier, None for a model that has none.
        vocabulary: says which token is padding.

    Raises:
        ConfigError: transformers does not know the activation, or the epsilon is not above 0.
    """
    model = table.model
    written, left_out, overruled = _handed_on(source, table)
    notes = [f"not handed on from the config: {', '.join(left_out)}"] if left_out else []
    notes += overruled
    decided: dict[str, Value] = {}
    provenance: dict[str, str] = {}
    if (key := key_of(model, ACTIVATION, hidden_act)) is not None:
        claim = _activation_claim(key, written, table, by_transformers="model_type" in source)
        decided[key], provenance[key] = _decide(key, ACTIVATION, hidden_act, facts, claim, table, notes)
        _check_activation(decided[key], provenance[key])
    if (key := key_of(model, EPSILON, layer_norm_eps)) is not None:
        claim = _epsilon_claim(key, written)
        decided[key], provenance[key] = _decide(key, EPSILON, layer_norm_eps, facts, claim, table, notes)
        _check_epsilon(key, decided[key], provenance[key])
    values = {
        **model.config.defaults,
        **written,
        **sizes,
        **decided,
        "architectures": [architecture],
        "model_type": model.model,
        **_labels(source, None if _fixes_labels(model, architecture) else labels, notes),
        **_padding(table, vocabulary),
    }
    return Configuration(dict(sorted(values.items())), provenance, tuple(notes))


def key_of(model: ModelTable, option: str, asked: object) -> str | None:
    """The config key that an option of a conversion sets; None where the model has no such key.

    Raises:
        ConfigError: the caller ``asked`` for a value nevertheless.
    """
    key = model.config.options.get(option)
    if key is None and asked is not None:
        raise ConfigError(
            f"{option} = {asked} cannot be given: the config of a {model.model} model has no such value",
            hint=f"{model.name} may say in [config.options] which key it is",
        )
    return key


def _fixes_labels(model: ModelTable, architecture: str) -> bool:
    return model.roles.labels is not None and model.roles.labels in model.architectures[architecture].sizes


def _padding(table: Table, vocabulary: Vocabulary | None) -> JSON:
    """Which token is padding, where the vocabulary has such a token."""
    token = table.tokenizer.special.get(PADDING) if table.tokenizer is not None else None
    if token is None or vocabulary is None or token not in vocabulary.ids:
        return {}
    return {"pad_token_id": vocabulary.ids[token]}


def _check_activation(value: Value, origin: str) -> None:
    if value not in ACTIVATIONS:
        raise ConfigError(
            f'transformers has no activation "{value}" ({origin})',
            hint=Sentence("choose one with {hidden_act}: {known}", known=", ".join(ACTIVATIONS)),
        )


def _check_epsilon(key: str, value: Value, origin: str) -> None:
    if isinstance(value, str) or not 0 < value < 1:
        raise ConfigError(f"{key} = {value} ({origin}) is not between 0 and 1", hint="as in 1e-12")


def pass_through(source: Mapping[str, Any]) -> JSON:
    """A config that transformers wrote, less what is about its file and class."""
    return {key: value for key, value in source.items() if key not in (*_REPLACED, *_OBSOLETE)}


def _handed_on(source: Mapping[str, Any], table: Table) -> tuple[JSON, list[str], list[str]]:
    """The keys of a config that config.json takes over, the names of those left out that nothing else replaces, and
    notes on values that the dialect computes otherwise, whatever the config says."""
    model = table.model
    if table.config.source.transformers:
        values, always = pass_through(source), table.config.values
        decided = {model.config.options.get(option) for option in (ACTIVATION, EPSILON)}
        wrong = [key for key in always if key not in decided and values.get(key, always[key]) != always[key]]
        notes = [f"{key} = {always[key]} is written, as TensorFlow computes, not {values[key]}" for key in wrong]
        return values | {key: always[key] for key in wrong}, [], notes
    known = model.config_keys
    named = {model.config.keys.get(key, key): value for key, value in source.items()}
    left_out = [key for key in named if key not in known and key not in (*_REPLACED, *table.config.source.required)]
    return {key: value for key, value in named.items() if key in known}, left_out, []


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
        other=Setting("hidden_act", word),
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
    key: str,
    option: str,
    asked: Value | None,
    facts: GraphFacts | None,
    claim: _Claim | None,
    table: Table,
    notes: list[str],
) -> tuple[Value, str]:
    """The value of ``key`` and where it comes from; adds a note where the reader would be surprised.

    ``option`` is the one that the caller may set it with, ``claim`` what the config says.
    """
    if asked is not None:
        return asked, "as asked"
    drawn = facts.values.get(key) if facts is not None else None
    if facts is not None and drawn is not None:
        if claim is not None and _same(claim.value) != _same(drawn):
            notes.append(f"{key} = {drawn}, as the graph computes it, although the config says {claim.words}")
        return drawn, f"read from the graph ({facts.evidence[key]})"
    notes += [f"{key}: {table.config.doubts[key]}"] if key in table.config.doubts else []
    if claim is not None:
        notes += [claim.note] if claim.note else []
        return claim.value, claim.provenance
    assumed = table.config.values.get(key)
    if assumed is None and key in table.model.config.defaults:
        assumed = _meaning(table, key, table.model.config.defaults[key])
    if assumed is None:
        raise ConfigError(
            f"{table.name} does not say what {key} is, and neither does a graph or a config",
            hint=f"give it with --{option.replace('_', '-')}, or as {key} in [config] of the table",
        )
    return assumed, f"assumed by {table.name}: neither a graph (.meta) nor a config says"


def _same(value: Value) -> Value:
    """One name for all names of a function."""
    return _SAME.get(value, value) if isinstance(value, str) else value


def _labels(source: Mapping[str, Any], labels: int | None, notes: list[str]) -> JSON:
    """id2label and label2id of a classifier: the source's names where they fit, else LABEL_0 and so on."""
    if labels is None:
        return {}
    numbers = [str(number) for number in range(labels)]
    names = {number: f"LABEL_{number}" for number in numbers}
    if named := source.get("id2label"):
        if isinstance(named, dict) and sorted(named) == sorted(numbers) and len({*map(str, named.values())}) == labels:
            names = {number: str(named[number]) for number in numbers}
        else:
            notes.append(f"id2label of the config does not name {labels} labels: LABEL_0, ... are written instead")
    return {"id2label": names, "label2id": {name: int(number) for number, name in names.items()}}

"""What the inputs and outputs of an exported function mean, by the names that exporters give them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bridgeckpt.parity.reference.probes import IDS, MASK, TYPES

POSITIONS = "positions"  # which positions a masked-LM head reads

_NAMELESS = re.compile(r"((args?|inputs?|keras_tensor)?[_/]?\d*)?(_\d+)?")  # as Keras numbers what has no name
_INPUTS: Mapping[str, frozenset[str]] = {
    IDS: frozenset({"input_word_ids", "input_ids", "input_tokens", "token_ids", "word_ids", "ids"}),
    MASK: frozenset({"attention_mask", "input_mask", "padding_mask", "mask"}),
    TYPES: frozenset({"input_type_ids", "input_segment_ids", "segment_ids", "token_type_ids", "type_ids"}),
    POSITIONS: frozenset({"masked_lm_positions", "mlm_positions", "masked_positions"}),
}
_OUTPUTS: Mapping[str, str] = {
    "pooled_output": "pooler",
    "pooler_output": "pooler",
    "default": "pooler",  # of a hub module; it is its pooled_output
    "mlm_logits": "mlm_logits",
    "lm_logits": "mlm_logits",
    "prediction_logits": "mlm_logits",
    "nsp_logits": "nsp_logits",
    "next_sentence": "nsp_logits",
    "seq_relationship_logits": "nsp_logits",
    "sentence_prediction": "logits",  # Model Garden's classifier
    "start_logits": "start",
    "end_logits": "end",
}
_LAST = frozenset({"sequence_output", "last_hidden_state"})
_LAYERS = frozenset({"encoder_outputs", "all_encoder_layers"})  # without the embeddings
_STATES = frozenset({"hidden_states", "all_hidden_states"})  # with them
LAST_STATE = "last_hidden_state"  # transformers' name of the output, used if the number of layers is not known


def role_of(name: str) -> str | None:
    """What an input means by its name, as in ``serving_default_input_ids:0``; None if it is not known."""
    plain = re.sub(r"(:\d+|_\d+)$", "", name.rpartition("/")[2].lower())
    for role, names in _INPUTS.items():
        if plain in names or any(plain.endswith(f"_{known}") for known in names if "_" in known):
            return role
    return None


def roles_of(names: Sequence[str]) -> list[str | None]:
    """What each input of a function means; three inputs without names are ids, mask and types, in this order."""
    roles = [role_of(name) for name in names]
    return [IDS, MASK, TYPES] if len(names) == 3 and all(map(_NAMELESS.fullmatch, names)) else roles


def named_outputs(returned: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a function returns
    """What a function returned as numpy arrays, or lists of them, by name."""
    if isinstance(returned, Mapping):
        return {str(name): _arrays(value) for name, value in returned.items()}
    values = _arrays(returned)
    if isinstance(values, list) and [value.ndim for value in values] == [2, 3]:  # of the first TF2 hub modules
        return {"pooled_output": values[0], "sequence_output": values[1]}
    return {f"output_{at}": value for at, value in enumerate(values if isinstance(values, list) else [values])}


def _arrays(value: Any) -> Any:  # noqa: ANN401
    return [_arrays(one) for one in value] if isinstance(value, list | tuple) else np.asarray(value)


def stages_of(outputs: Mapping[str, Any], layers: int | None) -> tuple[dict[str, Any], list[str]]:
    """The stage of each output of a function, and the names of the outputs that are no stage.

    Args:
        outputs: Name to array, or to a list of them.
        layers: How many layers the model has; None if it is not known.
    """
    stages: dict[str, Any] = {}
    unknown = []
    for name, value in outputs.items():
        if name in _LAYERS | _STATES:  # one by one, or stacked
            first = -1 if name in _STATES else 0
            layers = layers or len(value) + first
            found = {f"layer.{at}.output" if at >= 0 else "embeddings": of for at, of in enumerate(value, first)}
            stages = found | stages
        elif name == "logits" and value.ndim in (2, 3):
            stages["logits" if value.ndim == 2 else "token_logits"] = value
        elif name in _OUTPUTS:
            stages.setdefault(_OUTPUTS[name], value)
        elif name not in _LAST:
            unknown.append(name)
    if last := next((name for name in outputs if name in _LAST), None):
        stages.setdefault(f"layer.{layers - 1}.output" if layers else LAST_STATE, outputs[last])
    start, end = stages.pop("start", None), stages.pop("end", None)
    if start is not None and end is not None:
        stages["span_logits"] = np.stack([start, end], -1)
    return stages, unknown

"""What a forward pass assumes: settings that neither the source nor the user states, and words of two meanings.

A folder that rests on the same assumption agrees with such a forward pass, and that proves nothing about it. So each
assumption is kept by its key in config.json, with its reason and with what settles it. It is gone where a graph of the
source itself was run, for the folder is then compared with what the source computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridgeckpt.parity.bert.signatures import LAST_STATE
from bridgeckpt.parity.bert.stages import HEADS
from bridgeckpt.parity.family import layer_name
from bridgeckpt.sentences import Sentence, Setting

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from bridgeckpt.parity.bert.variables import Bert

GELU = "gelu"  # the word in configs, and what a BERT computes where none says otherwise
_ACTIVATION = Setting("hidden_act", blank="NAME")
_EPSILON = Setting("layer_norm_eps", blank="X")
_MASKED_LM = "mlm_logits"


def activation_assumed(bert: Bert, value: str, word: str | None) -> dict[str, str]:
    """The assumption behind the activation ``value``; ``word`` is the config's for it, None if there is none."""
    doubt = bert.doubts.get(word or GELU)
    if doubt is None and word is None and not bert.is_constant:
        doubt = _that_of(bert.code)
    return {"hidden_act": assumption("hidden_act", value, doubt, _ACTIVATION)} if doubt is not None else {}


def epsilon_assumed(bert: Bert, value: float) -> dict[str, str]:
    """The assumption behind the epsilon of the code, where no config has one."""
    if bert.is_constant:
        return {}
    return {"layer_norm_eps": assumption("layer_norm_eps", value, _that_of(bert.norms), _EPSILON)}


def head_assumed(bert: Bert, value: str) -> dict[str, str]:
    """The assumption that the masked LM head has the activation ``value`` of the encoder, where it may have its own."""
    if not bert.has(_MASKED_LM) or not bert.head_doubt:
        return {}
    return {"hidden_act": assumption("hidden_act", value, bert.head_doubt, _ACTIVATION)}


def _that_of(code: str) -> str:
    return f"it is that of {code}, and no config that was read and no graph that was run says it"


def assumption(key: str, value: object, reason: str, option: Setting) -> Sentence:
    """The sentence about one assumption."""
    return Sentence(
        "{key} = {value} is assumed: {reason}. What settles it: {option} when it is recorded, the graph (.meta, "
        "saved_model.pb) beside the checkpoint, or outputs of the original model "
        "(`bridgeckpt.record(fn, inputs, path)`)",
        key=key,
        value=value,
        reason=reason,
        option=option,
    )


def words_of_the_user(values: Mapping[str, Any], stated: Collection[str]) -> list[str]:
    """A note on the ``values``, by config key, that the user gave and that are not among those that are ``stated``."""
    only = [key for key, value in values.items() if value is not None and key not in stated]
    if not only:
        return []
    said = ", ".join(f"{key} = {values[key]}" for key in only)
    return [f"{said}: that is the user's word, and nothing in the source shows it"]


def is_whole(bert: Bert, computed: Collection[str]) -> bool:
    """Whether one of the ``computed`` stages depends on every layer, and so on every setting."""
    return bool({f"{layer_name(bert.layers - 1)}.output", LAST_STATE, "pooler", *HEADS} & {*computed})


def left_open(bert: Bert, value: str, assumed: Mapping[str, str], computed: Collection[str]) -> Mapping[str, str]:
    """What is still ``assumed`` where the source itself computed some stages, and a forward pass the others."""
    if not is_whole(bert, computed):
        return assumed
    return {} if _MASKED_LM in computed else head_assumed(bert, value)

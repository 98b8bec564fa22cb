"""What a checkpoint holds beside the BERT that was found in it: parts of the encoder that no BERT has, and other heads.

A variable inside the encoder changes every state after it, so that a forward pass without it is another model's. One
outside is of a head. If the head is one linear layer, a graph can show what it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bridgeckpt.formats.places import places_of
from bridgeckpt.store.tensors import DTYPES

if TYPE_CHECKING:
    from bridgeckpt.formats.training.state import TrainingState
    from bridgeckpt.parity.bert.variables import Bert
    from bridgeckpt.parity.tensorflow.stored import Variables

CLASSIFIERS = ("logits", "token_logits")  # a classifier that reads the pooler, or every position
_ENCODER = ("embeddings.", "layer.")
_HEADS = (*CLASSIFIERS, "span_logits")


def with_rest(bert: Bert, variables: Variables, training: TrainingState) -> Bert:
    """The same BERT, which knows what else is in the checkpoint."""
    rest = _rest(bert, variables, training)
    weights = {role: bert.averages.get(name, name) for role, name in bert.variables.items()}
    parts = [[name for role, name in weights.items() if role.startswith(part)] for part in _ENCODER]
    heads = [name for role, name in weights.items() if not role.startswith(("pooler.", *_ENCODER))]
    places = places_of(parts, [name for name in heads if name not in parts[0]])  # words may be decoded by their table
    inside = tuple(name for name in rest if name.startswith(places))
    outside = tuple(name for name in rest if not name.startswith((*places, *bert.others)))
    return _with_own_head(bert._replace(unread=inside, beside=outside), variables)


def without_own_head(bert: Bert) -> Bert:
    """The same BERT without a head of its own, which is beside it."""
    if not bert.own_head:
        return bert
    for stage in CLASSIFIERS:
        bert = bert.without(stage)
    return bert._replace(beside=bert.own_head, own_head=())


def _rest(bert: Bert, variables: Variables, training: TrainingState) -> list[str]:
    """One name for each variable of numbers that is neither the BERT's nor left by training, sorted."""
    same = variables.same
    known = (*bert.variables.values(), *bert.averages.values(), *bert.optional, *_left(training))
    used = {same.get(name, name) for name in known}
    names = {same.get(name, name): name for name in variables.shapes if _is_weight(variables.dtypes[name].name)}
    return sorted(name for first, name in names.items() if first not in used and name not in used)


def _left(training: TrainingState) -> Iterable[str]:
    yield from training.slots
    yield from training.averages
    yield from training.bookkeeping


def _is_weight(dtype: str) -> bool:
    return dtype in DTYPES and DTYPES[dtype].floating


def _with_own_head(bert: Bert, variables: Variables) -> Bert:
    """The same BERT with the kernel and the bias beside it as a classifier, if there is nothing else and none yet."""
    kernel, bias = _layer(bert.beside, variables)
    if kernel is None or bias is None or any(bert.has(stage) for stage in _HEADS):
        return bert
    (labels,), shape = variables.shapes[bias], tuple(variables.shapes[kernel])
    fitting = [order for order in ((labels, bert.hidden), (bert.hidden, labels)) if order == shape]
    if len(fitting) != 1 or labels == bert.hidden:
        return bert
    stages = CLASSIFIERS if bert.has("pooler") else CLASSIFIERS[1:]
    roles = {f"{stage}.{part}": name for stage in stages for part, name in (("kernel", kernel), ("bias", bias))}
    return bert._replace(
        variables={**bert.variables, **roles},
        flipped=bert.flipped - {*stages} if shape[0] == labels else bert.flipped | {*stages},
        own_head=bert.beside,
        beside=(),
    )


def _layer(names: Sequence[str], variables: Variables) -> tuple[str | None, str | None]:
    """The matrix and the vector, if these two are all."""
    by_rank = {len(variables.shapes[name]): name for name in names}
    return (by_rank.get(2), by_rank.get(1)) if len(names) == 2 else (None, None)

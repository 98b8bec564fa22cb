"""What a BERT computes at each stage, as functions of inputs, tensors and settings that the diagnosis can change.

The functions are written from the definition of the model and do not call transformers' modules. So a stage can be
computed with any tensor or setting replaced, in any precision, and the model stays as it is. The diagnosis checks that
the model computes the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.parity.family import layer_name, layer_of, part_of

if TYPE_CHECKING:
    from bridgeckpt.parity.diagnosing.dense import Function

Tensor = Any  # torch is imported inside functions


class StageSettings(NamedTuple):
    """What a stage is computed with beside its tensors.

    Attributes:
        eps: What a LayerNorm adds to the variance.
        activation: The function, or its name in transformers.
        heads: How many there are.
        interleaved: Whether features are ordered as (place in the head, head) rather than (head, place).
        scaling: What the scores are multiplied by; None for 1 / sqrt(size of a head).
        mask: Which keys are attended to: "tokens", "all" positions, or the "padding" alone. Where there is no padding
            a token then attends to all by their scores, as in TensorFlow, or as in PyTorch to none: "padding or
            nothing".
        types: Which token types are read: those "given", all "zero", or "inverted".
        shift: What is added to a position's number before its row is read.
    """

    eps: float = 1e-12
    activation: Function | str = "gelu"
    heads: int = 1
    interleaved: bool = False
    scaling: float | None = None
    mask: str = "tokens"
    types: str = "given"
    shift: int = 0

    def position(self, numbers: Tensor, rows: int) -> Tensor:
        """The rows of the position table that are read at these positions."""
        return (numbers + self.shift) % rows

    def type(self, given: Tensor, rows: int) -> Tensor:
        """The rows of the type table that are read where these types are given."""
        return {"given": given, "zero": given * 0, "inverted": rows - 1 - given}[self.types]


class DenseKind(NamedTuple):
    """A stage that is a dense layer: what it reads, what is added, its activation, and whether it is normalised."""

    reads: str
    residual: str | None = None
    activation: str = ""
    norm: bool = False


# "input" is what goes into the layer, "last" what comes out of the last; the others are stages beside this one.
DENSE = {
    "query": DenseKind("input"),
    "key": DenseKind("input"),
    "value": DenseKind("input"),
    "attention": DenseKind("context", "input", norm=True),
    "intermediate": DenseKind("attention", activation="hidden"),
    "output": DenseKind("intermediate", "attention", norm=True),
    "pooler": DenseKind("last", activation="tanh"),
    "transform": DenseKind("last", activation="hidden", norm=True),
    "mlm_logits": DenseKind("transform"),
    "nsp_logits": DenseKind("pooler"),
    "logits": DenseKind("pooler"),
    "token_logits": DenseKind("last"),
    "span_logits": DenseKind("last"),
}
NORMALISED = frozenset({"embeddings", *(part for part, kind in DENSE.items() if kind.norm)})
ACTIVATED = frozenset(part for part, kind in DENSE.items() if kind.activation == "hidden")


def sources(stage: str, layers: int) -> tuple[str, ...]:
    """The stages that a stage is computed from."""
    layer, part = layer_of(stage), part_of(stage)
    before = "embeddings" if not layer else f"{layer_name(layer - 1)}.output"
    if part == "embeddings":
        return ()
    read = ("query", "key", "value") if part == "context" else (DENSE[part].reads, DENSE[part].residual)
    named = {"input": before, "last": f"{layer_name(layers - 1)}.output"}
    inside = "" if layer is None else f"{layer_name(layer)}."
    return tuple(named.get(name, f"{inside}{name}") for name in read if name is not None)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, settings: StageSettings) -> Tensor:
    """The attended values; all are [batch, seq, features], the mask [batch, seq] with True for a token."""
    import torch

    batch, length, features = query.shape
    size = features // settings.heads

    def split(values: Tensor) -> Tensor:
        if settings.interleaved:
            return values.reshape(batch, length, size, settings.heads).permute(0, 3, 1, 2)
        return values.reshape(batch, length, settings.heads, size).transpose(1, 2)

    scaling = size**-0.5 if settings.scaling is None else settings.scaling
    scores = split(query) @ split(key).transpose(2, 3) * scaling
    masks: dict[str, Tensor] = {"tokens": ~mask, "all": torch.zeros_like(mask)}
    hidden: Tensor = masks.get(settings.mask, mask)
    if settings.mask == "padding or nothing":
        weights = scores.masked_fill(hidden[:, None, None], -torch.inf).softmax(-1).nan_to_num(0.0)
    else:
        weights = (scores + hidden.to(scores.dtype)[:, None, None] * -10000.0).softmax(-1)
    context = weights @ split(value)
    joined = context.permute(0, 2, 3, 1) if settings.interleaved else context.transpose(1, 2)
    return joined.reshape(batch, length, features)


def embed(tables: Mapping[str, Tensor], ids: Tensor, types: Tensor, settings: StageSettings, dtype: Any) -> Tensor:  # noqa: ANN401
    """The sum of the three embeddings before it is normalised; ``ids`` and ``types`` are [batch, seq].

    Rows are read before they are widened to ``dtype``: a float64 copy of a word table is large.
    """
    import torch

    words, positions, segments = (tables[name] for name in ("words", "positions", "types"))
    at = settings.position(torch.arange(ids.shape[1]), len(positions))
    chosen = settings.type(types, len(segments))
    return words[ids].to(dtype) + positions[at].to(dtype) + segments[chosen].to(dtype)

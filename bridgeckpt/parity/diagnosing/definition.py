"""What a BERT computes at each stage, as functions of inputs, tensors and settings, for the diagnosis to vary.

Written from the definition, not from transformers' modules, so that a stage can be computed with any tensor or setting
exchanged, in any precision, without touching the model. That the model does compute this is checked, not assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bridgeckpt.parity.bert.stages import layer_of

Tensor = Any  # torch is imported inside functions
Function = Callable[[Tensor], Tensor]


class Settings(NamedTuple):
    """What no tensor says.

    Attributes:
        eps: What a LayerNorm adds to the variance.
        activation: The function, or its name in transformers.
        heads: How many there are.
        interleaved: Whether a feature's number is (place in the head, head) rather than (head, place).
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


class Kind(NamedTuple):
    """A stage that is a dense layer: what it reads, what is added, its activation, and whether it is normalised."""

    reads: str
    residual: str | None = None
    activation: str = ""
    norm: bool = False


# "input" is what goes into the layer, "last" what comes out of the last; the others are stages beside this one.
KINDS = {
    "query": Kind("input"),
    "key": Kind("input"),
    "value": Kind("input"),
    "attention": Kind("context", "input", norm=True),
    "intermediate": Kind("attention", activation="hidden"),
    "output": Kind("intermediate", "attention", norm=True),
    "pooler": Kind("last", activation="tanh"),
    "transform": Kind("last", activation="hidden", norm=True),
    "mlm_logits": Kind("transform"),
    "nsp_logits": Kind("pooler"),
    "logits": Kind("pooler"),
    "token_logits": Kind("last"),
    "span_logits": Kind("last"),
}
NORMALISED = frozenset({"embeddings", *(part for part, kind in KINDS.items() if kind.norm)})
ACTIVATED = frozenset(part for part, kind in KINDS.items() if kind.activation == "hidden")


class Dense(NamedTuple):
    """A dense stage with all that goes into it; ``kernel`` is [out, in], ``gamma`` None where nothing is normalised."""

    inputs: Tensor
    kernel: Tensor
    bias: Tensor
    residual: Tensor | None = None
    activation: Function | None = None
    gamma: Tensor | None = None
    beta: Tensor | None = None
    eps: float = 0.0

    @property
    def product(self) -> Tensor:
        """The inputs times the kernel, without the bias."""
        return self.inputs @ self.kernel.T

    def finish(self, product: Tensor) -> Tensor:
        """The stage, given the product."""
        values = product + self.bias
        if self.activation is not None:
            values = self.activation(values)
        if self.residual is not None:
            values = values + self.residual
        return values if self.gamma is None else normal(values, self.eps) * self.gamma + self.beta


def part_of(stage: str) -> str:
    """A stage without its layer."""
    return stage.rpartition(".")[2]


def sources(stage: str, layers: int) -> tuple[str, ...]:
    """The stages that a stage is computed from."""
    layer, part = layer_of(stage), part_of(stage)
    before = "embeddings" if not layer else f"layer.{layer - 1}.output"
    if part == "embeddings":
        return ()
    read = ("query", "key", "value") if part == "context" else (KINDS[part].reads, KINDS[part].residual)
    named = {"input": before, "last": f"layer.{layers - 1}.output"}
    inside = "" if layer is None else f"layer.{layer}."
    return tuple(named.get(name, f"{inside}{name}") for name in read if name is not None)


def normal(values: Tensor, eps: float) -> Tensor:
    """Each row with mean 0 and variance 1, as a LayerNorm has it before its gamma and beta."""
    centred = values - values.mean(-1, keepdim=True)
    return centred / ((centred * centred).mean(-1, keepdim=True) + eps).sqrt()


def function(activation: Function | str) -> Function:
    """The activation itself."""
    if callable(activation):
        return activation
    from transformers.activations import ACT2FN

    found: Function = ACT2FN[activation]
    return found


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, settings: Settings) -> Tensor:
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


def embed(tables: Mapping[str, Tensor], ids: Tensor, types: Tensor, settings: Settings, dtype: Any) -> Tensor:  # noqa: ANN401
    """The sum of the three embeddings before it is normalised; ``ids`` and ``types`` are [batch, seq].

    Rows are read before they are widened to ``dtype``: a float64 copy of a word table is large.
    """
    import torch

    words, positions, segments = (tables[name] for name in ("words", "positions", "types"))
    at = settings.position(torch.arange(ids.shape[1]), len(positions))
    chosen = settings.type(types, len(segments))
    return words[ids].to(dtype) + positions[at].to(dtype) + segments[chosen].to(dtype)

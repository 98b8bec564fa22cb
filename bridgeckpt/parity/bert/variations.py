"""Other values of a BERT's settings, which the diagnosis tries: what TensorFlow may do differently from PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bridgeckpt.parity.bert.definition import ACTIVATED, NORMALISED
from bridgeckpt.parity.diagnosing.anatomy import Variation
from bridgeckpt.parity.family import part_of
from bridgeckpt.sentences import Sentence, Setting

if TYPE_CHECKING:
    from bridgeckpt.parity.diagnosing.anatomy import Anatomy

# One name of transformers' for each function, the likely ones first.
_ACTIVATIONS = (
    "gelu_pytorch_tanh", "gelu", "relu", "silu", "tanh", "linear", "quick_gelu", "relu2", "relu6", "sigmoid", "mish",
    "leaky_relu",
)  # fmt: skip
_DESCRIBED = {"gelu": " (the error function)", "gelu_pytorch_tanh": " (the tanh approximation)", "linear": " (none)"}
_EPSILONS = (1e-12, 1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-4, 1e-2)
_CONFIG = "config.json: "
_HEADS = "the weights are the same for every number of heads"


def variations(anatomy: Anatomy, stages: Sequence[str]) -> Iterator[Variation]:
    """Every other value of every setting that these stages are computed with."""
    parts = {part_of(stage) for stage in stages}
    if parts & ACTIVATED:
        yield from _activations()
    if parts & NORMALISED:
        yield from _epsilons()
    if "context" in parts:
        yield from _attention(anatomy)
    if "embeddings" in parts:
        yield from _inputs(anatomy)


def _again(keyword: str, value: str | float, key: str) -> Sentence:
    """What to do about a setting that another value of ``key`` in config.json corrects."""
    return Sentence(
        'convert again with {setting}, or set "{key}": {value} in config.json',
        setting=Setting(keyword, value),
        key=key,
        value=f'"{value}"' if isinstance(value, str) else f"{value:g}",
    )


def _activations() -> Iterator[Variation]:
    for name in _ACTIVATIONS:
        text = f"uses another activation, {name}{_DESCRIBED.get(name, '')}"
        remedy = _again("hidden_act", name, "hidden_act")
        yield Variation("activation", name, text, f"{_CONFIG}hidden_act", remedy)


def _epsilons() -> Iterator[Variation]:
    for eps in _EPSILONS:
        text = f"normalises with another epsilon, {eps:g}"
        remedy = _again("layer_norm_eps", eps, "layer_norm_eps")
        yield Variation("eps", eps, text, f"{_CONFIG}layer_norm_eps", remedy)


def _attention(anatomy: Anatomy) -> Iterator[Variation]:
    hidden = next(iter(anatomy.parameters[anatomy.roles["layer.0.query"]["kernel"]].shape))
    key = "num_attention_heads"
    for heads in (n for n in range(1, hidden + 1) if hidden % n == 0):
        again = _again("heads", heads, key)
        yield Variation("heads", heads, f"divides the features among {heads} heads ({_HEADS})", _CONFIG + key, again)
    text = "orders features as (place in the head, head), and PyTorch as (head, place in the head)"
    remedy = "the mapping rows of query, key, value and attention output need (head_dim heads) in their layout"
    yield Variation("interleaved", True, text, None, remedy)
    inverted = "attends to padding instead of tokens: its attention mask is inverted"
    masks = {
        "all": "attends to padding: it ignores the attention mask",
        "padding": inverted,
        "padding or nothing": inverted,
        "tokens": "attends to the tokens alone",
    }
    for mask, text in masks.items():
        remedy = "give both sides the same attention mask, 1 for a token and 0 for padding"
        yield Variation("mask", mask, text, None, remedy)
    for scaling, text in ((1.0, "does not scale the scores"), (hidden**-0.5, "scales the scores by all features")):
        remedy = "transformers scales by 1 / sqrt(head size): scale the query's kernel and bias accordingly"
        yield Variation("scaling", scaling, text, None, remedy)


def _inputs(anatomy: Anatomy) -> Iterator[Variation]:
    tables = anatomy.roles["embeddings"]
    types = {"zero": "ignores the token types: all are 0", "inverted": "counts the token types from the other end"}
    for value, text in (types | {"given": "reads the token types"}).items():
        yield Variation("types", value, text, tables.get("types"), "give both sides the same token types")
    for shift in (1, 2, -1):
        remedy = f"the position table needs its rows moved by {shift}: correct its mapping row"
        text = f"reads row p{shift:+d} of the position table at position p"
        yield Variation("shift", shift, text, tables.get("positions"), remedy)

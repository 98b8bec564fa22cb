"""The known causes that are settings: what no tensor says, and what the two sides may take differently."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.parity.diagnosing.anatomy import Patch
from bridgeckpt.parity.diagnosing.definition import ACTIVATED, NORMALISED, part_of
from bridgeckpt.parity.diagnosing.evidence import Cause
from bridgeckpt.sentences import Sentence, Setting

if TYPE_CHECKING:
    from bridgeckpt.parity.diagnosing.evidence import Evidence
    from bridgeckpt.parity.diagnosing.view import View

# One name of transformers' for each function, the likely first.
_ACTIVATIONS = (
    "gelu_pytorch_tanh", "gelu", "relu", "silu", "tanh", "linear", "quick_gelu", "relu2", "relu6", "sigmoid", "mish",
    "leaky_relu",
)  # fmt: skip
_DESCRIBED = {"gelu": " (the error function)", "gelu_pytorch_tanh": " (the tanh approximation)", "linear": " (none)"}
_EPSILONS = (1e-12, 1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-4, 1e-2)
_HEADS = "the weights are the same for every number of heads"


class Variation(NamedTuple):
    """One setting with another value: what the reference does, and what it is called.

    Attributes:
        key: The setting.
        value: The value that is tried.
        is_so: What TensorFlow does, a clause.
        config: The config key that says it, or the parameter that it could be made up for in, if there is one.
        remedy: What to do about it.
    """

    key: str
    value: Any
    is_so: str
    config: str | None
    remedy: str

    @property
    def patch(self) -> Patch:
        """The setting in force everywhere."""
        return Patch(settings={self.key: self.value})


def variations(view: View, stage: str) -> Iterator[Variation]:
    """Every other value of every setting that the stage is computed by."""
    parts = {part_of(at) for at in view.behind(stage)}
    if parts & ACTIVATED:
        yield from _activations()
    if parts & NORMALISED:
        yield from _epsilons()
    if "context" in parts:
        yield from _attention(view)
    if "embeddings" in parts:
        yield from _inputs()


def settings_causes(evidence: Evidence, at: int, stage: str) -> Iterator[Cause]:
    """A cause for each variation: made everywhere, and at this stage alone."""
    view = evidence.views[at]
    for one in variations(view, stage):
        role = view.anatomy.roles["embeddings"].get(one.config or "") if "embeddings" in view.anatomy.roles else None
        parameter = role or (f"config.json: {one.config}" if one.config else None)
        if not evidence.fixes(at, stage, one.patch):
            continue
        yield Cause(f"TensorFlow {one.is_so}", parameter, one.patch, one.remedy)
        alone = one.patch._replace(stages=frozenset(view.behind(stage)))
        text = f"in {stage} alone, TensorFlow {one.is_so}"
        different = "a config has one value for all stages: no BERT of transformers computes this without new code"
        yield Cause(text, parameter, alone, different)


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
        yield Variation("activation", name, text, "hidden_act", remedy)


def _epsilons() -> Iterator[Variation]:
    for eps in _EPSILONS:
        text = f"normalises with another epsilon, {eps:g}"
        remedy = _again("layer_norm_eps", eps, "layer_norm_eps")
        yield Variation("eps", eps, text, "layer_norm_eps", remedy)


def _attention(view: View) -> Iterator[Variation]:
    hidden = next(iter(view.anatomy.parameters[view.anatomy.roles["layer.0.query"]["kernel"]].shape))
    key = "num_attention_heads"
    for heads in (n for n in range(1, hidden + 1) if hidden % n == 0):
        again = _again("heads", heads, key)
        yield Variation("heads", heads, f"divides the features among {heads} heads ({_HEADS})", key, again)
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


def _inputs() -> Iterator[Variation]:
    types = {"zero": "ignores the token types: all are 0", "inverted": "counts the token types from the other end"}
    for value, text in (types | {"given": "reads the token types"}).items():
        yield Variation("types", value, text, "types", "give both sides the same token types")
    for shift in (1, 2, -1):
        remedy = f"the position table needs its rows moved by {shift}: correct its mapping row"
        yield Variation(
            "shift", shift, f"reads row p{shift:+d} of the position table at position p", "positions", remedy
        )

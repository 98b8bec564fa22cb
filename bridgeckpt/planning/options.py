"""What a caller may settle instead of having it detected."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypedDict


class PlanOptions(TypedDict, total=False):
    """What a caller may settle instead of having it detected; every function that plans takes these keywords.

    mapping: name or file of the mapping table; None detects the dialect.
    architecture: Hugging Face class; None takes the one whose heads are there.
    config: config file; None looks beside the checkpoint.
    vocab: vocabulary file; None looks beside the checkpoint.
    heads: number of attention heads, when neither config nor graph tells.
    hidden_act: activation by its transformers name; None takes the graph's, else the dialect's.
    layer_norm_eps: epsilon; None takes the graph's, else the dialect's.
    scope: leading path of the variables, when the checkpoint holds several models.
    ema: convert the exponential moving averages instead of the weights.
    lowercase: whether the tokenizer lower-cases; None infers it from the vocabulary.
    """

    mapping: str | Path | None
    architecture: str | None
    config: str | os.PathLike[str] | None
    vocab: str | os.PathLike[str] | None
    heads: int | None
    hidden_act: str | None
    layer_norm_eps: float | None
    scope: str | None
    ema: bool
    lowercase: bool | None

"""The stages of a BERT: the quantities that both frameworks compute and by whose names they are compared.

========================== ======================= ==========================================================
stage                      shape                   is
========================== ======================= ==========================================================
``embeddings``             [batch, seq, hidden]    what goes into layer 0, normalised
``layer.I.query``          [batch, seq, hidden]    the projection, bias added, before it is split into heads
``layer.I.key``, ``value`` [batch, seq, hidden]    likewise
``layer.I.context``        [batch, seq, hidden]    the attended values, heads joined
``layer.I.attention``      [batch, seq, hidden]    after the output projection, residual and layer norm
``layer.I.intermediate``   [batch, seq, inner]     after the activation
``layer.I.output``         [batch, seq, hidden]    hidden state I + 1
``pooler``                 [batch, hidden]         after the tanh
``transform``              [batch, seq, hidden]    of the masked-LM head, normalised
``mlm_logits``             [batch, seq, vocab]
``nsp_logits``             [batch, 2]
``logits``                 [batch, labels]         a classifier that reads the pooler
``token_logits``           [batch, seq, labels]    a classifier that reads every position
``span_logits``            [batch, seq, 2]         start and end of an answer
========================== ======================= ==========================================================

The parameters of a stage are ``STAGE.ROLE``, as in ``layer.3.attention.kernel``: a dense layer has ``kernel`` and
``bias``, a layer norm ``gamma`` and ``beta``, the embeddings ``words``, ``positions`` and ``types``. The decoder of the
masked-LM head is ``mlm_logits.kernel``. A user may record under another name, that of an output of the PyTorch model or
of one of its modules; it is compared under that name.
"""

from __future__ import annotations

from bridgeckpt.parity.family import layer_name, layer_of, part_of

_FINE = ("query", "key", "value", "context", "attention", "intermediate", "output")
_COARSE = ("attention", "output")
HEADS = ("mlm_logits", "nsp_logits", "logits", "token_logits", "span_logits")
POOLED = frozenset({"pooler", "nsp_logits", "logits"})  # [batch, features]; the others are [batch, seq, features]


def stages(layers: int, depth: str = "fine") -> tuple[str, ...]:
    """Every stage of a BERT of ``layers`` layers, with all heads there are, in the order of computation.

    ``depth``: "coarse" leaves out what is inside a layer's two halves and a head, "embeddings" all but the first.
    """
    if depth == "embeddings":
        return ("embeddings",)
    parts = _FINE if depth == "fine" else _COARSE
    inside = [f"{layer_name(layer)}.{part}" for layer in range(layers) for part in parts]
    return ("embeddings", *inside, "pooler", *(["transform"] if depth == "fine" else []), *HEADS)


def is_coarse(stage: str) -> bool:
    """Whether a table shows the stage even if it agrees."""
    return stage != "transform" and (layer_of(stage) is None or part_of(stage) in _COARSE)


def is_stage(name: str) -> bool:
    """Whether a name is one of the above, for a model of any depth."""
    return name in stages(0) if layer_of(name) is None else part_of(name) in _FINE

"""BERT as a family: the record that the general rooms receive."""

from __future__ import annotations

from bridgeckpt.parity.bert.sites import sites, unread
from bridgeckpt.parity.bert.stages import HEADS, is_coarse, is_stage
from bridgeckpt.parity.family import Family

BERT = Family(
    title="BERT",
    is_stage=is_stage,
    is_coarse=is_coarse,
    # Span logits are a distribution over the positions of a sequence, for each of start and end.
    logits={stage: "positions" if stage == "span_logits" else "features" for stage in HEADS},
    outputs={"sequence_output": "last_hidden_state", "pooled_output": "pooler_output"},
    sites=sites,
    unread=unread,
)

"""Attention for small models on a CPU: plain matmul and softmax with the query groups folded into the query rows.

Invariant: the same numbers as transformers' `eager` attention. Keys and values are never repeated per query head, and
the backward pass is that of two matmuls; SDPA's backward takes over a third of a training step on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

GROUPED = "grouped"
"""The name to give as `attn_implementation`, once `register` has been called."""


def register() -> None:
    """Make `attn_implementation="grouped"` known to transformers. Safe to call twice."""
    AttentionInterface.register(GROUPED, grouped_attention)
    AttentionMaskInterface.register(GROUPED, eager_mask)


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend from `query` [B, H, Q, D] to `key`, `value` [B, KV, L, D] under an additive mask [B, 1, Q, L].

    Returns [B, Q, H, D], as transformers' attention functions do.
    """
    batch, heads, queries, dim = query.shape
    groups = key.shape[1]
    folded = query.reshape(batch, groups, heads // groups * queries, dim)
    scores = torch.matmul(folded * (scaling or dim**-0.5), key.transpose(2, 3))
    scores = scores.view(batch, heads, queries, -1)
    if attention_mask is not None:
        scores = scores + attention_mask[..., : key.shape[2]]
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    out = torch.matmul(weights.view(batch, groups, -1, key.shape[2]), value)
    return out.view(batch, heads, queries, -1).transpose(1, 2).contiguous(), None

"""Attention for small models on a CPU: plain matmul and softmax with the query groups folded into the query rows.

Invariant: the same numbers as transformers' `eager` attention. Keys and values are never repeated per query head.
Where attention is plainly causal no mask is made, and a block of queries is compared with the keys up to its own end
only: half the work, and scores that stay in the processor's cache. The backward pass is that of matmuls; SDPA's takes
longer on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, softmax
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask, sdpa_mask

GROUPED = "grouped"
"""The name to give as `attn_implementation`, once `register` has been called."""
BLOCK = 128
"""Queries in one block of causal attention."""


def register() -> None:
    """Make `attn_implementation="grouped"` known to transformers. Safe to call twice."""
    AttentionInterface.register(GROUPED, grouped_attention)
    AttentionMaskInterface.register(GROUPED, mask_unless_causal)


def mask_unless_causal(**shape: Any) -> Tensor | None:
    """The additive mask of `eager`, or None where each query sees all keys up to its own: by the rules of SDPA."""
    whole = shape["q_length"] == shape["kv_length"] and shape.get("allow_is_causal_skip", False)
    return None if whole and sdpa_mask(**shape) is None else eager_mask(**shape)


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

    No mask: causally, if the layer is causal and there are as many keys as queries; else to all keys. Returns
    [B, Q, H, D], as transformers' attention functions do.
    """
    queries, keys, dim = query.shape[2], key.shape[2], query.shape[3]
    query = query * (scaling or dim**-0.5)
    drop = dropout if module.training else 0.0
    if attention_mask is None and queries == keys and getattr(module, "is_causal", False):
        later = torch.full((BLOCK, BLOCK), -torch.inf, dtype=query.dtype, device=query.device).triu(1)
        blocks = [(start, min(start + BLOCK, queries)) for start in range(0, queries, BLOCK)]
        parts = [
            _attend(query[:, :, a:b], key[:, :, :b], value[:, :, :b], pad(later[: b - a, : b - a], (a, 0)), drop)
            for a, b in blocks
        ]
        out = torch.cat(parts, 2)
    else:
        mask = None if attention_mask is None else attention_mask[..., :keys]
        out = _attend(query, key, value, mask, drop)
    return out.transpose(1, 2).contiguous(), None


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Softmax attention of scaled queries; shapes as in `grouped_attention`. Returns [B, H, Q, D]."""
    batch, heads, queries, dim = query.shape
    groups = key.shape[1]
    folded = query.reshape(batch, groups, heads // groups * queries, dim)
    scores = torch.matmul(folded, key.transpose(2, 3)).view(batch, heads, queries, -1)
    if mask is not None:
        scores = scores + mask
    weights = softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    if dropout:
        weights = nn.functional.dropout(weights, p=dropout)
    out = torch.matmul(weights.view(batch, groups, -1, key.shape[2]), value)
    return out.view(batch, heads, queries, -1)

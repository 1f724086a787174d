"""Attention of ours for transformers: rows that hold several sequences, and small models on a CPU.

Invariant: the same numbers as transformers' own attention over each sequence alone. A row of several sequences (`Run`)
is attended to run by run, so that no mask of the row's size is ever made, and what sequences share is computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention, softmax
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, eager_mask, sdpa_mask

GROUPED = "grouped"
"""For a CPU: plain matmul and softmax, the query groups folded into the query rows. Keys and values are never repeated
per query head, and a block of queries is compared with the keys up to its own end only: half the work, and scores that
stay in the processor's cache. The backward pass is that of matmuls; SDPA's takes longer on a CPU."""
PACKED = "packed"
"""For other devices: SDPA."""
BLOCK = 128
"""Queries in one block of causal attention."""


class Run(NamedTuple):
    """A part of a row, from `start` to `end`, that sees the ranges `before` and, causally, itself."""

    start: int
    end: int
    before: tuple[tuple[int, int], ...] = ()


def register() -> None:
    """Make both names known to transformers as `attn_implementation`. Safe to call twice."""
    AttentionInterface.register(GROUPED, grouped_attention)
    AttentionMaskInterface.register(GROUPED, mask_unless_causal)
    AttentionInterface.register(PACKED, packed_attention)
    AttentionMaskInterface.register(PACKED, sdpa_mask)


def knows_runs(model: Any) -> bool:
    """Whether the model's attention is one of these."""
    return getattr(getattr(model, "config", None), "_attn_implementation", None) in (GROUPED, PACKED)


def for_row(runs: Sequence[Run], device: torch.device) -> dict[str, Any]:
    """What a model is given with a row [1, N] of several sequences, beside its positions."""
    # A mask of four dimensions is taken as it is: transformers makes none of the row's size.
    return {"runs": tuple(runs), "attention_mask": torch.zeros(1, 1, 1, 1, device=device)}


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
    sliding_window: int | None = None,
    runs: Sequence[Run] = (),
    **more: Any,
) -> tuple[Tensor, None]:
    """Attend from `query` [B, H, Q, D] to `key`, `value` [B, KV, L, D] under an additive mask [B, 1, Q, L].

    No mask: causally, if the layer is causal and there are as many keys as queries; else to all keys. With `runs`, B is
    1 and the mask is not looked at. Returns [B, Q, H, D], as transformers' attention functions do.
    """
    queries, keys, dim = query.shape[2], key.shape[2], query.shape[3]
    query = query * (scaling or dim**-0.5)
    drop = dropout if module.training else 0.0
    if runs:
        _check(more)
        out = torch.cat([_causal(*_seen(run, query, key, value), drop, sliding_window) for run in runs], 2)
    elif attention_mask is None and queries == keys and getattr(module, "is_causal", False):
        out = _causal(query, key, value, drop)
    else:
        mask = None if attention_mask is None else attention_mask[..., :keys]
        out = _attend(query, key, value, mask, drop)
    return out.transpose(1, 2).contiguous(), None


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    runs: Sequence[Run] = (),
    **more: Any,
) -> tuple[Tensor, None]:
    """As `grouped_attention`, by SDPA."""
    if not runs:
        options = {"scaling": scaling, "dropout": dropout, "sliding_window": sliding_window, **more}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    _check(more)
    parts = []
    for run in runs:
        q, k, v = _seen(run, query, key, value)
        ahead = k.shape[2] - q.shape[2]
        windowed = sliding_window is not None and k.shape[2] > sliding_window
        mask = _visible(q.shape[2], ahead, sliding_window, q.device) if ahead or windowed else None
        options = {"scale": scaling, "dropout_p": dropout if module.training else 0.0, "enable_gqa": True}
        parts.append(scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, **options))
    return torch.cat(parts, 2).transpose(1, 2).contiguous(), None


def _check(more: dict[str, Any]) -> None:
    """A row of runs cannot be attended to in ways that are not known here."""
    unknown = [name for name in ("softcap", "s_aux", "position_bias") if more.get(name) is not None]
    if unknown:
        raise NotImplementedError(f"attention over runs knows no {unknown[0]}")


def _seen(run: Run, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The run's queries, and the keys and values that it sees, its own last."""
    ranges = [*run.before, (run.start, run.end)]
    joined = [ranges[0]]
    for start, end in ranges[1:]:
        joined = [*joined[:-1], (joined[-1][0], end)] if joined[-1][1] == start else [*joined, (start, end)]

    def of(x: Tensor) -> Tensor:
        parts = [x[:, :, start:end] for start, end in joined]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 2)

    return query[:, :, run.start : run.end], of(key), of(value)


def _visible(queries: int, ahead: int, window: int | None, device: torch.device) -> Tensor:
    """Which keys each query sees, [Q, ahead + Q] bool."""
    own = torch.arange(ahead, ahead + queries, device=device)[:, None]
    keys = torch.arange(ahead + queries, device=device)
    return (keys <= own) & (keys > own - window if window is not None else True)


def _causal(query: Tensor, key: Tensor, value: Tensor, dropout: float, window: int | None = None) -> Tensor:
    """Scaled queries that see the keys up to their own, which are the last ones; in blocks."""
    queries, ahead = query.shape[2], key.shape[2] - query.shape[2]
    later = torch.full((BLOCK, BLOCK), -torch.inf, dtype=query.dtype, device=query.device).triu(1)
    parts = []
    for a in range(0, queries, BLOCK):
        b = min(a + BLOCK, queries)
        first = 0 if window is None else max(0, ahead + a + 1 - window)
        mask = pad(later[: b - a, : b - a], (ahead + a - first, 0))
        if window is not None and ahead + b - first > window:
            mask = mask.masked_fill(~_visible(b - a, ahead + a - first, window, query.device), -torch.inf)
        keys, values = key[:, :, first : ahead + b], value[:, :, first : ahead + b]
        parts.append(_attend(query[:, :, a:b], keys, values, mask, dropout))
    return torch.cat(parts, 2)


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

"""What replaces the policy gradient of a token: GRPO's clipped ratio, GSPO's, CISPO's.

Invariant: plain functions of log-probabilities, without a model; all tensors are [M], the sampled tokens of a
micro-batch, and `owner` says which trajectory each belongs to. A ratio of a sequence is computed from all its tokens,
which a micro-batch always holds.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from contextrl.config import GRPOConfig
from contextrl.scoring import MAX_LOG


class Surrogate(NamedTuple):
    """Tensors [M]."""

    loss: Tensor
    ratio: Tensor
    low: Tensor
    """bool: the clip has stopped the gradient from below."""
    high: Tensor


def surrogate(config: GRPOConfig, logp: Tensor, old: Tensor, advantage: Tensor, owner: Tensor) -> Surrogate:
    """`-min(r A, clip(r) A)`, or CISPO's `-stop(min(r, 1 + clip_high)) A logp`.

    r: pi / pi_old of a token, or of a sequence the geometric mean of its tokens' (GSPO, arXiv 2507.18071, eq. 7).
    CISPO: MiniMax-M1, arXiv 2506.13585, eq. 4.
    """
    log_ratio = logp - old
    if config.ratio == "sequence":
        log_ratio = mean_of_owner(log_ratio, owner)
    ratio = log_ratio.clamp(-MAX_LOG, MAX_LOG).exp()
    floor, ceiling = 1 - config.clip_low, 1 + config.clip_high
    if config.surrogate == "cispo":
        loss = -ratio.detach().clamp(max=ceiling) * advantage * logp
        return Surrogate(loss, ratio, torch.zeros_like(ratio, dtype=torch.bool), ratio > ceiling)
    loss = -torch.minimum(ratio * advantage, ratio.clamp(floor, ceiling) * advantage)
    return Surrogate(loss, ratio, (ratio < floor) & (advantage < 0), (ratio > ceiling) & (advantage > 0))


def correction(config: GRPOConfig, old: Tensor, sampled: Tensor, owner: Tensor) -> Tensor | None:
    """What each token's loss is multiplied by because another policy sampled than is learned from; None: nothing.

    The ratio of the learner's own log-probabilities before its first update and the recorded ones, of a token or, as a
    product, of a sequence: cut off at `correction_high` (truncated importance sampling), or 0 where it is not between
    `correction_low` and `correction_high` (masked).
    """
    if config.correction == "none":
        return None
    log_ratio = old - sampled
    if config.correction_level == "sequence":
        log_ratio = sum_of_owner(log_ratio, owner)
    ratio = log_ratio.clamp(-MAX_LOG, MAX_LOG).exp()
    if config.correction == "truncate":
        return ratio.clamp(max=config.correction_high)
    inside = (ratio >= config.correction_low) & (ratio <= config.correction_high)
    return torch.where(inside, ratio, torch.zeros_like(ratio))


def sum_of_owner(values: Tensor, owner: Tensor) -> Tensor:
    """To each token the sum over its trajectory's tokens."""
    count = int(owner.max()) + 1 if len(owner) else 0
    return values.new_zeros(count).index_add(0, owner, values)[owner]


def mean_of_owner(values: Tensor, owner: Tensor) -> Tensor:
    """To each token the mean over its trajectory's tokens."""
    return sum_of_owner(values, owner) / sum_of_owner(torch.ones_like(values), owner)

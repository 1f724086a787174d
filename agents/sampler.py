"""Drawing tokens: tempered, reproducible, with the exact log-probability of what was drawn.

Invariant: a draw depends on its own logits, temperature and uniform number only, never on who shares the batch.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def noise(seed: int, session: str, at: int, count: int) -> Tensor:
    """Uniform numbers in [0, 1), float64 [count]: fixed by the seed, the session and how much context it has."""
    digest = hashlib.blake2b(f"{seed}/{session}/{at}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
    return torch.rand(count, generator=generator, dtype=torch.float64)


def draw(logits: Tensor, temperature: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """One token per row by inversion of its cumulative distribution.

    `logits` [B, V]; `temperature` [B], 0 meaning greedy; `uniform` [B] in [0, 1), float64. Returns ids [B] and their
    natural-log probabilities [B] under softmax(logits / temperature), for greedy rows under softmax(logits).
    """
    greedy = temperature == 0
    logprobs = torch.log_softmax(logits.float() / torch.where(greedy, 1.0, temperature)[:, None], dim=-1)
    cumulative = logprobs.double().exp().cumsum(-1)  # float64: a float32 sum over a vocabulary loses rare tokens
    target = uniform[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, target, right=True)[:, 0].clamp_(max=logits.shape[-1] - 1)
    ids = torch.where(greedy, logits.argmax(-1), drawn)
    return ids, logprobs.gather(-1, ids[:, None])[:, 0]

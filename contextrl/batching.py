"""From sequences of different lengths to right-padded micro-batches.

Invariant: how a minibatch is cut into micro-batches changes memory and speed, never the gradient. Each token carries
its share of the loss (`weights`), fixed on the whole minibatch before it is cut, so losses of micro-batches add up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Normalisation = Literal["token", "sequence", "constant"]
CPU_TOKENS = 2048
"""Most padded tokens of a micro-batch on a CPU. Its caches are small, and memory of large tensors goes back to the
system after each operation, to be fetched again page by page."""


@dataclass(frozen=True)
class Sample:
    """One trajectory to learn from. The lists have one entry per token, [T]; `weight` multiplies its whole loss."""

    ids: list[int]
    mask: list[bool]
    """True where the policy sampled the token; only these get a gradient."""
    logprobs: list[float]
    """Under the policy that sampled; 0.0 where the mask is False."""
    advantage: float
    weight: float = 1.0
    old: list[float] | None = None
    """Log-probabilities that the importance ratio is taken against; None takes `logprobs`."""
    reference: list[float] | None = None
    name: str = ""
    """The trajectory's id."""

    @property
    def tokens(self) -> int:
        """How many tokens get a gradient."""
        return sum(self.mask)


@dataclass(frozen=True)
class TokenBatch:
    """A micro-batch. All tensors [B, T], float32 but for ids (int64) and mask (bool); zero in the padding."""

    ids: Tensor
    mask: Tensor
    advantages: Tensor
    sampled: Tensor
    old: Tensor
    reference: Tensor | None
    weights: Tensor
    """Share of each token in the minibatch's loss; zero where the mask is False."""
    total_tokens: int
    """Tokens with a gradient in the whole minibatch: what metrics are divided by."""
    names: list[str]
    """Ids of the trajectories, [B]."""


def pad(rows: Sequence[Sequence[float]], fill: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Rows of different lengths as one tensor [B, T], filled on the right."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows], dtype=dtype, device=device)


def micro_batches(lengths: Sequence[int], max_tokens: int, device: torch.device) -> Iterator[list[int]]:
    """Indices in micro-batches of at most `max_tokens` padded tokens; sorted by length, so that little is padding.

    On a CPU, of at most `CPU_TOKENS`. A sequence that is longer than that comes alone. Longest first: where memory is
    short, it shows at once.
    """
    if device.type == "cpu":
        max_tokens = min(max_tokens, CPU_TOKENS)
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > max_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def token_weights(samples: Sequence[Sample], normalisation: Normalisation, constant: int) -> list[float]:
    """Weight of each token of each sample, [B], for the samples of one whole minibatch.

    `token`: 1 / all tokens (DAPO). `sequence`: 1 / (samples * own tokens) (GRPO). `constant`: 1 / (samples * constant)
    (Dr. GRPO).
    """
    total, count = sum(s.tokens for s in samples), len(samples)
    if normalisation == "token":
        return [s.weight / total for s in samples]
    if normalisation == "sequence":
        return [s.weight / (count * s.tokens) for s in samples]
    return [s.weight / (count * constant) for s in samples]


def token_batches(
    samples: Sequence[Sample], weights: Sequence[float], max_tokens: int, device: torch.device
) -> Iterator[TokenBatch]:
    """Cut one minibatch into micro-batches; `weights` as from `token_weights`."""
    total = sum(s.tokens for s in samples)
    for indices in micro_batches([len(s.ids) for s in samples], max_tokens, device):
        rows = [samples[i] for i in indices]
        mask = pad([s.mask for s in rows], 0, torch.bool, device)
        references = [s.reference for s in rows if s.reference is not None]
        yield TokenBatch(
            ids=pad([s.ids for s in rows], 0, torch.int64, device),
            mask=mask,
            advantages=_spread([s.advantage for s in rows], mask),
            sampled=pad([s.logprobs for s in rows], 0, torch.float32, device),
            old=pad([s.logprobs if s.old is None else s.old for s in rows], 0, torch.float32, device),
            reference=pad(references, 0, torch.float32, device) if len(references) == len(rows) else None,
            weights=_spread([weights[i] for i in indices], mask),
            total_tokens=total,
            names=[s.name for s in rows],
        )


def _spread(values: Sequence[float], mask: Tensor) -> Tensor:
    """One value per row [B] onto the row's sampled tokens [B, T]."""
    return torch.tensor(values, device=mask.device)[:, None] * mask

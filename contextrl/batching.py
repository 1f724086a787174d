"""From trajectories to micro-batches: what each sampled token contributes to the loss.

Invariant: how a minibatch is cut into micro-batches, or dealt out over processes, changes memory and speed, never the
gradient. Each token carries its share of the loss (`weights`), fixed on the whole minibatch before it is cut, so losses
of micro-batches add up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from contextrl.packing import Row, cut, pack

Aggregation = Literal["token-mean", "seq-mean-token-mean", "seq-mean-token-sum-norm"]
CPU_TOKENS = 2048
"""Most tokens of a micro-batch on a CPU. Its caches are small, and memory of large tensors goes back to the system
after each operation, to be fetched again page by page."""


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
    """A micro-batch of B trajectories with M sampled tokens in all, in the order of the trajectories.

    All tensors but `places` are [M], float32 where nothing else is said.
    """

    row: Row
    places: Tensor
    """[K] int64: where the row holds sampled tokens; trajectories that sampled alike share places."""
    which: Tensor
    """int64: which of the places each token is at."""
    owner: Tensor
    """int64: which trajectory each token belongs to."""
    advantages: Tensor
    sampled: Tensor
    """Log-probabilities as recorded."""
    old: Tensor
    reference: Tensor | None
    weights: Tensor
    """Share of each token in the minibatch's loss."""
    total_tokens: int
    """Sampled tokens in the whole minibatch: what metrics are divided by."""
    names: list[str]
    """Ids of the trajectories, [B]."""

    @property
    def counts(self) -> list[int]:
        """How many of the tokens each trajectory has, [B]."""
        return self.owner.bincount(minlength=len(self.names)).tolist()


def most_tokens(max_tokens: int, device: torch.device) -> int:
    """What a micro-batch may hold on a device."""
    return min(max_tokens, CPU_TOKENS) if device.type == "cpu" else max_tokens


def token_weights(samples: Sequence[Sample], aggregation: Aggregation, constant: int) -> list[float]:
    """Weight of each token of each sample, [B], for the samples of one whole minibatch.

    `token-mean`: 1 / all tokens (DAPO). `seq-mean-token-mean`: 1 / (samples * own tokens) (GRPO).
    `seq-mean-token-sum-norm`: 1 / (samples * constant) (Dr. GRPO).
    """
    total, count = sum(s.tokens for s in samples), len(samples)
    if aggregation == "token-mean":
        return [s.weight / total for s in samples]
    if aggregation == "seq-mean-token-mean":
        return [s.weight / (count * s.tokens) for s in samples]
    return [s.weight / (count * constant) for s in samples]


def token_batches(
    samples: Sequence[Sample], weights: Sequence[float], max_tokens: int, device: torch.device
) -> Iterator[TokenBatch]:
    """Cut one minibatch into micro-batches; `weights` as from `token_weights`."""
    total = sum(s.tokens for s in samples)
    for indices in cut([s.ids for s in samples], most_tokens(max_tokens, device)):
        yield _batch([samples[i] for i in indices], [weights[i] for i in indices], total, device)


def _batch(rows: Sequence[Sample], weights: Sequence[float], total: int, device: torch.device) -> TokenBatch:
    row = pack([s.ids for s in rows], device)
    masks = [torch.tensor(s.mask, device=device) for s in rows]
    at = torch.cat([path[mask] for path, mask in zip(row.paths, masks, strict=True)])
    places, which = torch.unique(at, return_inverse=True)
    counts = torch.tensor([s.tokens for s in rows], device=device)

    def spread(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device).repeat_interleave(counts)

    def flat(lists: Sequence[Sequence[float]]) -> Tensor:
        kept = [x for values, s in zip(lists, rows, strict=True) for x, m in zip(values, s.mask, strict=True) if m]
        return torch.tensor(kept, dtype=torch.float32, device=device)

    references = [s.reference for s in rows if s.reference is not None]
    return TokenBatch(
        row=row,
        places=places,
        which=which,
        owner=torch.arange(len(rows), device=device).repeat_interleave(counts),
        advantages=spread([s.advantage for s in rows]),
        sampled=flat([s.logprobs for s in rows]),
        old=flat([s.logprobs if s.old is None else s.old for s in rows]),
        reference=flat(references) if len(references) == len(rows) else None,
        weights=spread(weights),
        total_tokens=total,
        names=[s.name for s in rows],
    )

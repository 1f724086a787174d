"""The pairs as prompts of reinforcement learning: the paper's DA-RL baseline.

Invariant: for each prompt a group of answers of one token is drawn from the policy as it is before any update, at the
temperature of the rollouts and with noise that the prompt's seed fixes; an answer has reward 1 if it is the anchor's
letter, and learns against the log-probability that it was drawn with. A group whose rewards are all equal has no
gradient; it counts in the mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from contextrl.choice import ChoicePrompt
from contextrl.config import GRPOConfig
from contextrl.objectives.advantages import advantages
from contextrl.objectives.pairs import OverPairs, PairBatch, pair_batches, selection
from contextrl.objectives.protocol import Prepared, Terms
from contextrl.objectives.surrogate import surrogate
from contextrl.scoring import Scorer


@dataclass(frozen=True)
class Answered:
    """A prompt and the answers that were drawn to it: three lists [G]."""

    prompt: ChoicePrompt
    tokens: list[int]
    logprobs: list[float]
    advantages: list[float] = field(default_factory=list)
    """0 where the group says nothing."""

    @property
    def reward(self) -> float:
        """Mean over the group."""
        return sum(token == self.prompt.anchor_letter for token in self.tokens) / len(self.tokens)


@dataclass(frozen=True)
class AnswerBatch:
    """A micro-batch of B prompts with G answers each; tensors are [B, G]."""

    pairs: PairBatch
    tokens: Tensor
    old: Tensor
    """Log-probabilities as drawn."""
    advantages: Tensor


class Reinforce(OverPairs):
    """Group-relative policy optimisation on the letters."""

    def __init__(self, config: GRPOConfig, group_size: int) -> None:
        """Reads what `config` says of advantages, ratios and clips."""
        self._config, self._group_size = config, group_size

    def prepare(
        self, data: Sequence[ChoicePrompt], policy: Scorer, reference: Scorer | None, max_tokens: int
    ) -> Prepared:
        """Draw the answers and reward them."""
        drawn = self._drawn(data, policy, max_tokens)
        found = advantages(
            [[float(t == a.prompt.anchor_letter) for t in a.tokens] for a in drawn], self._config.advantage_std
        )
        orders: dict[str, list[Answered]] = {}
        for one, values in zip(drawn, found, strict=True):
            answered = replace(one, advantages=[v or 0.0 for v in values])
            orders.setdefault(one.prompt.pair_id, []).append(answered)
        flat = sum(None in values for values in found)
        metrics = {"pairs": float(len(orders)), "groups_without_variance": float(flat)}
        if drawn:
            metrics["reward"] = sum(a.reward for a in drawn) / len(drawn)
        return Prepared([tuple(answered) for answered in orders.values()], metrics)

    @torch.no_grad()
    def _drawn(self, data: Sequence[ChoicePrompt], policy: Scorer, max_tokens: int) -> list[Answered]:
        """In the order of the prompts, by inversion of the cumulative distribution."""
        found: dict[tuple[str, bool], Answered] = {}
        for batch in pair_batches(data, max_tokens, policy.device):
            scores = (policy.next_logits(batch.row) / policy.temperature).log_softmax(-1)
            cumulative = scores.double().exp().cumsum(-1)
            uniform = torch.stack([_noise(p.seed, self._group_size) for p in batch.prompts]).to(cumulative.device)
            tokens = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
            tokens = tokens.clamp(max=scores.shape[-1] - 1)
            rows = zip(batch.prompts, tokens.tolist(), scores.gather(1, tokens).tolist(), strict=True)
            found |= {(p.pair_id, p.anchor_first): Answered(p, t, s) for p, t, s in rows}
        return [found[p.pair_id, p.anchor_first] for p in data]

    def batches(  # type: ignore[override]
        self, items: Sequence[tuple[Answered, ...]], max_tokens: int, device: torch.device
    ) -> Iterator[AnswerBatch]:
        """Micro-batches of one minibatch of pairs."""
        answered = {(a.prompt.pair_id, a.prompt.anchor_first): a for orders in items for a in orders}
        for batch in pair_batches([a.prompt for a in answered.values()], max_tokens, device):
            rows = [answered[p.pair_id, p.anchor_first] for p in batch.prompts]
            yield AnswerBatch(
                batch,
                torch.tensor([a.tokens for a in rows], device=device),
                torch.tensor([a.logprobs for a in rows], device=device),
                torch.tensor([a.advantages for a in rows], device=device),
            )

    def loss(self, policy: Scorer, batch: AnswerBatch) -> Terms:
        """The surrogate, a mean over each group and over pairs."""
        logits = policy.next_logits(batch.pairs.row)
        logp = (logits / policy.temperature).log_softmax(-1).gather(1, batch.tokens)
        owner = torch.arange(logp.numel(), device=logp.device)  # each answer is a trajectory of one token
        made = surrogate(self._config, logp.flatten(), batch.old.flatten(), batch.advantages.flatten(), owner)
        metrics, results = selection(batch.pairs, logits)
        metrics["ratio"] = batch.pairs.mean(made.ratio.view_as(logp).mean(1))
        return Terms((batch.pairs.weights * made.loss.view_as(logp).mean(1)).sum(), metrics, results)


def _noise(seed: int, count: int) -> Tensor:
    """Uniform numbers in [0, 1), float64 [count]."""
    return torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

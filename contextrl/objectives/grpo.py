"""The policy-gradient term: GRPO and its kin.

Invariant: only tokens that the policy sampled get a gradient, each against the log-probability it was sampled with;
a surrogate (`surrogate.py`) and `kl * k3(log pi_ref - log pi)` per token, summed with weights that are fixed on the
whole minibatch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from contextrl.batching import Sample, TokenBatch, most_tokens, token_batches, token_weights
from contextrl.config import GRPOConfig
from contextrl.objectives.credit import Credit, credits_of, sample_of
from contextrl.objectives.protocol import Feed, Prepared, Terms
from contextrl.objectives.surrogate import correction, surrogate
from contextrl.packing import cut, pack
from contextrl.scoring import Scorer, k3
from trajectories.queries import Lesson
from trajectories.records import Trajectory


class GRPO:
    """Group-relative policy optimisation over recorded trajectories (paper 1: `L_GRPO`)."""

    name = "grpo"
    feed: Feed = "trajectories"

    def __init__(self, config: GRPOConfig, *, longest: int = 0) -> None:
        """`longest`: tokens that an episode may have, for the overlong penalty."""
        self._config, self._longest = config, longest

    def prepare(
        self, data: Sequence[Trajectory], policy: Scorer, reference: Scorer | None, max_tokens: int
    ) -> Prepared:
        """Advantages, groups without signal dropped, log-probabilities before the first update."""
        found = credits_of(data, self._config, self._longest)
        samples, metrics = self.samples(found)
        if self._config.kl > 0:
            if reference is None:
                raise ValueError("grpo.kl is above 0 but there is no reference model; give one or set grpo.kl=0")
            scores = recompute(reference, samples, max_tokens)
            samples = [replace(s, reference=r) for s, r in zip(samples, scores, strict=True)]
        if self._config.old == "recomputed" or self._config.correction != "none":
            scores = recompute(policy, samples, max_tokens)
            samples = [replace(s, old=o) for s, o in zip(samples, scores, strict=True)]
        return Prepared(samples, metrics, {one.trajectory.id: one.why for one in found if one.why})

    def samples(self, found: Sequence[Credit]) -> tuple[list[Sample], dict[str, float]]:
        """The trajectories that have an advantage and a sampled token, and the counts of the others."""
        samples = [sample_of(one.trajectory, one.advantage or 0.0) for one in found]
        kept = [s for s, one in zip(samples, found, strict=True) if not one.why]
        dropped = [s for s, one in zip(samples, found, strict=True) if one.why and one.trajectory.reward is not None]
        if self._config.flat_groups == "count" and kept:
            own, others = sum(s.tokens for s in kept), sum(s.tokens for s in dropped)
            by_token = self._config.aggregation == "token-mean"
            share = own / (own + others) if by_token else len(kept) / (len(kept) + len(dropped))
            kept = [replace(s, weight=share) for s in kept]
        groups = {one.group for one in found}
        flat = {one.group for one in found if one.trajectory.reward is not None}
        flat -= {one.group for one in found if one.advantage is not None}
        rewards = [t.reward for t in (one.trajectory for one in found) if t.reward is not None]
        metrics: dict[str, float] = {
            "groups": len(groups),
            "groups_without_variance": len(flat),
            "trajectories": len(rewards),
            "trajectories_kept": len(kept),
            "infra_failures": len(found) - len(rewards),
        }
        return kept, metrics | ({"reward": sum(rewards) / len(rewards)} if rewards else {})

    def batches(self, items: Sequence[Sample], max_tokens: int, device: torch.device) -> Iterator[TokenBatch]:
        """Micro-batches of one minibatch, weighted as the configuration's `aggregation` says."""
        weights = token_weights(items, self._config.aggregation, self._config.norm_tokens)
        return token_batches(items, weights, max_tokens, device)

    def loss(self, policy: Scorer, batch: TokenBatch) -> Terms:
        """The surrogate and the KL penalty. Tensors below are [M], the sampled tokens."""
        scored, entropies = policy.token_logprobs(batch.row, batch.places)
        logp, entropy = scored[batch.which], entropies[batch.which]
        made = surrogate(self._config, logp, batch.old, batch.advantages, batch.owner)
        importance = correction(self._config, batch.old, batch.sampled, batch.owner)
        token_loss = made.loss if importance is None else importance * made.loss

        def mean(values: Tensor) -> float:
            return float(values.detach().sum()) / batch.total_tokens

        metrics = {
            "clipped_low": mean(made.low),
            "clipped_high": mean(made.high),
            "ratio": mean(made.ratio),
            "entropy": mean(entropy),
            "mismatch_kl": mean(k3(logp.detach() - batch.sampled)),
            "grad_tokens": float(len(logp)),
            "computed_tokens": float(len(batch.row)),
            "sequence_tokens": float(sum(map(len, batch.row.paths))),
        }
        if importance is not None:
            metrics["corrected"] = mean(importance != (batch.old - batch.sampled).exp())
        if batch.reference is not None:
            penalty = k3(batch.reference - logp)
            metrics["kl"] = mean(penalty)
            token_loss = token_loss + self._config.kl * (made.ratio * penalty if self._config.kl_ratio else penalty)
        return Terms((batch.weights * token_loss).sum(), metrics, lessons=_lessons(batch, logp))


def _lessons(batch: TokenBatch, logp: Tensor) -> tuple[Lesson, ...]:
    """What was made of each trajectory; `logp` [M]."""
    counts = batch.counts
    advantages, scored = (torch.split(x, counts) for x in (batch.advantages, logp.detach()))
    rows = zip(batch.names, advantages, scored, strict=True)
    return tuple(Lesson(name, float(a[0]), row.tolist()) for name, a, row in rows if len(a))


@torch.no_grad()
def recompute(scorer: Scorer, samples: Sequence[Sample], max_tokens: int) -> list[list[float]]:
    """Log-probabilities of the samples' tokens under a model, one list [T] each, 0.0 where the mask is False."""
    scores: list[list[float]] = [[] for _ in samples]
    for indices in cut([s.ids for s in samples], most_tokens(max_tokens, scorer.device)):
        row = pack([samples[i].ids for i in indices], scorer.device)
        masks = [torch.tensor(samples[i].mask, device=scorer.device) for i in indices]
        places = torch.unique(torch.cat([path[mask] for path, mask in zip(row.paths, masks, strict=True)]))
        found = torch.zeros(len(row), device=scorer.device)
        found[places] = scorer.token_logprobs(row, places)[0].to(found.dtype)
        for i, path, mask in zip(indices, row.paths, masks, strict=True):
            scores[i] = torch.where(mask, found[path], 0.0).tolist()
    return scores

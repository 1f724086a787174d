"""GRPO: the policy-gradient term.

Invariant: only tokens that the policy sampled get a gradient, each against the log-probability it was sampled with;
`-min(r A, clip(r, 1 - eps_low, 1 + eps_high) A) + beta k3(log pi_ref - log pi)` per token, summed with weights that are
fixed on the whole minibatch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from contextrl.batching import Sample, TokenBatch, micro_batches, pad, token_batches, token_weights
from contextrl.config import GRPOConfig
from contextrl.objectives.advantages import Std, group_advantages
from contextrl.objectives.protocol import Feed, Prepared, Terms
from contextrl.scoring import MAX_LOG, Scorer, k3
from trajectories.queries import Lesson
from trajectories.records import Trajectory


class GRPO:
    """Group-relative policy optimisation over recorded trajectories (paper 1: `L_GRPO`)."""

    name = "grpo"
    feed: Feed = "trajectories"

    def __init__(
        self,
        config: GRPOConfig,
        *,
        std: Std | None = None,
        old: Literal["recorded", "recomputed"] = "recorded",
        count_dropped: bool = True,
    ) -> None:
        """`std` overrules the configuration's `std_normalise` (which means `population`).

        `old`: the importance ratio is taken against the log-probabilities recorded at sampling, or against the
        learner's own, recomputed before the first update (for engines whose numbers differ from the learner's).
        `count_dropped`: graded trajectories of groups without variance stay in the denominator, so that the step gets
        smaller as fewer groups have something to say; False is DAPO's, which averages over the others only.
        """
        self._config, self._old, self._count_dropped = config, old, count_dropped
        self._std: Std = std or ("population" if config.std_normalise else "none")

    def prepare(
        self, data: Sequence[Trajectory], policy: Scorer, reference: Scorer | None, max_tokens: int
    ) -> Prepared:
        """Advantages, groups without signal dropped, log-probabilities under the reference model."""
        samples, metrics = self.samples(data)
        if self._config.kl > 0:
            if reference is None:
                raise ValueError("grpo.kl is above 0 but there is no reference model; give one or set grpo.kl=0")
            scores = recompute(reference, samples, max_tokens)
            samples = [replace(s, reference=r) for s, r in zip(samples, scores, strict=True)]
        if self._old == "recomputed":
            scores = recompute(policy, samples, max_tokens)
            samples = [replace(s, old=o) for s, o in zip(samples, scores, strict=True)]
        return Prepared(samples, metrics, left_out(data))

    def samples(self, trajectories: Sequence[Trajectory]) -> tuple[list[Sample], dict[str, float]]:
        """The trajectories that have an advantage and a sampled token, and the counts of the others."""
        groups = _groups(trajectories)
        kept: list[Sample] = []
        dropped = tokens_dropped = flat = 0
        for group in groups:
            advantages = group_advantages([t.reward for t in group], self._std)
            flat += all(a is None for a in advantages) and any(t.reward is not None for t in group)
            for trajectory, advantage in zip(group, advantages, strict=True):
                sample = _sample(trajectory, advantage or 0.0)
                if advantage is not None and sample.tokens:
                    kept.append(sample)
                elif trajectory.reward is not None:
                    dropped, tokens_dropped = dropped + 1, tokens_dropped + sample.tokens
        if self._count_dropped and kept:
            tokens = sum(s.tokens for s in kept)
            by_token = self._config.normalisation == "token"
            share = tokens / (tokens + tokens_dropped) if by_token else len(kept) / (len(kept) + dropped)
            kept = [replace(s, weight=share) for s in kept]
        rewards = [t.reward for t in trajectories if t.reward is not None]
        metrics: dict[str, float] = {
            "groups": len(groups),
            "groups_without_variance": flat,
            "trajectories": len(rewards),
            "trajectories_kept": len(kept),
            "infra_failures": len(trajectories) - len(rewards),
        }
        return kept, metrics | ({"reward": sum(rewards) / len(rewards)} if rewards else {})

    def batches(self, items: Sequence[Sample], max_tokens: int, device: torch.device) -> Iterator[TokenBatch]:
        """Micro-batches of one minibatch, weighted as the configuration's `normalisation` says."""
        weights = token_weights(items, self._config.normalisation, self._config.constant_tokens)
        return token_batches(items, weights, max_tokens, device)

    def loss(self, policy: Scorer, batch: TokenBatch) -> Terms:
        """The clipped surrogate and the KL penalty. Tensors below are [N], the tokens with a gradient."""
        select = batch.mask
        logp, entropy = policy.token_logprobs(batch.ids, select)
        advantage, weight = batch.advantages[select], batch.weights[select]
        low, high = 1 - self._config.clip_low, 1 + self._config.clip_high
        ratio = (logp - batch.old[select]).clamp(-MAX_LOG, MAX_LOG).exp()
        token_loss = -torch.minimum(ratio * advantage, ratio.clamp(low, high) * advantage)

        def mean(values: Tensor) -> float:
            return float(values.detach().sum()) / batch.total_tokens

        metrics = {
            "clipped_low": mean((ratio < low) & (advantage < 0)),
            "clipped_high": mean((ratio > high) & (advantage > 0)),
            "ratio": mean(ratio),
            "entropy": mean(entropy),
            "mismatch_kl": mean(k3(logp.detach() - batch.sampled[select])),
            "grad_tokens": float(select.sum()),
        }
        if batch.reference is not None:
            penalty = k3(batch.reference[select] - logp)
            metrics["kl"] = mean(penalty)
            token_loss = token_loss + self._config.kl * penalty
        return Terms((weight * token_loss).sum(), metrics, lessons=_lessons(batch, logp))


def _sample(trajectory: Trajectory, advantage: float) -> Sample:
    ids, mask, logprobs = trajectory.token_ids(), trajectory.loss_mask(), trajectory.token_logprobs()
    if not len(ids) == len(mask) == len(logprobs):
        raise ValueError(
            f"trajectory {trajectory.id} has {len(ids)} tokens but {len(logprobs)} log-probabilities; "
            "each sampled token needs the one it was drawn with"
        )
    if mask and mask[0]:
        raise ValueError(f"trajectory {trajectory.id} starts with a sampled token; its first turn has no prompt")
    return Sample(ids, mask, logprobs, advantage, name=trajectory.id)


def _lessons(batch: TokenBatch, logp: Tensor) -> tuple[Lesson, ...]:
    """What was made of each row; `logp` [N] as in `loss`."""
    counts = batch.mask.sum(1).tolist()
    advantages, scored = (torch.split(x, counts) for x in (batch.advantages[batch.mask], logp.detach()))
    rows = zip(batch.names, advantages, scored, strict=True)
    return tuple(Lesson(name, float(a[0]), row.tolist()) for name, a, row in rows if len(a))


@torch.no_grad()
def recompute(scorer: Scorer, samples: Sequence[Sample], max_tokens: int) -> list[list[float]]:
    """Log-probabilities of the samples' tokens under a model, one list [T] each, 0.0 where the mask is False."""
    scores: list[list[float]] = [[] for _ in samples]
    for indices in micro_batches([len(s.ids) for s in samples], max_tokens, scorer.device):
        ids = pad([samples[i].ids for i in indices], 0, torch.int64, scorer.device)
        mask = pad([samples[i].mask for i in indices], 0, torch.bool, scorer.device)
        logp = torch.zeros(ids.shape, device=scorer.device)
        logp[mask] = scorer.token_logprobs(ids, mask)[0].to(logp.dtype)
        for i, row in zip(indices, logp.tolist(), strict=True):
            scores[i] = row[: len(samples[i].ids)]
    return scores


def left_out(trajectories: Sequence[Trajectory]) -> dict[str, str]:
    """Id -> why nothing is learned from a trajectory, for those of which this is so."""
    reasons: dict[str, str] = {}
    for group in _groups(trajectories):
        for trajectory, advantage in zip(group, group_advantages([t.reward for t in group]), strict=True):
            if trajectory.reward is None:
                reasons[trajectory.id] = "died for a reason of ours: no reward"
            elif advantage is None:
                reasons[trajectory.id] = "all rewards of its group are the same"
            elif not any(turn.completion_ids for turn in trajectory.turns):
                reasons[trajectory.id] = "nothing was sampled in it"
    return reasons


def _groups(trajectories: Sequence[Trajectory]) -> list[list[Trajectory]]:
    groups: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        groups.setdefault(trajectory.group or trajectory.instance_id, []).append(trajectory)
    return list(groups.values())

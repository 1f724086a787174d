"""One row of `metrics.jsonl`: what an iteration measured.

Invariant: a column that was not measured in an iteration is not in its row; nothing is filled in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from contextrl.feed import PairFeed
from contextrl.learner import Update
from trajectories.records import Trajectory

COLUMNS = {
    "loss_grpo": "grpo/loss",
    "loss_ca": "ca/loss",
    "kl": "grpo/kl",
    "entropy": "grpo/entropy",
    "clip_low": "grpo/clipped_low",
    "clip_high": "grpo/clipped_high",
    "groups_without_variance": "grpo/groups_without_variance",
    "ca_clip_low": "ca/clipped_low",
    "ca_clip_high": "ca/clipped_high",
    "margin": "ca/margin",
    "p_a": "ca/p_a",
    "letter_mass": "ca/letter_mass",
    "ca_reward": "ca/reward",
    "ca_weight": "ca/weight",
    "grad_norm": "learner/grad_norm",
    "grad_norm_grpo": "grpo/grad_norm",
    "grad_norm_ca": "ca/grad_norm",
    "cosine_grpo_ca": "learner/cosine_grpo_ca",
    "steps": "learner/steps",
    "skipped": "learner/skipped",
}
"""Column -> the learner's metric, a mean over the iteration's optimiser steps."""
FIRST = {"mismatch_kl": "grpo/mismatch_kl"}
"""Column -> the learner's metric in the first step, whose weights are still those that sampled (k3, nats per token)."""


def metrics_row(
    iteration: int,
    trajectories: Sequence[Trajectory],
    taken: Collection[str],
    update: Update,
    feed: PairFeed,
    seconds: dict[str, float],
    sandboxes: dict[str, float],
) -> dict[str, Any]:
    """The row of one iteration.

    `taken`: ids of episodes that an interrupted session had played. `seconds`: `rollout`, its parts `sampling` (the
    policy computed), `sandbox` and `grading`, then `learning` and `weight_sync`, wall clock of this session.
    `sandboxes`: `mean` and `most` that were alive during the rollout; empty where nobody counted.
    """
    graded = [t for t in trajectories if t.reward is not None]
    sampled = sum(sum(t.loss_mask()) for t in trajectories if t.id not in taken)
    stale = [iteration - turn.policy_version for t in graded for turn in t.turns if turn.completion_ids]
    first = update.steps[0] if update.steps else {}
    return {
        "iteration": iteration,
        "resolve_rate": sum(t.resolved for t in graded) / max(1, len(graded)),
        "reward_mean": sum(t.reward or 0.0 for t in graded) / max(1, len(graded)),
        "infra_failures": len(trajectories) - len(graded),
        "pairs_mined": feed.mined,
        "frontier": feed.frontier,
        "selection_accuracy": feed.accuracy,
        **{column: update.metrics[name] for column, name in COLUMNS.items() if name in update.metrics},
        **{column: first[name] for column, name in FIRST.items() if name in first},
        **_shared(update.metrics),
        **_salvaged(trajectories, update, feed),
        **({} if feed.too_long is None else {"pairs_too_long": feed.too_long}),
        **({"tokens_per_second": sampled / max(seconds["rollout"], 1e-9)} if sampled else {}),
        **({"staleness": sum(stale) / len(stale)} if stale else {}),
        "seconds": seconds,
        **({"sandboxes": sandboxes} if sandboxes else {}),
    }


def pairs_row(iteration: int, update: Update, feed: PairFeed, seconds: dict[str, float]) -> dict[str, Any]:
    """The row of an optimiser step on pairs alone."""
    return {
        "iteration": iteration,
        "pairs_mined": feed.mined,
        "frontier": feed.frontier,
        "selection_accuracy": feed.accuracy,
        **{
            column: update.metrics[name]
            for column, name in COLUMNS.items()
            if name in update.metrics and not name.startswith("grpo/")
        },
        "pairs_too_long": feed.too_long or 0,
        "seconds": seconds,
    }


def _shared(metrics: Mapping[str, float]) -> dict[str, float]:
    """`tokens_shared`: the share of the trajectories' tokens that others of their micro-batch had computed already."""
    whole = metrics.get("grpo/sequence_tokens", 0.0)
    return {"tokens_shared": 1 - metrics["grpo/computed_tokens"] / whole} if whole else {}


def _salvaged(trajectories: Sequence[Trajectory], update: Update, feed: PairFeed) -> dict[str, dict[str, float]]:
    """`salvage`: the share of the episodes' seconds in those that have an advantage, and in those or in pairs."""
    whole = sum(t.seconds for t in trajectories)
    if not whole:
        return {}
    policy = {lesson.trajectory_id for lesson in update.lessons if lesson.advantage}
    kinds = {"policy": policy} | ({} if feed.paired is None else {"all": policy | feed.paired})
    return {"salvage": {kind: sum(t.seconds for t in trajectories if t.id in i) / whole for kind, i in kinds.items()}}


def told(row: Mapping[str, Any]) -> str:
    """What matters of a row, for the line that is looked at while a run learns."""
    levels = "".join(f", {level} {accuracy:.0%}" for level, accuracy in row["selection_accuracy"].items())
    speed = row.get("tokens_per_second")
    pace = "" if speed is None else f", {speed:.0f} tokens/s"
    return f"resolved {row['resolve_rate']:.0%}, {row['pairs_mined']} pairs{levels}{pace}"

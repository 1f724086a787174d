"""One row of `metrics.jsonl`: what an iteration measured.

Invariant: a column that was not measured in an iteration is not in its row; nothing is filled in.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    "margin": "ca/margin",
    "p_a": "ca/p_a",
    "grad_norm": "learner/grad_norm",
    "steps": "learner/steps",
    "skipped": "learner/skipped",
}
"""Column -> the learner's metric."""


def metrics_row(
    iteration: int, trajectories: Sequence[Trajectory], update: Update, feed: PairFeed, seconds: dict[str, float]
) -> dict[str, Any]:
    """The row of one iteration. `seconds`: `rollout` and `learn`, wall clock."""
    graded = [t for t in trajectories if t.reward is not None]
    sampled = sum(sum(t.loss_mask()) for t in trajectories)
    return {
        "iteration": iteration,
        "resolve_rate": sum(t.resolved for t in graded) / max(1, len(graded)),
        "reward_mean": sum(t.reward or 0.0 for t in graded) / max(1, len(graded)),
        "infra_failures": len(trajectories) - len(graded),
        "pairs_mined": feed.mined,
        "frontier": feed.frontier,
        "selection_accuracy": feed.accuracy,
        **{column: update.metrics[name] for column, name in COLUMNS.items() if name in update.metrics},
        "tokens_per_second": sampled / max(seconds["rollout"], 1e-9),
        "seconds": seconds,
    }

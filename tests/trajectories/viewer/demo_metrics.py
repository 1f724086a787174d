"""What the runs of the demo measured, and what they were started with."""

from __future__ import annotations

import math
import random

from demo_episodes import ROLLOUTS
from demo_tasks import TASKS

RUNS = {"context-aware": 0.02, "grpo-only": 0.012}
"""Run -> how fast it learns."""
ITERATIONS = GROUPS = len(TASKS)
"""One group an iteration."""
TOTAL = len(RUNS) * GROUPS * ROLLOUTS
"""Trajectories."""


def configuration(run: str) -> dict[str, object]:
    weight = 0.005 if run == "context-aware" else 0.0
    recipe = {
        "name": run,
        "policy": "tiny",
        "seed": 0,
        "objective": {
            "name": "grpo",
            "clip_low": 0.2,
            "clip_high": 0.28,
            "kl": 0.001,
            "ca_weight": weight,
            "ca_clip": 5.0,
        },
        "train": {"iterations": ITERATIONS, "groups": 8, "group_size": ROLLOUTS, "learning_rate": 2e-6},
        "repositories": [{"source": "generated:seed=0,modules=4"}],
    }
    return {"recipe": recipe, "versions": {"torch": "2.13.0", "contextrl": "0.1.0"}}


def metrics(rng: random.Random, iteration: int, speed: float) -> dict[str, object]:
    learned = 1 - math.exp(-speed * 8 * iteration)

    def near(value: float, spread: float) -> float:
        return round(value + rng.gauss(0, spread), 5)

    aware = speed > 0.015
    row: dict[str, object] = {
        "iteration": iteration,
        "resolve_rate": min(1.0, max(0.0, near(0.25 + 0.5 * learned, 0.05))),
        "reward_mean": min(1.0, max(0.0, near(0.25 + 0.5 * learned, 0.05))),
        "loss_grpo": near(0.02 - 0.02 * learned, 0.004),
        "kl": abs(near(0.004 * learned, 0.0004)),
        "entropy": near(0.9 - 0.4 * learned, 0.02),
        "clip_low": abs(near(0.004, 0.001)),
        "clip_high": abs(near(0.007, 0.002)),
        "grad_norm": abs(near(0.6, 0.08)),
        "tokens_shared": near(0.4, 0.03),
        "mismatch_kl": abs(near(2e-4, 4e-5)),
        "staleness": abs(near(0.8, 0.2)),
        "tokens_per_second": near(820, 40),
        "seconds": {
            "sampling": abs(near(14, 1.5)),
            "sandbox": abs(near(9, 1.2)),
            "grading": abs(near(5, 0.8)),
            "learning": abs(near(11, 0.9)),
            "weight_sync": abs(near(1.2, 0.2)),
            "rollout": abs(near(25, 1)),
        },
        "sandboxes": {"mean": abs(near(6, 0.5)), "most": 8 + rng.randrange(3)},
    }
    if aware:
        row |= {
            "loss_ca": abs(near(0.69 - 0.5 * learned, 0.03)),
            "margin": near(3.5 * learned, 0.2),
            "ca_clip_low": 0.0,
            "ca_clip_high": abs(near(0.1 * learned, 0.01)),
            "ca_weight": 0.005,
            "grad_norm_grpo": abs(near(0.5, 0.05)),
            "grad_norm_ca": abs(near(0.2, 0.03)),
            "cosine_grpo_ca": near(0.1, 0.05),
        }
    policy = near(0.6 - 0.2 * learned, 0.04)
    row["salvage"] = {"policy": policy, "all": policy + 0.25} if aware else {"policy": policy}
    level = 0.35 * learned if aware else 0.0
    accuracy = {"function": near(0.52 + level, 0.03), "file": near(0.54 + level * 1.1, 0.03)}
    return row | {"selection_accuracy": {name: min(1.0, value) for name, value in accuracy.items()}}

"""What a person should hear of while a run learns, and what to do about it.

Invariant: each trouble is told when it begins and again only when it has got worse by a level, never every iteration.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Any

from contextrl.config import ContextConfig

BEYOND = (0.0, 0.1, 0.3)
"""Shares of pairs on the wrong side by more than the clip above which that is told."""
MISMATCH = (0.05, 0.2, 1.0)
"""Nats per token above which the sampler's numbers and the learner's are told to differ."""
SKIPPED = (1, 10, 100, 1000)
"""Skipped steps from which on they are told of."""


class Troubles:
    """Of one session."""

    def __init__(self, config: ContextConfig) -> None:
        self._config = config
        self._told: dict[str, int] = {}
        self._skipped = 0.0

    def new(self, row: Mapping[str, Any]) -> list[str]:
        """What an iteration's row adds, a sentence each."""
        beyond, mismatch = row.get("ca_clip_low", 0.0), row.get("mismatch_kl", 0.0)
        self._skipped += row.get("skipped", 0)
        found = (
            ("beyond", bisect_left(BEYOND, beyond), self._beyond(beyond)),
            (
                "mismatch",
                bisect_left(MISMATCH, mismatch),
                f"before anything was learned, the learner's log-probabilities are {mismatch:.2g} nats per token (k3) "
                "from the recorded ones: does the engine sample with the same weights, temperature and precision? "
                "grpo.old=recomputed or grpo.correction=truncate learn in spite of it",
            ),
            (
                "skipped",
                bisect_right(SKIPPED, self._skipped),
                f"{self._skipped:.0f} optimiser steps were skipped, for a loss or a gradient was not finite: "
                "a lower learner.lr or learner.grad_clip may help",
            ),
        )
        worse = [(name, level, text) for name, level, text in found if level > self._told.get(name, 0)]
        self._told |= {name: level for name, level, _ in worse}
        return [f"warning: iteration {row['iteration']}: {text}" for _, _, text in worse]

    def _beyond(self, share: float) -> str:
        text = f"{share:.1%} of the pairs are wrong by more than {self._config.clip:g} logits (ca.clip)"
        if self._config.low_side == "linear":
            return f"{text}; they are learned from, for ca.low_side=linear"
        return f"{text} and have no gradient in the paper's form; ca.low_side=linear keeps it"

"""Group-relative advantages.

Invariant: an episode without a reward (it died for a reason of ours) has no advantage and moves nobody else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Std = Literal["none", "population", "sample"]
"""What advantages are divided by: nothing (Dr. GRPO), the standard deviation with n, or with n - 1 (TRL, SkyRL)."""
EPSILON = 1e-4
"""Added to the standard deviation, as in TRL."""


def group_advantages(rewards: Sequence[float | None], std: Std = "population") -> list[float | None]:
    """Advantages of one group, reward minus the group's mean, divided as `std` says.

    None for an episode without reward, and for the whole group where fewer than two rewards differ: such a group says
    nothing about which action was better.
    """
    graded = [r for r in rewards if r is not None]
    if not graded or max(graded) - min(graded) < 1e-9:
        return [None] * len(rewards)
    mean = sum(graded) / len(graded)
    scale = 1.0
    if std != "none":
        squares = sum((r - mean) ** 2 for r in graded)
        scale = (squares / (len(graded) - (std == "sample"))) ** 0.5 + EPSILON
    return [None if r is None else (r - mean) / scale for r in rewards]

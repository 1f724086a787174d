"""Group-relative advantages.

Invariant: an episode without a reward (it died for a reason of ours) has no advantage and moves nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

Std = Literal["group", "batch", "none"]
"""What advantages are divided by: the standard deviation of the group's rewards, that of all, or nothing (Dr. GRPO)."""
EPSILON = 1e-4
"""Added to the standard deviation, as in TRL."""
_EQUAL = 1e-9


def advantages(groups: Sequence[Sequence[float | None]], std: Std = "group") -> list[list[float | None]]:
    """Each reward minus its group's mean, divided as `std` says (with n - 1, as in TRL, verl and SkyRL).

    None for an episode without reward, and for a whole group where fewer than two rewards differ: such a group says
    nothing about which action was better.
    """
    everywhere = deviation(r for group in groups for r in group if r is not None)
    return [_of_group(group, std, everywhere) for group in groups]


def _of_group(rewards: Sequence[float | None], std: Std, everywhere: float) -> list[float | None]:
    graded = [r for r in rewards if r is not None]
    if not graded or max(graded) - min(graded) < _EQUAL:
        return [None] * len(rewards)
    mean = sum(graded) / len(graded)
    scale = 1.0 if std == "none" else (deviation(graded) if std == "group" else everywhere) + EPSILON
    return [None if r is None else (r - mean) / scale for r in rewards]


def deviation(values: Iterable[float]) -> float:
    """The standard deviation, with n - 1; 0 of fewer than two."""
    found = list(values)
    if len(found) < 2:
        return 0.0
    mean = sum(found) / len(found)
    return float((sum((x - mean) ** 2 for x in found) / (len(found) - 1)) ** 0.5)

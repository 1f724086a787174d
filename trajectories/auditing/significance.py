"""Whether a selector differs from chance, where pairs of one function are not independent and many selectors are tried.

Invariant: the unit that chance acts on is the cluster (a function), whichever side of a pair it stands on.
Deterministic: the random flips have a seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from statistics import NormalDist

import numpy as np

from trajectories.intervals import in_clusters

_EXACT = 12
_FLIPS = 20_000
_POWER = 0.8


def off_chance(right: Sequence[tuple[Collection[str], float]], seed: int = 0) -> float:
    """Two-sided p-value of `(clusters, share right)` against one half: how often flipped signs do as well.

    Under chance a cluster's excess over one half is as likely as its opposite. A pair of two clusters counts whole in
    both: if either alone decides who is right, the variance is just that, if neither does, twice too large. All flips
    are tried for at most 12 clusters, else 20,000 random ones.
    """
    total = sum(value - 0.5 for _, value in right)
    excess = np.array([sum(v) - 0.5 * len(v) for v in in_clusters(right).values()])
    excess = excess[np.abs(excess) > 1e-12]
    if not len(excess):
        return 1.0
    if len(excess) <= _EXACT:
        flipped = np.array(list(product((-1, 1), repeat=len(excess)))) @ excess
        share = float(np.mean(flipped >= abs(total) - 1e-9))
    else:
        flipped = np.random.default_rng(seed).choice((-1, 1), size=(_FLIPS, len(excess))) @ excess
        share = float((1 + np.sum(flipped >= abs(total) - 1e-9)) / (1 + _FLIPS))
    return min(1.0, 2 * share)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down: p-values that keep the chance of any false alarm among all of them at the level."""
    adjusted: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda n: p_values[n])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = highest
    return adjusted


def noticeable(pairs: Sequence[Collection[str]], tried: int, level: float) -> float:
    """The smallest accuracy that would be noticed four times in five, by the clusters of each pair; at most 1.

    A rough guide: a cluster's pairs are taken to be right or wrong together, and the strictest of Holm's levels holds.
    """
    sizes: Counter[str] = Counter()
    for clusters in pairs:
        sizes.update(dict.fromkeys(clusters, 1 / len(clusters)))
    if not sizes:
        return 1.0
    independent = len(pairs) ** 2 / sum(size**2 for size in sizes.values())
    normal = NormalDist()
    needed = normal.inv_cdf(1 - level / 2 / max(tried, 1)) + normal.inv_cdf(_POWER)
    return float(min(1.0, 0.5 + needed * 0.5 / independent**0.5))

"""Whether a selector beats chance, when pairs of one function are not independent and many selectors are tried.

Invariant: the unit that chance acts on is the cluster. Deterministic: the random flips have a seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from statistics import NormalDist

import numpy as np

from trajectories.intervals import in_clusters

_EXACT = 12
_FLIPS = 20_000
_POWER = 0.8


def beats_chance(right: Iterable[tuple[str, float]], seed: int = 0) -> float:
    """p-value of `(cluster, share right)` against one half: how often flipped signs do as well, times two.

    Under chance a cluster's excess over one half is as likely as its opposite. All flips are tried for at most 12
    clusters, else 20,000 random ones. Times two, because a selector that learns its direction from the other folds
    finds a chance imbalance whichever way it leans: by simulation, the plain share gives twice the alarms it should.
    """
    excess = np.array([sum(v) - 0.5 * len(v) for v in in_clusters(right).values()])
    excess = excess[np.abs(excess) > 1e-12]
    if not len(excess):
        return 1.0
    if len(excess) <= _EXACT:
        flips = np.array(list(product((-1, 1), repeat=len(excess))))
        share = float(np.mean(flips @ excess >= excess.sum() - 1e-9))
    else:
        flips = np.random.default_rng(seed).choice((-1, 1), size=(_FLIPS, len(excess)))
        share = float((1 + np.sum(flips @ excess >= excess.sum() - 1e-9)) / (1 + _FLIPS))
    return min(1.0, 2 * share)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down: p-values that keep the chance of any false alarm among all of them at the level."""
    adjusted: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda n: p_values[n])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = highest
    return adjusted


def noticeable(clusters: Iterable[int], tried: int, level: float) -> float:
    """The smallest accuracy that would be noticed four times in five, by clusters of these sizes; at most 1.

    A rough guide: a cluster's pairs are taken to be right or wrong together, and the strictest of Holm's levels holds.
    """
    sizes = np.array(list(clusters), float)
    if not sizes.size:
        return 1.0
    independent = float(np.square(sizes.sum()) / np.square(sizes).sum())
    normal = NormalDist()
    needed = normal.inv_cdf(1 - level / 2 / max(tried, 1)) + normal.inv_cdf(_POWER)
    return float(min(1.0, 0.5 + needed * 0.5 / independent**0.5))

"""Intervals for the numbers in a report.

Invariant: what is measured several times on one thing (a pair in both letter orders, tasks and pairs of one
function) is one observation, not several. Everything is deterministic: resampling has a seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; `n` counts independent observations."""

    mean: float
    low: float
    high: float
    n: int


def wilson(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion. Good for small n, and at 0 and 1, where others collapse."""
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"a proportion needs 0 <= successes <= n and n > 0, not {successes} of {n}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p, z2 = successes / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z * (p * (1 - p) / n + z2 / (4 * n * n)) ** 0.5 / (1 + z2 / n)
    return Interval(p, max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p)), int(n))


def by_cluster(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Mean of each cluster: `(key, value)` pairs, e.g. a pair's id and whether one letter order was right."""
    return {key: sum(v) / len(v) for key, v in _clusters(values).items()}


def clustered_proportion(values: Sequence[tuple[str, float]], confidence: float = 0.95) -> Interval:
    """Interval of a proportion measured in clusters, `(cluster, value)`: Wilson's, at the effective sample size.

    Each value is in [0, 1] and counts the same. The effective size is p (1 - p) over the variance of the mean with
    clusters as the independent things (Taylor linearisation), at least 1 and at most the number of values; with no
    variance to see, the number of clusters.
    """
    clusters = _clusters(values)
    if not clusters:
        raise ValueError("a proportion of no observations is not defined; measure at least one")
    p, n = sum(value for _, value in values) / len(values), len(clusters)
    spread = np.array([sum(v) - p * len(v) for v in clusters.values()])
    variance = float(np.square(spread).sum()) * n / (n - 1) / len(values) ** 2 if n > 1 else 0.0
    size = p * (1 - p) / variance if variance > 1e-12 else float(n)
    size = min(max(size, 1.0), float(len(values)))
    interval = wilson(min(p * size, size), size, confidence)
    return Interval(p, interval.low, interval.high, n)


def _clusters(values: Iterable[tuple[str, float]]) -> dict[str, list[float]]:
    clusters: dict[str, list[float]] = {}
    for key, value in values:
        clusters.setdefault(key, []).append(value)
    return clusters


def paired_difference(
    before: Mapping[str, float],
    after: Mapping[str, float],
    *,
    clusters: Mapping[str, str] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 10_000,
) -> Interval:
    """After minus before on the same tasks (keys): percentile bootstrap over the tasks, or over their clusters.

    Both map a task to its mean over episodes, `clusters` a task to what it shares with others (default: nothing).
    Raises `ValueError` if the tasks are not the same ones. With few clusters (under about 20), or differences that are
    all equal, the interval is too narrow.
    """
    if not before or before.keys() != after.keys():
        raise ValueError(
            f"a paired comparison needs the same tasks before and after, at least one; "
            f"there are {len(before)} and {len(after)}, {len(before.keys() & after.keys())} in common"
        )
    of = clusters or {}
    parts = list(_clusters((of.get(k, k), after[k] - before[k]) for k in sorted(before)).values())
    sums, sizes = np.array([sum(part) for part in parts]), np.array([len(part) for part in parts])
    draws = np.random.default_rng(seed).integers(len(parts), size=(resamples, len(parts)))
    means = sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(sums.sum() / sizes.sum()), float(low), float(high), len(parts))

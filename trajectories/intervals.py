"""Intervals of proportions.

Invariant: what is measured several times on one thing (a pair in both letter orders, tasks and pairs of one
function) is one observation, not several.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

Clusters = str | Collection[str]
"""What a value was measured on: one thing, or several that it has in common with others."""


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


def clustered_proportion(values: Sequence[tuple[Clusters, float]], confidence: float = 0.95) -> Interval:
    """Interval of a proportion measured in clusters, `(clusters, value)`: Wilson's, at the effective sample size.

    Each value is in [0, 1] and counts the same. The effective size is p (1 - p) over the variance of the mean with
    clusters as the independent things (Taylor linearisation), at least 1 and at most the number of values; with no
    variance to see, the number of clusters. A value of several clusters counts in each: no interval that is too narrow,
    and one up to 1.4 times too wide where only chance is at work.
    """
    clusters = in_clusters(values)
    if not clusters:
        raise ValueError("a proportion of no observations is not defined; measure at least one")
    p, n = sum(value for _, value in values) / len(values), len(clusters)
    spread = (sum(v) - p * len(v) for v in clusters.values())
    variance = sum(s * s for s in spread) * n / (n - 1) / len(values) ** 2 if n > 1 else 0.0
    size = p * (1 - p) / variance if variance > 1e-12 else float(n)
    size = min(max(size, 1.0), float(len(values)))
    interval = wilson(min(p * size, size), size, confidence)
    return Interval(p, interval.low, interval.high, n)


def in_clusters(values: Iterable[tuple[Clusters, float]]) -> dict[str, list[float]]:
    """The values of each cluster."""
    clusters: dict[str, list[float]] = {}
    for keys, value in values:
        for key in (keys,) if isinstance(keys, str) else keys:
            clusters.setdefault(key, []).append(value)
    return clusters

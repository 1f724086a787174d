"""Intervals for the numbers in a report.

Invariant: what is measured several times on one thing (a pair in both letter orders, tasks and pairs of one
function) is one observation, not several. Everything is deterministic: resampling has a seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from trajectories.intervals import Interval, clustered_proportion, in_clusters, wilson

__all__ = [
    "Interval",
    "by_cluster",
    "clustered_proportion",
    "mean_over_seeds",
    "paired_difference",
    "rate_over_seeds",
    "wilson",
]


def by_cluster(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Mean of each cluster: `(key, value)` pairs, e.g. a pair's id and whether one letter order was right."""
    return {key: sum(v) / len(v) for key, v in in_clusters(values).items()}


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
    whole = _Clusters({k: after[k] - before[k] for k in before}, of)
    means = whole.resampled(resamples, np.random.default_rng(seed))
    return Interval(whole.mean, *_percentiles(means, confidence), whole.count)


def mean_over_seeds(
    values: Mapping[int, Mapping[str, float]],
    *,
    clusters: Mapping[int, Mapping[str, str]] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 10_000,
) -> Interval:
    """Mean over seeds of the mean over their tasks: percentile bootstrap over seeds, and in each over its tasks.

    `values`: seed -> task -> value, a rate or a paired difference; `clusters`: seed -> task -> what it shares with
    others of its seed. `n` counts seeds. Both levels are resampled, so the interval is too wide rather than too narrow
    where seeds differ by chance only; with few seeds (under about 5) it tells little of other seeds. Raises
    `ValueError` without values.
    """
    if not values or not all(values.values()):
        raise ValueError("a mean over seeds needs at least one seed, and none without tasks")
    each = [_Clusters(values[s], (clusters or {}).get(s, {})) for s in sorted(values)]
    rng = np.random.default_rng(seed)
    total = np.zeros(resamples)
    for _ in each:
        chosen = rng.integers(len(each), size=resamples)
        for index, whole in enumerate(each):
            mine = chosen == index
            total[mine] += whole.resampled(int(mine.sum()), rng)
    mean = sum(whole.mean for whole in each) / len(each)
    return Interval(mean, *_percentiles(total / len(each), confidence), len(each))


def rate_over_seeds(
    values: Mapping[int, Mapping[str, float]],
    *,
    clusters: Mapping[int, Mapping[str, str]] | None = None,
    confidence: float = 0.95,
) -> Interval:
    """`mean_over_seeds` of values in [0, 1]; where all are the same, Wilson's interval.

    No resampling can see beyond what it has: there it is `clustered_proportion`, with the clusters of all seeds.
    """
    interval = mean_over_seeds(values, clusters=clusters, confidence=confidence)
    if interval.high - interval.low > 1e-12:
        return interval
    of = clusters or {}
    places = [(f"{s}/{of.get(s, {}).get(k, k)}", v) for s, found in values.items() for k, v in found.items()]
    whole = clustered_proportion(places, confidence)
    return Interval(interval.mean, whole.low, whole.high, interval.n)


class _Clusters:
    """Values by what they share."""

    def __init__(self, values: Mapping[str, float], of: Mapping[str, str]) -> None:
        parts = list(in_clusters((of.get(k, k), values[k]) for k in sorted(values)).values())
        self._sums, self._sizes = np.array([sum(part) for part in parts]), np.array([len(part) for part in parts])
        self.count = len(parts)
        self.mean = float(self._sums.sum() / self._sizes.sum())

    def resampled(self, resamples: int, rng: np.random.Generator) -> np.ndarray:
        """Means [resamples] of as many clusters, drawn with replacement."""
        draws = rng.integers(self.count, size=(resamples, self.count))
        means: np.ndarray = self._sums[draws].sum(axis=1) / self._sizes[draws].sum(axis=1)
        return means


def _percentiles(means: np.ndarray, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)

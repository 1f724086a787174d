"""Intervals for the numbers in a report.

Invariant: what is measured several times on one thing (a pair in both letter orders, tasks and pairs of one
function) is one observation, not several. Everything is deterministic: resampling has a seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from trajectories.intervals import Interval, clustered_proportion, in_clusters, wilson

__all__ = ["Interval", "by_cluster", "clustered_proportion", "paired_difference", "wilson"]


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
    parts = list(in_clusters((of.get(k, k), after[k] - before[k]) for k in sorted(before)).values())
    sums, sizes = np.array([sum(part) for part in parts]), np.array([len(part) for part in parts])
    draws = np.random.default_rng(seed).integers(len(parts), size=(resamples, len(parts)))
    means = sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(sums.sum() / sizes.sum()), float(low), float(high), len(parts))

"""Learning to select from how two contexts differ, and measuring it on pairs that were not learned from.

Invariant: what is measured on was not trained on, and no group (a function) is on both sides. Both letter orders of a
pair are one antisymmetric decision, so that chance is exactly one half, with no intercept to learn.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
FOLDS = 5
_SCREENED = 64
"""Most words that a bag is judged by: those that differ most clearly in the training pairs."""
_STEPS = 300
_RIDGE = 1.0
_TIE = 1e-6


def selections(differences: Matrix, groups: Sequence[str], *, hashed: bool, seed: int = 0) -> NDArray[np.float64]:
    """1 where the anchor is chosen, 0 where the confounder is, 0.5 for a tie; shape [pairs].

    `differences`: anchor's features less the confounder's, shape [pairs, features]. Each pair is decided by a logistic
    regression that was trained on the other folds.
    """
    right = np.full(len(groups), 0.5)
    for held in folds(groups, seed):
        train = np.ones(len(groups), bool)
        train[held] = False
        if not train.any():
            continue
        kept = _screen(differences[train]) if hashed else np.arange(differences.shape[1])
        weights = logistic(differences[train][:, kept])
        margin = differences[held][:, kept] @ weights
        right[held] = np.where(np.abs(margin) < _TIE, 0.5, margin > 0)
    return right


def weights_of(differences: Matrix, *, hashed: bool) -> NDArray[np.float64]:
    """Weights learned on all pairs, shape [features]: what to look at, never what to measure by."""
    kept = _screen(differences) if hashed else np.arange(differences.shape[1])
    weights = np.zeros(differences.shape[1])
    weights[kept] = logistic(differences[:, kept])
    return weights


def folds(groups: Sequence[str], seed: int) -> Iterator[list[int]]:
    """Indices of each fold: whole groups, in about equally many pairs."""
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    names = random.Random(seed).sample(sorted(members), len(members))
    parts: list[list[str]] = [[] for _ in range(min(FOLDS, len(names)))]
    sizes = [0] * len(parts)
    for name in sorted(names, key=lambda n: -len(members[n])):
        smallest = sizes.index(min(sizes))
        parts[smallest].append(name)
        sizes[smallest] += len(members[name])
    for part in parts:
        yield list(chain.from_iterable(members[name] for name in part))


def logistic(differences: Matrix) -> NDArray[np.float64]:
    """Weights of a ridge logistic regression without intercept, for features in their own units; shape [features].

    Minimises the sum of log(1 + exp(-d w)) + w^2/2 over scaled features, by accelerated gradient steps.
    """
    scale = np.sqrt(np.mean(np.square(differences, dtype=np.float64), axis=0))
    usable = np.where(scale > 1e-9, scale, 1.0)
    scaled = differences / usable
    step = 1.0 / (0.25 * _largest(scaled) + _RIDGE)
    weights = ahead = np.zeros(scaled.shape[1])
    for k in range(1, _STEPS + 1):
        pull = 1.0 / (1.0 + np.exp(np.clip(scaled @ ahead, -30, 30)))
        following = ahead + step * (scaled.T @ pull - _RIDGE * ahead)
        ahead = following + (k - 1) / (k + 2) * (following - weights)
        moved = np.abs(following - weights).max(initial=0.0)
        weights = following
        if moved < 1e-6:
            break
    return np.where(scale > 1e-9, weights / usable, 0.0)


def _largest(matrix: NDArray[np.float64]) -> float:
    """Largest eigenvalue of the matrix times its transpose."""
    return float(np.linalg.norm(matrix, 2)) ** 2 if matrix.size else 1.0


def _screen(differences: Matrix) -> NDArray[np.intp]:
    """The features whose sign is most one-sided, at most `_SCREENED`, in their order."""
    signs = np.sign(differences)
    clear = np.abs(signs.sum(axis=0)) / np.sqrt(np.maximum(np.abs(signs).sum(axis=0), 1))
    return np.sort(np.argsort(-clear, kind="stable")[:_SCREENED])

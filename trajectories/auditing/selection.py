"""Learning to select from how two contexts differ, and measuring it on pairs that were not learned from.

Invariant: each pair is decided by what was learned from pairs that touch none of its functions (see `folds`). Both
letter orders of a pair are one antisymmetric decision, so that chance is exactly one half, with no intercept to learn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trajectories.auditing.folds import Touched, blocks

Matrix = NDArray[np.float32]
_SCREENED = 64
"""Most words that a bag is judged by: those that differ most clearly in the training pairs."""
_STEPS = 100
_NO_STEP = 1e-6
_RIDGE = 1.0
_TIE = 1e-6


def selections(
    differences: Matrix, functions: Sequence[Touched], *, hashed: bool, seed: int = 0
) -> NDArray[np.float64]:
    """1 where the anchor is chosen, 0 where the confounder is, 0.5 for a tie; shape [pairs].

    `differences`: anchor's features less the confounder's, shape [pairs, features]. `functions`: those that each pair
    touches. NaN for a pair for which there is nothing to learn from: all others share a function with its block.
    """
    right = np.full(len(functions), np.nan)
    parts = blocks(functions, seed)
    signs = {folds: _signs(differences[part]) for folds, part in parts.items()} if hashed else {}
    for folds, measured in parts.items():
        others = [other for other in parts if other.isdisjoint(folds)]
        if not others:
            continue
        kept = _clearest([signs[other] for other in others]) if hashed else np.arange(differences.shape[1])
        learned = np.concatenate([parts[other] for other in others])
        margin = differences[np.ix_(measured, kept)] @ logistic(differences[np.ix_(learned, kept)])
        right[measured] = np.where(np.abs(margin) < _TIE, 0.5, margin > 0)
    return right


def weights_of(differences: Matrix, *, hashed: bool) -> NDArray[np.float64]:
    """Weights learned on all pairs, shape [features]: what to look at, never what to measure by."""
    kept = _clearest([_signs(differences)]) if hashed else np.arange(differences.shape[1])
    weights = np.zeros(differences.shape[1])
    weights[kept] = logistic(differences[:, kept])
    return weights


def logistic(differences: Matrix) -> NDArray[np.float64]:
    """Weights of a ridge logistic regression without intercept, for features in their own units; shape [features].

    Minimises the sum of log(1 + exp(-d w)) + w^2/2 over scaled features, by Newton's steps, halved until they descend.
    A feature that is zero everywhere has no weight.
    """
    scale = np.sqrt(np.mean(np.square(differences, dtype=np.float64), axis=0))
    usable = np.where(scale > 1e-9, scale, 1.0)
    scaled = differences / usable
    weights = np.zeros(scaled.shape[1])
    loss = _loss(scaled, weights)
    for _ in range(_STEPS):
        pull = 1.0 / (1.0 + np.exp(np.clip(scaled @ weights, -30, 30)))
        curvature = (scaled.T * (pull * (1.0 - pull))) @ scaled + _RIDGE * np.eye(len(weights))
        step = np.linalg.solve(curvature, scaled.T @ pull - _RIDGE * weights)
        while (lower := _loss(scaled, weights + step)) > loss and np.abs(step).max(initial=0.0) > _NO_STEP:
            step /= 2
        weights, loss = weights + step, lower
        if np.abs(step).max(initial=0.0) <= _NO_STEP:
            break
    return weights / usable


def _loss(scaled: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    return float(np.logaddexp(0.0, -(scaled @ weights)).sum() + _RIDGE / 2 * weights @ weights)


def _signs(differences: Matrix) -> Matrix:
    """How often each feature speaks for the anchor less how often for the confounder, and how often for either."""
    signs = np.sign(differences)
    return np.stack([signs.sum(axis=0), np.abs(signs).sum(axis=0)])


def _clearest(signs: Sequence[Matrix]) -> NDArray[np.intp]:
    """The features whose sign is most one-sided in these pairs, at most `_SCREENED`, in their order."""
    excess, often = np.sum(signs, axis=0)
    clear = np.abs(excess) / np.sqrt(np.maximum(often, 1))
    return np.sort(np.argsort(-clear, kind="stable")[:_SCREENED])

"""Which functions a pair touches, and which pairs may be learned from to measure which.

Invariant: no function that a measured pair touches, by its anchor or by its confounder, is touched by a pair that was
learned from. Else "the words of B speak for the confounder" is learned from (A, B) and turns against (B, A).
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trajectories.records import ContextPair, MaskedContext

Touched = frozenset[str]
"""The functions of a pair."""
Indices = NDArray[np.intp]
FOLDS = 8


def touched(pairs: Sequence[ContextPair]) -> list[Touched]:
    """The functions that each pair's two tasks are about, as far as the set tells; a task of which it does not, itself.

    A pair names the anchor's function, and where both share it, the confounder's. Others' are those with which the task
    stands in other pairs.
    """
    of: defaultdict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        for context in (pair.anchor, pair.confounder) if pair.stage == "function" else (pair.anchor,):
            of[_task(pair, context)].add(f"{pair.repo} {pair.function or pair.file}")
    both = ([_task(pair, context) for context in (pair.anchor, pair.confounder)] for pair in pairs)
    return [frozenset(name for task in tasks for name in of.get(task) or {task}) for tasks in both]


def _task(pair: ContextPair, context: MaskedContext) -> str:
    return f"{pair.repo} task {context.instance_id or context.trajectory_id}"


def blocks(pairs: Sequence[Touched], seed: int) -> dict[frozenset[int], Indices]:
    """Pairs by the folds that they touch: folds -> indices.

    Functions are dealt into folds, of about equally many pairs each. A block is measured by what is learned from the
    blocks that have none of its folds.
    """
    fold = _dealt(pairs, seed)
    members: defaultdict[frozenset[int], list[int]] = defaultdict(list)
    for index, names in enumerate(pairs):
        members[frozenset(fold[name] for name in names)].append(index)
    return {folds: np.array(indices) for folds, indices in members.items()}


def _dealt(pairs: Sequence[Touched], seed: int) -> dict[str, int]:
    """Function -> fold."""
    sizes = Counter(name for names in pairs for name in names)
    lots = random.Random(seed).sample(sorted(sizes), len(sizes))
    full = [0] * min(FOLDS, len(lots))
    fold: dict[str, int] = {}
    for name in sorted(lots, key=lambda n: -sizes[n]):
        fold[name] = full.index(min(full))
        full[fold[name]] += sizes[name]
    return fold

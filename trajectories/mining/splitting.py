"""Splitting pairs into those to train on and those held out.

Invariant: no function that a trajectory of a held-out pair touches is touched by one of a training pair. The split
depends on the pairs and the seed alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from trajectories.records import ContextPair


def split_pairs(
    pairs: Sequence[ContextPair], share: float, seed: int, touched: Callable[[ContextPair], Iterable[str]]
) -> tuple[list[ContextPair], list[ContextPair]]:
    """Training and held-out pairs; of the latter at least `share` of all (0 to 1) as far as whole groups allow.

    `touched` names all that the two trajectories of a pair touch, within its repository. Pairs that are linked by a
    name, also over others, stay together.
    """
    parent = list(range(len(pairs)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    first: dict[str, int] = {}
    for i, pair in enumerate(pairs):
        for name in {f"{pair.repo} {name}" for name in (*touched(pair), pair.function or pair.file)}:
            parent[root(i)] = root(first.setdefault(name, i))
    groups: dict[int, list[int]] = {}
    for i in range(len(pairs)):
        groups.setdefault(root(i), []).append(i)
    held: set[int] = set()
    for members in sorted(groups.values(), key=lambda group: _lot(pairs[group[0]], seed)):
        if len(held) < share * len(pairs):
            held.update(members)
    return [p for i, p in enumerate(pairs) if i not in held], [p for i, p in enumerate(pairs) if i in held]


def _lot(pair: ContextPair, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{pair.repo}\0{pair.function or pair.file}".encode()).digest()

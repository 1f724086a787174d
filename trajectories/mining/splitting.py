"""Splitting pairs into those to train on and those held out.

Invariant: nothing that a side of a held-out pair touches (functions, its task) is touched by a side of a training pair.
The split depends on the pairs and the seed alone.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from trajectories.records import ContextPair

Sides = tuple[Iterable[str], Iterable[str]]
"""What the anchor's and the confounder's trajectory touch, by name, within the pair's repository."""


class Split(NamedTuple):
    """Pairs in the order that they came in."""

    train: list[ContextPair]
    heldout: list[ContextPair]
    between: list[ContextPair]
    """With one side here and one side there: they are in neither."""


def split_pairs(
    pairs: Sequence[ContextPair], share: float, seed: int, touched: Callable[[ContextPair], Sides]
) -> Split:
    """Hold out about `share` (0 to 1) of the pairs that are kept.

    Groups of pairs that are linked by what they touch, also over others, are held out whole, by lot. Where what is left
    is one large group, as when functions are paired across a repository, it is cut, and what is cut through is lost.
    """
    units, groups = _Linked(), _Linked()
    sides: list[tuple[str, str]] = []
    for pair in pairs:
        two = [sorted({f"{pair.repo} {name}" for name in names}) for names in touched(pair)]
        for names in two:
            units.link(names)
        groups.link([name for names in two for name in names])
        sides.append((two[0][0], two[1][0]))
    ends = [(units.root(a), units.root(b)) for a, b in sides]
    held = _whole_groups(Counter(groups.root(a) for a, _ in sides), share * len(pairs), seed)
    inside = {unit for (a, _), two in zip(sides, ends, strict=True) if groups.root(a) in held for unit in two}
    n_held = sum(groups.root(a) in held for a, _ in sides)
    if n_held < share * len(pairs) / 2:
        inside |= _cut([two for two in ends if two[0] not in inside], share, n_held, seed)
    return Split(
        [p for p, (a, b) in zip(pairs, ends, strict=True) if a not in inside and b not in inside],
        [p for p, (a, b) in zip(pairs, ends, strict=True) if a in inside and b in inside],
        [p for p, (a, b) in zip(pairs, ends, strict=True) if (a in inside) != (b in inside)],
    )


def _whole_groups(sizes: Counter[str], wanted: float, seed: int) -> set[str]:
    """Groups by lot, of at most `wanted` pairs together and a tenth more."""
    held: set[str] = set()
    n = 0
    for group in sorted(sizes, key=lambda name: _lot(name, seed)):
        if n + sizes[group] <= 1.1 * wanted:
            held.add(group)
            n += sizes[group]
    return held


def _cut(ends: Sequence[tuple[str, str]], share: float, n_held: int, seed: int) -> set[str]:
    """Units by lot until the pairs between them, with `n_held` others, are `share` of all that are then kept."""
    pairs_of: dict[str, Counter[str]] = {}
    for a, b in ends:
        pairs_of.setdefault(a, Counter())[b] += 1
        if a != b:
            pairs_of.setdefault(b, Counter())[a] += 1
    held: set[str] = set()
    inside = between = 0
    for unit in sorted(pairs_of, key=lambda name: _lot(name, seed)):
        if n_held + inside >= share * (n_held + len(ends) - between):
            break
        joined = sum(n for other, n in pairs_of[unit].items() if other in held)
        inside += joined + pairs_of[unit][unit]
        between += pairs_of[unit].total() - pairs_of[unit][unit] - 2 * joined
        held.add(unit)
    return held


class _Linked(dict[str, str]):
    """Which names belong together: each leads to another one of its kind, the first of all to itself."""

    def link(self, names: Sequence[str]) -> None:
        """All of these belong together."""
        for name in names[1:]:
            first, second = sorted((self.root(names[0]), self.root(name)))
            self[second] = first

    def root(self, name: str) -> str:
        """The one that stands for all that belong together with it."""
        self.setdefault(name, name)
        while self[name] != name:
            self[name] = name = self[self[name]]
        return name


def _lot(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()

"""What a pair is like: the groups that accuracy is broken down by.

Invariant: every pair is in exactly one group of each dimension; what is not known is `unknown`, never a guess.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from contextrl.probe.predictions import pair_texts
from trajectories.records import ContextPair, MaskedContext

UNKNOWN = "unknown"
SIMILARITY = (0.5, 0.8, 0.9)
"""Bounds of the bins."""
LENGTH = (2_000, 8_000, 32_000, 128_000)
"""Bounds of the bins, characters of both contexts together: about four to a token."""


def _bins(bounds: Sequence[float], unit: str = "") -> tuple[str, ...]:
    said = [f"{bound:,}" for bound in bounds]
    between = [f"{low} to {high}" for low, high in pairwise(said)]
    return tuple(name + unit for name in (f"below {said[0]}", *between, f"from {said[-1]}"))


SIMILARITIES = _bins(SIMILARITY)
LENGTHS = _bins(LENGTH, " characters")
THIRDS = ("first third", "middle third", "last third")
_ORDER = {name: place for names in (SIMILARITIES, LENGTHS, THIRDS) for place, name in enumerate(names)}
_KIND = re.compile(r"\.([A-Za-z][A-Za-z_]*?)__[0-9a-z]+$|\.(pr)_\d+$")
"""In the ids of SWE-smith and of bugs planted here: `repository.commit.kind__hash`; `repository.commit.pr_1234`."""


def groups_of(pair: ContextPair, kinds: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Dimension and group. `kinds`: instance id -> how its bug was made, of task sets that are at hand."""
    yield "repository", pair.repo or UNKNOWN
    yield "kind of bug", kinds.get(pair.anchor.instance_id) or kind_of_id(pair.anchor.instance_id)
    yield "stage", pair.stage
    yield "similarity", SIMILARITIES[bisect_right(SIMILARITY, pair.similarity)]
    yield "length", LENGTHS[bisect_right(LENGTH, sum(map(len, pair_texts(pair))))]
    yield "evidence", evidence_place(pair.anchor)


def kind_of_id(instance_id: str) -> str:
    """How a bug was made, where the id says it."""
    found = _KIND.search(instance_id)
    return (found[1] or found[2]) if found else UNKNOWN


def evidence_place(context: MaskedContext) -> str:
    """In which third of the context's characters its first turn with evidence begins."""
    before = len(context.problem_statement)
    starts: list[int] = []
    for turn in context.turns:
        if turn.evidence:
            starts.append(before)
        before += len(turn.text) + len(turn.observation)
    return THIRDS[min(3 * starts[0] // max(before, 1), 2)] if starts else UNKNOWN


def in_order(groups: Iterable[str]) -> list[str]:
    """Groups of one dimension: bins by their bounds, names by the alphabet, what is unknown last."""
    return sorted(groups, key=lambda name: (name == UNKNOWN, _ORDER.get(name, 0), name))

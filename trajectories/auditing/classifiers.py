"""What a selector may look at instead of reading: the shortcuts that an audit tries.

Invariant: a classifier describes one context beside the answer by numbers, the same way whichever context it is and
wherever it stands; what it learns is only how the numbers of the two differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from trajectories.auditing.readings import Reading, numbers, words
from trajectories.records import ContextPair, MaskedContext

Vector = NDArray[np.float64]
WIDTH = 4096
"""Places of a hashed bag of words."""


class Facts(NamedTuple):
    """What a store knows of a trajectory beside its text."""

    position: int
    created_at: float
    policy_version: int
    agent: str


@dataclass(frozen=True)
class Side:
    """One context of a pair, as a classifier meets it."""

    pair: ContextPair
    context: MaskedContext
    read: Reading
    facts: Facts | None
    """None where no store knows the trajectory."""


@dataclass(frozen=True)
class Classifier:
    """One shortcut."""

    name: str
    looks_at: str
    describe: Callable[[Side], Vector | None]
    """A vector of fixed length; None where what it needs is not known."""
    hashed: bool = False
    """Whether the places are words, so that only some of them can matter."""
    ordinal: bool = False
    """Whether only which of two numbers is larger counts, not by how much."""

    def difference(self, anchor: Side, confounder: Side) -> Vector | None:
        """The anchor's numbers less the confounder's; None where they are not known."""
        a, c = self.describe(anchor), self.describe(confounder)
        if a is None or c is None:
            return None
        return np.sign(a - c) if self.ordinal else a - c


def _length(side: Side) -> Vector:
    read = side.read
    return _vector(np.log1p(read.characters), np.log1p(read.turns), np.log1p(read.longest))


def _order(side: Side) -> Vector:
    """Which of the two sorts last, by the ids of trajectory and task."""
    return _vector(_rank(side, lambda c: c.trajectory_id), _rank(side, lambda c: c.instance_id))


def _rank(side: Side, key: Callable[[MaskedContext], str]) -> float:
    return float(key(side.context) == max(key(side.pair.anchor), key(side.pair.confounder)))


def _newer(side: Side) -> Vector | None:
    if side.facts is None:
        return None
    return _vector(side.facts.position, side.facts.created_at, side.facts.policy_version)


def _agent(side: Side) -> Vector | None:
    if side.facts is None:
        return None
    return _hashed({side.facts.agent: 1})


def _overlap(side: Side) -> Vector:
    """How many of the answer's words the context has, in what was said and in what was shown, and how often."""
    own = words(side.pair.shown_answer).keys()
    read = side.read
    many = max(len(own), 1)
    often = sum(read.said[w] + read.shown[w] for w in own)
    return _vector(len(own & read.said.keys()) / many, len(own & read.shown.keys()) / many, np.log1p(often))


def _bag(side: Side) -> Vector:
    return _hashed(side.read.said) + _hashed(side.read.shown)


def _line_numbers(side: Side) -> Vector:
    """How many of the answer's numbers the context shows: those of hunks, and others."""
    own = numbers(side.pair.shown_answer)
    return _vector(len(own & side.read.numbers) / max(len(own), 1), float(bool(own & side.read.numbers)))


def _issue(side: Side) -> Vector:
    """The words of the issue, and how many of them the answer has."""
    own, issue = words(side.pair.shown_answer), words(side.context.problem_statement)
    shared = len(own.keys() & issue.keys())
    bag = _hashed(issue)
    bag[0] = 4.0 * shared / max(len(own), 1)
    bag[1] = np.log1p(len(side.context.problem_statement))
    return bag


def _masks(side: Side) -> Vector:
    return _vector(side.read.masks, side.read.masked_turns, side.read.edits)


def _tone(side: Side) -> Vector:
    return np.asarray(side.read.tone, np.float64)


def _style(side: Side) -> Vector:
    return np.asarray(side.read.style, np.float64)


CLASSIFIERS: tuple[Classifier, ...] = (
    Classifier("length", "characters, turns, the longest observation", _length),
    Classifier("position", "which id of trajectory or task sorts first", _order, ordinal=True),
    Classifier("newer", "place in the store, time and policy version of the trajectories", _newer, ordinal=True),
    Classifier("agent", "the agent's name", _agent, hashed=True),
    Classifier("answer overlap", "how many of the answer's words the context has", _overlap),
    Classifier("bag of words", "the words of the contexts, without the answer", _bag, hashed=True),
    Classifier("line numbers", "numbers of the answer that the context shows", _line_numbers),
    Classifier("issue only", "the words of the issue, and of the answer in it", _issue, hashed=True),
    Classifier("masks", "masks, masked turns and edits", _masks),
    Classifier("ending", "words of success and failure in the last turns", _tone),
    Classifier("style", "how the agent writes and which tools it calls", _style),
)
"""All that are tried. One that sees the answer alone is not among them: each pair is asked in both letter orders, so
that what does not depend on the contexts is right in exactly one of the two."""


def _vector(*numbers_: float) -> Vector:
    return np.array(numbers_, np.float64)


def _hashed(counts: Mapping[str, int]) -> Vector:
    """Counts by the hash of the word, damped."""
    bag = np.zeros(WIDTH, np.float64)
    for word, n in counts.items():
        bag[place(word)] += np.log1p(n)
    return bag


@lru_cache(1 << 16)
def place(word: str) -> int:
    """Where a word stands in a hashed bag; the first two places are kept free."""
    return 2 + crc32(word.encode("utf-8", "surrogatepass")) % (WIDTH - 2)

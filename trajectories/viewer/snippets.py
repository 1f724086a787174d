"""Where a searched word stands in a trajectory, with what stands around it.

Invariant: a snippet is a part of the text as it stands, cut in at most three pieces: before, the word, after.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from trajectories.records import Trajectory

_WORD = re.compile(r"[^\W_]+")
_SPACE = re.compile(r"\s+")
_AROUND = 70


class Snippet(NamedTuple):
    """The first place. `turn` 0: not in a turn."""

    place: str
    turn: int
    before: str
    word: str
    after: str


def snippet(trajectory: Trajectory, text: str) -> Snippet:
    """Where most of the words stand together, or else the first of them."""
    words = [re.escape(word) for word in dict.fromkeys(_WORD.findall(text))]
    best: Snippet | None = None
    phrase = re.compile(r"[\W_]+".join(words), re.IGNORECASE)
    single = re.compile("|".join(rf"(?<![^\W_]){word}" for word in words), re.IGNORECASE)
    for place, turn, said in _texts(trajectory):
        if found := phrase.search(said):
            return _cut(place, turn, said, found)
        if best is None and (found := single.search(said)):
            best = _cut(place, turn, said, found)
    return best or Snippet("", 0, "", "", "")


def _cut(place: str, turn: int, said: str, found: re.Match[str]) -> Snippet:
    before, after = said[max(0, found.start() - _AROUND) : found.start()], said[found.end() : found.end() + _AROUND]
    return Snippet(place, turn, _SPACE.sub(" ", before), _SPACE.sub(" ", found[0]), _SPACE.sub(" ", after))


def _texts(trajectory: Trajectory) -> Iterator[tuple[str, int, str]]:
    yield "issue", 0, trajectory.problem_statement
    for number, turn in enumerate(trajectory.turns, 1):
        yield "action", number, turn.text
        yield "observation", number, turn.observation
        for value in turn.tool_call.arguments.values():
            yield "action", number, value
    yield "patch", 0, trajectory.patch

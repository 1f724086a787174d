"""What the miner keeps in memory of a trajectory: masked, without tokens.

Invariant: a sketch is a function of the stored trajectory alone, so it does not matter whether it came from memory.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from dataclasses import dataclass

from trajectories.masking import leaks, mask_trajectory
from trajectories.protocol import TrajectoryStore
from trajectories.records import MaskedContext, Trajectory


@dataclass(frozen=True)
class Sketch:
    """A trajectory as one side of a pair."""

    trajectory: Trajectory
    """Without its turns."""
    context: MaskedContext
    lines: Counter[str]
    """The lines of the context."""
    words: frozenset[str]
    """The words of the problem statement."""
    size: int
    """Characters of the context and of the patch."""
    usable: bool
    """It edited, the edit is masked, and nothing leaks."""

    def similarity(self, other: Sketch) -> float:
        """Share of equal lines, 0 to 1: twice the lines in common over the lines of both."""
        common = (self.lines & other.lines).total()
        return 2 * common / max(self.lines.total() + other.lines.total(), 1)

    def issue_similarity(self, other: Sketch) -> float:
        """Share of words that both problem statements have, 0 to 1 (Jaccard)."""
        return len(self.words & other.words) / max(len(self.words | other.words), 1)


def sketch(trajectory: Trajectory) -> Sketch:
    """The sketch of one trajectory."""
    context = mask_trajectory(trajectory)
    texts = [context.problem_statement, *(text for t in context.turns for text in (t.text, t.observation))]
    return Sketch(
        trajectory=trajectory.model_copy(update={"turns": []}),
        context=context,
        lines=Counter(line for text in texts for line in text.splitlines()),
        words=frozenset(re.findall(r"\w+", trajectory.problem_statement.lower())),
        size=sum(map(len, texts)) + len(trajectory.patch),
        usable=any(turn.edits for turn in context.turns) and not leaks(context, trajectory.patch),
    )


class Sketches:
    """The sketches used last, of at most `room` characters; others are read from the store again."""

    def __init__(self, store: TrajectoryStore, room: int) -> None:
        self._store = store
        self._room = room
        self._kept: OrderedDict[str, Sketch] = OrderedDict()

    def of(self, trajectory: Trajectory) -> Sketch:
        """The sketch of a trajectory that is at hand."""
        found = self._kept.get(trajectory.id) or sketch(trajectory)
        self._keep(found)
        return found

    def load(self, ids: list[str]) -> list[Sketch]:
        """The sketches of stored trajectories, in the order of the ids."""
        found = {i: self._kept[i] for i in ids if i in self._kept}
        missing = [i for i in ids if i not in found]
        if missing:
            read = self._store.get_many(missing, tokens=False)
            found |= {i: sketch(trajectory) for i, trajectory in read.items()}
        for one in found.values():
            self._keep(one)
        return [found[i] for i in ids]

    def _keep(self, one: Sketch) -> None:
        if one.trajectory.id not in self._kept:
            self._room -= one.size
        self._kept[one.trajectory.id] = one
        self._kept.move_to_end(one.trajectory.id)
        while self._room < 0 and self._kept:
            _, oldest = self._kept.popitem(last=False)
            self._room += oldest.size

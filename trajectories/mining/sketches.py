"""What the miner keeps in memory of a trajectory: masked, without tokens.

Invariant: a sketch is a function of the stored trajectory alone, so it does not matter whether it came from memory.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from functools import cached_property

from trajectories.mining.masking import leaks, mask_trajectory
from trajectories.mining.patches import before
from trajectories.mining.relatedness import Issue
from trajectories.mining.sharing import Place, likeness, share_shown
from trajectories.protocol import TrajectoryStore
from trajectories.records import MaskedContext, Trajectory


@dataclass(frozen=True)
class Sketch:
    """A trajectory as one side of a pair."""

    trajectory: Trajectory
    """Without its turns."""
    context: MaskedContext
    fault: str
    """Why it cannot be a side of a pair, in a few words; empty when it can: it edited, and nothing leaks."""

    @cached_property
    def lines(self) -> Counter[str]:
        """The lines of the context."""
        return Counter(line for text in self._texts() for line in text.splitlines())

    @cached_property
    def issue(self) -> Issue:
        """The issue, with the failing tests where a verdict names them."""
        verdict = self.trajectory.verdict
        return Issue(self.trajectory.problem_statement, tuple(verdict.fail_to_pass) if verdict else ())

    @cached_property
    def place(self) -> Place:
        """Where the patch changes something."""
        return Place.of(self.trajectory.files, self.trajectory.functions, self.trajectory.patch)

    @cached_property
    def size(self) -> int:
        """Characters of the context and of the patch."""
        return sum(map(len, self._texts())) + len(self.trajectory.patch)

    def similarity(self, other: Sketch) -> float:
        """Share of equal lines, 0 to 1: twice the lines in common over the lines of both."""
        common = sum(min(n, other.lines[line]) for line, n in self.lines.items() if line in other.lines)
        return 2 * common / max(self.lines.total() + other.lines.total(), 1)

    def reads_alike(self, other: Sketch) -> float:
        """How much of the place that both change reads the same at both commits, 0 to 1.

        By the touched functions' texts where both are known, else by what the one patch found there and the other
        trajectory was shown.
        """
        mine, theirs = self.trajectory.sources, other.trajectory.sources
        known = [likeness(mine[name], theirs[name]) for name in mine if name in theirs]
        if known:
            return max(known)
        return max(
            share_shown(before(self.trajectory.patch), other.context),
            share_shown(before(other.trajectory.patch), self.context),
        )

    def _texts(self) -> list[str]:
        turns = self.context.turns
        return [self.context.problem_statement, *(text for t in turns for text in (t.text, t.observation))]


def sketch(trajectory: Trajectory, keep_after_edit: bool = True) -> Sketch:
    """The sketch of one trajectory."""
    context = mask_trajectory(trajectory, keep_after_edit=keep_after_edit)
    if not any(turn.edits for turn in context.turns):
        fault = "no edit to mask"
    else:
        told = leaks(context, trajectory.patch)
        fault = f"the patch's line {told[0]!r} cannot be masked" if told else ""
    return Sketch(trajectory.model_copy(update={"turns": []}), context, fault)


class Sketches:
    """The sketches used last, of at most `room` characters; others are read from the store again."""

    def __init__(self, store: TrajectoryStore, room: int, keep_after_edit: bool = True) -> None:
        self._store = store
        self._room = room
        self._keep_after_edit = keep_after_edit
        self._kept: OrderedDict[str, Sketch] = OrderedDict()

    def of(self, trajectory: Trajectory) -> Sketch:
        """The sketch of a trajectory that is at hand."""
        found = self._kept.get(trajectory.id) or sketch(trajectory, self._keep_after_edit)
        self._keep(found)
        return found

    def load(self, ids: list[str]) -> list[Sketch]:
        """The sketches of stored trajectories, in the order of the ids."""
        found = {i: self._kept[i] for i in ids if i in self._kept}
        missing = [i for i in ids if i not in found]
        if missing:
            read = self._store.get_many(missing, tokens=False)
            found |= {i: sketch(trajectory, self._keep_after_edit) for i, trajectory in read.items()}
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

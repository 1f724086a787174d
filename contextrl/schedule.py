"""Which tasks an iteration plays.

Invariant: a batch depends on the recipe and the iteration's number only, so a resumed run plays what it would have
played. Tasks of one function come together, since context pairs are mined between them, and every function has its
turn before any has its second.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from contextrl.world import Ground
from envs.task import TaskInstance


class TaskSchedule:
    """Deals out training tasks, `siblings` tasks of one function at a time, repositories by their shares."""

    def __init__(self, grounds: Sequence[Ground], per_iteration: int, siblings: int, seed: int) -> None:
        grounds = [g for g in grounds if g.train and g.share > 0]
        self._decks = [_deck(g.train, siblings, random.Random(f"{seed}/{i}")) for i, g in enumerate(grounds)]
        total = sum(g.share for g in grounds)
        self._goals = [g.share / total * per_iteration for g in grounds]
        self._owed = [0.0 for _ in grounds]
        self._per_iteration, self._grounds, self._seed = per_iteration, grounds, seed
        self._batches: list[list[TaskInstance]] = []

    def batch(self, iteration: int) -> list[TaskInstance]:
        """The tasks of an iteration, counted from 0."""
        while len(self._batches) <= iteration:
            self._batches.append(self._deal())
        return self._batches[iteration]

    def more(self, iteration: int, number: int, count: int) -> list[TaskInstance]:
        """Others in place of tasks that said nothing: the `number`-th time in this iteration."""
        rng = random.Random(f"{self._seed}/{iteration}/{number}")
        kinds = rng.choices(self._grounds, [g.share for g in self._grounds], k=count)
        there = {task.instance_id for task in self.batch(iteration)}
        drawn: list[TaskInstance] = []
        for ground in kinds:
            left = [t for t in ground.train if t.instance_id not in there] or list(ground.train)
            drawn.append(rng.choice(left))
            there.add(drawn[-1].instance_id)
        return drawn

    def _deal(self) -> list[TaskInstance]:
        """Each task goes to the repository that is owed most: over many iterations the shares are met."""
        self._owed = [owed + goal for owed, goal in zip(self._owed, self._goals, strict=True)]
        tasks: list[TaskInstance] = []
        for _ in range(self._per_iteration):
            index = max(range(len(self._owed)), key=self._owed.__getitem__)
            self._owed[index] -= 1.0
            tasks.append(next(self._decks[index]))
        return tasks


def _deck(tasks: Sequence[TaskInstance], siblings: int, rng: random.Random) -> Iterator[TaskInstance]:
    """All tasks without end: functions in random order, at most `siblings` tasks of one at a time."""
    families: dict[str, list[TaskInstance]] = {}
    for task in tasks:
        families.setdefault(task.functions[0] if task.functions else task.instance_id, []).append(task)
    while True:
        for name in rng.sample(sorted(families), len(families)):
            family = families[name]
            yield from rng.sample(family, min(siblings, len(family)))

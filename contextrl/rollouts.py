"""The iterations of a run as they are played.

Invariant: an episode is on disk from the moment that it has finished, and is stored and mined when its iteration's turn
has come, in the order of tasks and members: what is mined depends neither on speed nor on how far ahead was played.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from agents.tool_agent import ToolAgent
from contextrl.config import Recipe
from contextrl.feed import PairFeed
from contextrl.occupancy import counted, split
from contextrl.pending import Pending
from contextrl.player import Player
from contextrl.schedule import TaskSchedule
from envs.task import TaskInstance
from sandbox import SandboxBackend
from trajectories.records import Trajectory
from trajectories.store import SQLStore


class Rolled(NamedTuple):
    """An iteration that was played."""

    trajectories: list[Trajectory]
    before: set[str]
    """Ids of those that an earlier session had played."""
    seconds: dict[str, float]
    sandboxes: dict[str, float]


class Rollouts:
    """Of one run."""

    def __init__(
        self,
        recipe: Recipe,
        name: str,
        folder: Path,
        player: Player,
        feed: PairFeed,
        schedule: TaskSchedule,
        store: SQLStore,
        backend: SandboxBackend,
    ) -> None:
        self._recipe, self._name, self._player, self._feed = recipe, name, player, feed
        self._schedule, self._store, self._backend = schedule, store, backend
        self._pending = Pending(folder / "pending")
        self.turn = 0
        """The iteration that is to be learned from next."""
        self._held: dict[int, list[Trajectory]] = {}
        """By iteration, episodes whose turn has not come."""

    async def play(self, iteration: int) -> Rolled:
        """The iteration's episodes, mined when it is their turn to be learned from."""
        engine, seconds = self._player.engine, dict[str, float]()
        computed, waited = engine.busy_seconds, self._player.waited
        began = time.monotonic()
        async with counted(self._backend) as sandboxes:
            trajectories, before = await self._play_all(iteration)
        seconds["rollout"] = time.monotonic() - began
        for_engine, for_grader = (now - then for now, then in zip(self._player.waited, waited, strict=True))
        played = [t for t in trajectories if t.id not in before]
        seconds |= split(seconds["rollout"], engine.busy_seconds - computed, played, for_engine, for_grader)
        return Rolled(trajectories, before, seconds, sandboxes)

    async def _play_all(self, iteration: int) -> tuple[list[Trajectory], set[str]]:
        """An iteration's episodes, and the ids of those that an earlier session had played."""
        rollout = self._recipe.rollout
        there = self._left_behind(iteration)
        tasks, groups = self._schedule.batch(iteration), 0
        played = await self._play(iteration, tasks, groups, there)
        for number in range(1, rollout.dynamic_sampling + 1):
            wanting = rollout.tasks_per_iteration - with_signal(played)
            if wanting <= 0:
                break
            groups += len(tasks)
            tasks = self._schedule.more(iteration, number, wanting)
            played += await self._play(iteration, tasks, groups, there)
        return played, {t.id for t in there}

    def _left_behind(self, iteration: int) -> list[Trajectory]:
        """The iteration's episodes that a session had played which was interrupted before the next checkpoint."""
        there = self._store.query(run=self._name, iteration=iteration, agent=ToolAgent.name)
        stored = {t.id for t in there}
        for t in self._pending.all():
            if t.id in stored:
                self._pending.drop(t)
            elif t.iteration < iteration or (t.iteration == iteration and t.status == "infra_error"):
                self._keep(iteration, t)  # a record; its place is played again
            elif t.iteration == iteration:
                there.append(t)
        return there

    async def _play(
        self, iteration: int, tasks: Sequence[TaskInstance], first: int, there: Sequence[Trajectory]
    ) -> list[Trajectory]:
        rollout = self._recipe.rollout
        return await self._player.play(
            tasks,
            group_size=rollout.group_size,
            temperature=rollout.temperature,
            seed=self._recipe.seed,
            run=self._name,
            iteration=iteration,
            first=first,
            seconds=rollout.seconds,
            stored=there,
            on_finished=self._pending.save,
            on_trajectory=partial(self._keep, iteration),
        )

    def _keep(self, iteration: int, trajectory: Trajectory) -> None:
        """Store and mine it, when it is its iteration's turn: so that what is mined does not depend on speed."""
        if iteration > self.turn:
            self._held.setdefault(iteration, []).append(trajectory)
            return
        self._feed.keep(trajectory)
        self._pending.drop(trajectory)

    def begin(self, iteration: int) -> None:
        """It is this iteration's turn to be learned from."""
        self.turn = self._feed.iteration = iteration
        for trajectory in self._held.pop(iteration, []):
            self._keep(iteration, trajectory)


def with_signal(trajectories: Sequence[Trajectory]) -> int:
    """How many groups have different rewards."""
    rewards: dict[str, set[float]] = {}
    for t in trajectories:
        rewards.setdefault(t.group, set()).update([] if t.reward is None else [t.reward])
    return sum(len(found) > 1 for found in rewards.values())

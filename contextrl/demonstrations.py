"""A scripted expert's episodes: trajectories that pairs can be mined from before the policy has made any of its own.

Invariant: no task is demonstrated twice in a run, however often it is gone on with.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from contextrl.config import Recipe
from contextrl.heldout import expert_script
from contextrl.player import Player
from contextrl.progress import Progress
from contextrl.world import World
from envs.task import TaskInstance
from trajectories.records import Trajectory
from trajectories.store import SQLStore

CHUNK = 60
"""Episodes between two looks at the clock."""


class Demonstrations:
    """What a recipe's `expert_episodes` ask for."""

    def __init__(self, recipe: Recipe, world: World, player: Player, progress: Progress) -> None:
        self._recipe, self._world, self._player, self._progress = recipe, world, player, progress

    async def play(self, run: str, store: SQLStore, keep: Callable[[Trajectory], None]) -> None:
        """Those that the store does not have of this run; `keep` is called with each."""
        played = {s.instance_id for s in store.summaries(run=run, agent="expert")}
        for ground in self._world.grounds:
            tasks = ground.sample(ground.expert_episodes, self._recipe.seed)
            await self._of_kind(ground.kind, [t for t in tasks if t.instance_id not in played], run, keep)

    async def _of_kind(
        self, kind: str, tasks: list[TaskInstance], run: str, keep: Callable[[Trajectory], None]
    ) -> None:
        """A chunk at a time, as long as `train.expert_minutes` allows."""
        script = expert_script(self._world, kind, self._recipe.seed)
        deadline = time.monotonic() + 60 * (self._recipe.train.expert_minutes or math.inf)
        for at in range(0, len(tasks), CHUNK):
            if at == 0:
                self._progress.stage(f"Expert episodes: {kind}")
            if time.monotonic() < deadline:
                chunk = tasks[at : at + CHUNK]
                await self._player.demonstrate(script, chunk, run=run, on_trajectory=keep)
                self._progress.update(at + len(chunk), len(tasks))

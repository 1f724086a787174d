"""A run from its recipe to its report.

Invariant: what can be refused is refused before anything of an earlier run is touched; interrupted at any moment a run
leaves no sandbox, an intact store and a checkpoint, and the same command goes on from there.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from contextrl.backends import kept_ready, opened
from contextrl.checkpoint import RunFolder, only_process
from contextrl.clock import Clock
from contextrl.config import Recipe
from contextrl.logging.opening import check_sinks, open_sinks
from contextrl.preflight import check_heldout
from contextrl.progress import Progress
from contextrl.ranks import Ranks, follow, from_environment
from contextrl.recipe_file import RecipeError
from contextrl.run import Run, learner_of
from contextrl.start import load_start
from contextrl.world import build_world
from trajectories.store import SQLStore


def train(recipe: Recipe, *, progress: Progress, resume: bool = True) -> Path:
    """Run a recipe to its report; the run's folder. A finished run is returned as it is.

    Raises what the rooms raise for what a user can mend (`ValueError`s, `SandboxError`), and `KeyboardInterrupt` after
    everything was put away.
    """
    ranks = from_environment()
    if ranks.size > 1 and recipe.learner.lora.rank:
        raise RecipeError("learner.lora and several processes do not go together yet: train adapters in one process")
    if not ranks.leads:
        _follow(recipe, resume, ranks)
        return recipe.run_dir
    with only_process(recipe.run_dir):
        folder = RunFolder(recipe, resume=resume)
        if ranks.share(folder.finished):
            progress.log(f"{folder.path} is finished; add --fresh to run it again")
        else:
            asyncio.run(_train(recipe, folder, progress, ranks))
    ranks.end()
    return folder.path


def _follow(recipe: Recipe, resume: bool, ranks: Ranks) -> None:
    """Learn along with rank 0, which does everything else."""
    if not ranks.share(None):
        start = load_start(recipe, RunFolder(recipe, resume=resume))
        follow(learner_of(recipe, start.policy.model, start.reference, ranks), ranks)
    ranks.end()


async def _train(recipe: Recipe, folder: RunFolder, progress: Progress, ranks: Ranks) -> None:
    """What can be refused comes before `folder.begin`: until then an earlier run is as it was."""
    check_sinks(recipe.logging)
    clock = Clock(folder.read("clock"))
    async with AsyncExitStack() as stack:
        with clock.timed("prepare"):
            if isinstance(recipe.store_place, str):  # better told now than when the tasks are made
                SQLStore(recipe.store_place).close()
            progress.stage("Opening sandboxes")
            backend = await stack.enter_async_context(opened(recipe))
            progress.log(f"sandboxes: {backend.name}")
            progress.stage("Loading the policy")
            start = await asyncio.to_thread(load_start, recipe, folder)
            world = await build_world(recipe, backend, progress)
            for note in check_heldout(recipe, world):
                progress.log(f"note: {note}")
        store = stack.enter_context(SQLStore(recipe.store_place))
        folder.begin()
        ready = await stack.enter_async_context(kept_ready(recipe, backend))
        run = await asyncio.to_thread(Run, recipe, folder, start, world, ready, store, progress, clock, ranks)
        stack.callback(store.release_run, run.name)
        stack.push_async_callback(run.player.close)
        run.sinks = stack.enter_context(open_sinks(recipe, folder, run.name, run.iteration, progress.log))
        try:
            await run.all()
            run.learner.end()
        finally:
            folder.write("clock", clock.seconds())

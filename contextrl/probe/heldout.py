"""The held-out pairs of a recipe: those that its evaluation measures selection accuracy on."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agents.policy import load_policy
from contextrl.heldout import heldout_pairs
from contextrl.player import Player
from contextrl.progress import Progress
from contextrl.recipe_file import load_recipe
from contextrl.start import device, policy_source
from contextrl.world import build_world
from sandbox import BackendOptions, open_backend
from trajectories.records import ContextPair
from trajectories.storage.pairs import pair_key


def recipe_pairs(path: Path, progress: Progress) -> list[ContextPair]:
    """Of all kinds of repository. Makes what is not made yet: tasks, and a demonstration of each held-out task.

    Ids say what is in a pair: made again, a pair has the same, so that an interrupted probe goes on.
    """
    return asyncio.run(_pairs(path, progress))


async def _pairs(path: Path, progress: Progress) -> list[ContextPair]:
    recipe = load_recipe(path)
    options = BackendOptions(docker_base=recipe.sandbox.docker_base, services=recipe.sandbox.services)
    backend = await open_backend(recipe.backend, options)
    try:
        world = await build_world(recipe, backend, progress)
        policy = load_policy(policy_source(recipe.policy), device=device(recipe))
        player = Player(recipe, policy, world, backend)
        try:
            found: list[ContextPair] = []
            for kind in world.kinds:
                progress.stage(f"Held-out pairs: {kind}")
                found += await heldout_pairs(
                    player,
                    world,
                    kind,
                    recipe.evaluation.pairs,
                    seed=recipe.seed,
                    min_similarity=recipe.ca.hardness[-1],
                    progress=progress.update,
                )
            return [pair.model_copy(update={"id": pair_key(pair)[:32]}) for pair in found]
        finally:
            await player.close()
    finally:
        await backend.close()

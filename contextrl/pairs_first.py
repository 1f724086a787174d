"""Optimiser steps on pairs alone, before a run's first iteration (`ca.before`).

Invariant: they are the iterations below 0, one optimiser step each, so that all that depends on an iteration's number
(letter orders, checkpoints, rows of `metrics.jsonl`) holds for them as well. What follows begins anew: with a fresh
optimiser and its warm-up, as a run does that is given these weights.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from contextrl.config import Recipe
from contextrl.feed import PairFeed
from contextrl.learner import Learner
from contextrl.metrics import pairs_row
from contextrl.recipe_file import RecipeError


class PairsFirst:
    """Of one run."""

    def __init__(self, recipe: Recipe, feed: PairFeed, learner: Learner) -> None:
        self._recipe, self._feed, self._learner = recipe, feed, learner
        rollout = recipe.rollout
        episodes = rollout.tasks_per_iteration * rollout.group_size
        self.checkpoint_every = recipe.train.checkpoint_every * learner.optimizer_steps(episodes)
        """Steps between checkpoints: as many as in training."""

    async def step(self, iteration: int) -> dict[str, Any]:
        """One optimiser step; its row of metrics. Raises `RecipeError` where there is nothing to learn from."""
        began = time.monotonic()
        self._feed.iteration = iteration
        prompts = self._feed.prompts(self._recipe.ca.pairs_per_step)
        if not prompts:
            raise RecipeError(
                f"ca.before={self._recipe.ca.before}: the expert episodes gave no pair that fits: raise "
                "`expert_episodes`, `bugs` or `per_function` of a repository, or `ca.max_pair_tokens`"
            )
        update = await asyncio.to_thread(self._learner.step, [], prompts, steps=1)
        self._feed.learned(update.results)
        if iteration == -1:
            self._learner.begin_anew()
        return pairs_row(iteration, update, self._feed, {"learning": time.monotonic() - began})

"""The term over pairs that a recipe asks for."""

from __future__ import annotations

from contextrl.config import Recipe
from contextrl.objectives.context_awareness import ContextAwareness
from contextrl.objectives.imitation import Imitation
from contextrl.objectives.language import Language
from contextrl.objectives.protocol import Objective
from contextrl.objectives.reinforce import Reinforce


def pair_objective(recipe: Recipe) -> Objective:
    """By `ca.objective`."""
    if recipe.ca.objective == "imitation":
        return Imitation()
    if recipe.ca.objective == "reinforce":
        return Reinforce(recipe.grpo, recipe.rollout.group_size)
    if recipe.ca.objective == "language":
        return Language()
    return ContextAwareness(recipe.ca)

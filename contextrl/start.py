"""What a run starts from: the policy, its reference model, how it is asked to choose, and the state of the
last checkpoint.

Invariant: all of it is loaded and checked before the first repository is fetched, so that a checkpoint that cannot be
used is told in seconds and not after the tasks were made.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from agents.policy import Policy, load_policy
from contextrl.adapters import Bare, add_adapters, load_adapters
from contextrl.checkpoint import RunFolder
from contextrl.choice import ChoiceFormat
from contextrl.config import Recipe
from contextrl.recipe_file import RecipeError


@dataclass(frozen=True)
class Start:
    """`reference`, a model or what scores with one, is None without a KL term; `state` before the first checkpoint."""

    policy: Policy
    reference: Any
    choices: ChoiceFormat
    state: dict[str, Any] | None


def load_start(recipe: Recipe, folder: RunFolder) -> Start:
    """From the run's last checkpoint, else from the recipe's policy. Raises `PolicyError`, `ValueError`."""
    source, where, saved = policy_source(recipe.policy), device(recipe), folder.checkpoint()
    lora = recipe.learner.lora
    policy = load_policy(saved[0] if saved and not lora.rank else source, device=where)
    reference: Any = None
    if lora.rank:
        add_adapters(policy.model, lora, recipe.seed)
        if saved:
            load_adapters(policy.model, saved[1]["adapters"])
        options: dict[str, Any] = {
            "autocast": recipe.learner.precision == "bfloat16",
            "temperature": recipe.rollout.temperature,
        }
        reference = Bare(policy.model, **options) if recipe.grpo.kl else None
    elif recipe.grpo.kl:
        reference = load_policy(source, device=where).model.requires_grad_(False)
    choices = ChoiceFormat(policy.tokenizer, recipe.ca.max_pair_tokens)
    return Start(policy, reference, choices, saved[1] if saved else None)


def policy_source(policy: str) -> str | Path:
    """Where a recipe's policy is loaded from: `tiny` is the one that is shipped."""
    return Path(str(files("agents.tiny"))) / "policy" if policy == "tiny" else policy


def device(recipe: Recipe) -> torch.device:
    """The recipe's device; `auto` takes a GPU where there is one. Raises `RecipeError` if it is not there."""
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise RecipeError(f"device=cuda: torch {torch.__version__} sees no GPU here; choose device=cpu or auto")
    if recipe.device != "auto":
        return torch.device(recipe.device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")

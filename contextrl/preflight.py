"""What can be known of a recipe before it is trained: most before anything is loaded, the rest once it has its tasks.

Invariant: nothing here imports torch or touches the network; a mistake is a `RecipeError`, what cannot be known here
or may be meant is a note.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from contextrl.config import Recipe
from contextrl.logging.opening import check_sinks
from contextrl.recipe_file import RecipeError
from envs.repos.source import parse_source
from envs.task import TaskInstance
from envs.tasksets.registry import find_taskset, is_known

if TYPE_CHECKING:
    from contextrl.world import World

TASKS = "tasks:"
"""Scheme of a source that is a task set, by its name or its path (`envs.tasksets.registry`)."""


def check(recipe: Recipe) -> list[str]:
    """Notes on what only the run itself will tell. Raises `RecipeError`, `RepoError`."""
    if recipe.backend == "remote" and not (recipe.sandbox.services or os.environ.get("CONTEXTRL_SANDBOX_SERVICES")):
        raise RecipeError(
            "backend is remote and no service is named: give sandbox.services=[http://HOST:8700], "
            "or set CONTEXTRL_SANDBOX_SERVICES"
        )
    check_sinks(recipe.logging)
    check_peft(recipe)
    notes = _policy(recipe.policy)
    for repository in recipe.repositories:
        if not repository.source.startswith(TASKS):
            parse_source(repository.source)
        elif is_known(name := repository.source.removeprefix(TASKS)):
            check_network(recipe, repository.source, find_taskset(name))
        else:
            notes.append(f"{repository.source}: there is no task set there yet; the run needs it")
    return notes


def check_peft(recipe: Recipe) -> None:
    """Raises `RecipeError` where LoRA is wanted and peft is not installed."""
    if recipe.learner.lora.rank and find_spec("peft") is None:
        raise RecipeError("learner.lora needs peft: pip install 'contextrl[lora]', or set learner.lora.rank=0")


def check_network(recipe: Recipe, source: str, tasks: Sequence[TaskInstance]) -> None:
    """Raises `RecipeError` if a task of a repository wants the network and the recipe does not allow it."""
    wanting = [task.instance_id for task in tasks if task.network]
    if wanting and not recipe.sandbox.allow_network:
        raise RecipeError(
            f"{source}: {len(wanting)} of {len(tasks)} tasks want the network (first {wanting[0]}): "
            "allow it with sandbox.allow_network=true, or leave them out"
        )


def check_space(recipe: Recipe) -> None:
    """Raises `RecipeError` if there is less free disk than the recipe asks for."""
    folder = recipe.runs.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    if free < recipe.train.min_free_gb:
        raise RecipeError(
            f"{folder} has {free:.1f} GB free and the run wants {recipe.train.min_free_gb:g} GB; "
            "make room, put the runs elsewhere (runs=/path), or lower train.min_free_gb"
        )


def check_heldout(recipe: Recipe, world: World) -> list[str]:
    """Notes on kinds of repository without a held-out function's task. Raises `RecipeError` if nothing is evaluated."""
    config = recipe.evaluation
    if not config.tasks:
        return []
    asked = {"heldout_function": config.tasks, "heldout_mutation": config.mutation_tasks}
    if not any(world.heldout(kind, split, n, recipe.seed) for kind in world.kinds for split, n in asked.items()):
        raise RecipeError(
            f"evaluation.tasks={config.tasks}, but no task is held out to be evaluated: "
            "raise `bugs` or `heldout_functions`, or set evaluation.tasks=0 to train without"
        )
    return [
        f"{kind}: no task in a held-out function, so nothing is measured on new functions of this kind; "
        "raise `bugs` or `heldout_functions` for that"
        for kind in world.kinds
        if not world.heldout(kind, "heldout_function", 1, recipe.seed)
    ]


def _policy(policy: str) -> list[str]:
    if policy == "tiny":
        return []
    folder = Path(policy).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise RecipeError(f"policy={policy}: the folder has no config.json; give a model in Hugging Face format")
        return []
    if folder.exists() or policy.startswith(("/", ".", "~")) or policy.count("/") > 1:
        raise RecipeError(f"policy={policy}: there is no such folder; give one, a model hub's owner/name, or `tiny`")
    return [f"policy={policy}: a name on the model hub; whether it can be reached only the run will tell"]

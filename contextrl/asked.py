"""What `contextrl train` was asked for: a recipe, a run to go on with, or one to branch off.

Invariant: what contradicts itself, or would have no effect, is refused in one sentence before anything is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from contextrl.config import Recipe
from contextrl.recipe_file import RecipeError, load_recipe


class Asked(NamedTuple):
    """The recipe of the run, and the folder of the run that it branches off."""

    recipe: Recipe
    source: Path | None = None


def asked_for(
    recipe: str, overrides: Sequence[str], *, resume: str, fork: str, step: int | None, fresh: bool, runs: Path
) -> Asked:
    """Raises `RecipeError`."""
    if not (resume or fork):
        if not recipe:
            raise RecipeError("name a recipe, e.g. recipes/quickstart.yaml, or a run: --resume RUN or --fork RUN")
        if step is not None:
            raise RecipeError("--from goes with --fork RUN")
        return Asked(load_recipe(Path(recipe), overrides))
    if resume and fork:
        raise RecipeError("give --resume or --fork, not both")
    if fresh:
        raise RecipeError(f"--fresh starts a run over: it does not go with --{'resume' if resume else 'fork'}")
    if resume and step is not None:
        raise RecipeError("--from goes with --fork RUN; --resume goes on from the last checkpoint")
    if recipe and "=" not in recipe:
        raise RecipeError(f"a run has its recipe: leave {recipe} out, or override single keys of it (key=value)")
    folder = _folder(resume or fork, runs)
    told = [*([recipe] if recipe else ()), *overrides]
    resolved = load_recipe(folder / "recipe.json", told)
    if resume and resolved.run_dir.absolute() != folder.absolute():
        resolved = load_recipe(folder / "recipe.json", [*told, f"name={folder.name}", f"runs={folder.parent}"])
    if fork and resolved.run_dir.absolute() == folder.absolute():
        raise RecipeError(f"a fork needs a name of its own: add name={folder.name}-2, or another")
    return Asked(resolved, folder if fork else None)


def _folder(run: str, runs: Path) -> Path:
    """By name or folder."""
    folder = Path(run) if Path(run).is_dir() else runs / run
    if not (folder / "recipe.json").is_file():
        there = sorted(p.parent.name for p in runs.glob("*/recipe.json"))
        raise RecipeError(f"{folder} is no run" + (f"; there are {', '.join(there)}" if there else ""))
    return folder

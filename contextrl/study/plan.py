"""From a recipe to the runs of a study.

Invariant: every run's recipe is made and checked before the first one starts, and runs that are there already were told
the same. Runs of one seed differ in what their arms override and in nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contextrl.config import Recipe, StudyConfig
from contextrl.recipe_file import RecipeError, load_recipe
from contextrl.study.arms import Overrides, chosen, parse_arm

EQUAL = ("train.max_minutes=null", "train.expert_minutes=null")
"""Overrides of every run, before all others: arms have equal steps, however slow a machine is."""
FREE = {"runs", "logging", "study"}
"""Sections that do not change what a run finds."""
LASTING = ("iterations", "max_minutes", "expert_minutes")
"""What of `train` does."""


@dataclass(frozen=True)
class Planned:
    """One run."""

    arm: str
    seed: int
    recipe: Recipe

    @property
    def finished(self) -> bool:
        """Whether it has its report."""
        return (self.recipe.run_dir / "report.json").is_file()


@dataclass(frozen=True)
class Plan:
    """A study."""

    recipe: Recipe
    """As it was given, with the overrides of all arms."""
    arms: dict[str, Overrides]
    seeds: tuple[int, ...]
    runs: tuple[Planned, ...]
    """Seed by seed, so that all arms can be compared as soon as the first seed is through."""

    @property
    def folder(self) -> Path:
        """Where the results go."""
        return self.recipe.runs / f"{self.recipe.name}-study"

    @property
    def reference(self) -> str:
        """The arm that the others are compared with."""
        return "grpo" if "grpo" in self.arms else next(iter(self.arms))


def planned(
    path: Path, overrides: Sequence[str] = (), *, arms: str = "", seeds: str = "", own: Sequence[str] = ()
) -> Plan:
    """The study of a recipe; what is not given stands in its `study` section. Raises `RecipeError`.

    `arms`: names, comma-separated; `seeds`: how many, or which, comma-separated; `own`: more arms, `NAME key=value`.
    """
    for override in overrides:
        if override.partition("=")[0] == "seed":
            raise RecipeError(f"`{override}`: a study sets the seeds; give --seeds, e.g. --seeds 5 or --seeds 0,3,7")
    recipe = load_recipe(path, overrides)
    added = dict(map(parse_arm, own))
    names = [name.strip() for name in arms.split(",")] if arms else list(recipe.study.arms)
    taken = chosen([*names, *(name for name in added if name not in names)], recipe.study.own | added)
    numbers = _seeds(seeds, recipe.study)
    told = (*EQUAL, *recipe.study.every, *overrides)
    runs = [Planned(arm, seed, _recipe(path, recipe, told, arm, taken[arm], seed)) for seed in numbers for arm in taken]
    for run in runs:
        _check_told_the_same(run)
    return Plan(recipe, taken, numbers, tuple(runs))


def _recipe(path: Path, study: Recipe, told: Overrides, arm: str, overrides: Overrides, seed: int) -> Recipe:
    ours = (f"seed={seed}", f"name={study.name}-{arm}-{seed}")
    try:
        made = load_recipe(path, [*(o.replace("{seed}", str(seed)) for o in (*told, *overrides)), *ours])
    except RecipeError as error:
        raise RecipeError(f"arm {arm}: {error}") from None
    return made.model_copy(update={"study": StudyConfig()})


def _seeds(text: str, config: StudyConfig) -> tuple[int, ...]:
    try:
        given = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise RecipeError(f"--seeds {text}: give how many, e.g. 5, or which, e.g. 0,3,7") from None
    asked: int | tuple[int, ...] = config.seeds
    if given:
        asked = tuple(given) if "," in text else given[0]
    found = tuple(range(asked)) if isinstance(asked, int) else asked
    if not found or len(set(found)) < len(found):
        raise RecipeError(f"seeds {text or list(found)}: give at least one, and none twice")
    return found


def _check_told_the_same(run: Planned) -> None:
    """Raises `RecipeError` where the run's folder holds one that was told something else."""
    folder = run.recipe.run_dir
    if not (folder / "run.json").is_file():
        return
    try:
        told = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise RecipeError(f"{folder / 'recipe.json'} is missing or damaged; delete {folder} to run it again") from None
    other = sorted(_differences(told, json.loads(run.recipe.model_dump_json())))
    if other:
        raise RecipeError(
            f"{folder} holds a run that was told something else (`{'`, `'.join(other)}` differ); "
            "choose another name=... for the study, or delete that folder"
        )


def _differences(told: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for key in (told.keys() | now.keys()) - FREE:
        before, after = told.get(key), now.get(key)
        if key == "train" and isinstance(before, dict) and isinstance(after, dict):
            yield from (f"train.{name}" for name in LASTING if before.get(name) != after.get(name))
        elif before != after:
            yield key

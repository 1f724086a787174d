"""What is measured before training is measured once for each seed.

Invariant: a run gets another's measurement only where the two agree in everything that it depends on: policy, tasks,
pairs, how episodes are played, seed and store. It would have measured the same.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from contextrl.config import Recipe
from contextrl.study.plan import Planned

AFTERWARDS = {"name", "grpo", "ca", "learner", "train", "logging", "study"}
"""Sections that say what comes after it."""
PAIRS = ("hardness", "after_edit", "max_pair_tokens")
"""What of `ca` says which pairs are held out, and how they are shown."""
BEFORE = "before.json"


def share_before(run: Planned, runs: Iterable[Planned]) -> None:
    """Give a run that has not begun what one of the others measured, if one has."""
    folder = run.recipe.run_dir
    if folder.exists():
        return
    wanted = _depends_on(run.recipe)
    for other in runs:
        there = other.recipe.run_dir / BEFORE
        if there.is_file() and _depends_on(other.recipe) == wanted:
            _begin_with(folder, run.recipe, there)
            return


def _begin_with(folder: Path, recipe: Recipe, before: Path) -> None:
    """A folder that looks as if the run had been stopped after it; whole or not at all."""
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    shutil.copy(before, new / BEFORE)
    (new / "recipe.json").write_text(recipe.model_dump_json(indent=1), encoding="utf-8")
    new.rename(folder)


def _depends_on(recipe: Recipe) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(recipe.model_dump_json())
    return {k: v for k, v in told.items() if k not in AFTERWARDS} | {f"ca.{k}": told["ca"][k] for k in PAIRS}

"""A run's folder: what it was told, how far it came, and the state from which it goes on.

Invariant: the folder of a run holds one recipe; a checkpoint is either whole or the one before it is still there.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch

from agents.policy import Policy, save_policy
from contextrl.config import Recipe
from contextrl.recipe_file import RecipeError

NOT_BINDING = {"train", "runs"}
"""Sections that may change when a run goes on: how long it lasts, where it lies."""


class RunFolder:
    """`runs/<name>`: `recipe.json`, `run.json`, `metrics.jsonl`, `checkpoint/`, and what the report adds."""

    def __init__(self, recipe: Recipe, *, resume: bool) -> None:
        """Opens or makes it; `resume=False` empties it. Raises `RecipeError` if it holds another recipe's run."""
        self.path = recipe.run_dir
        kept = self.path / "recipe.json"
        if self.path.is_dir() and not kept.exists() and any(p.name[0] != "." for p in self.path.iterdir()):
            raise RecipeError(f"{self.path} holds other things than a run; choose another name=... or runs=...")
        if not resume and self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        told = self.read("recipe")
        if told and (self.path / "run.json").exists():  # before that, nothing was done that another recipe could spoil
            _check_same(told, recipe, self.path)
        _write(kept, recipe.model_dump_json(indent=1))

    @property
    def finished(self) -> bool:
        """Whether the run has its report."""
        return (self.path / "report.json").is_file()

    def read(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the folder, None if it is not there. Raises `RecipeError` where it cannot be read."""
        file = self.path / f"{name}.json"
        try:
            found: dict[str, Any] | None = json.loads(file.read_text()) if file.is_file() else None
        except ValueError:
            raise RecipeError(f"{file} is damaged; add --fresh to start the run over") from None
        return found

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file atomically."""
        _write(self.path / f"{name}.json", json.dumps(content))

    def log(self, row: dict[str, Any]) -> None:
        """Append one iteration to `metrics.jsonl`."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def save(self, policy: Policy, state: dict[str, Any]) -> None:
        """Replace the checkpoint: the policy in Hugging Face format, and the state of everything else."""
        new, kept = self.path / "checkpoint.new", self.path / "checkpoint"
        shutil.rmtree(new, ignore_errors=True)
        try:
            save_policy(policy, new)
            torch.save(state, new / "state.pt")
        except Exception as error:  # torch and safetensors have their own errors for a full disk
            free = shutil.disk_usage(self.path).free // 1_000_000
            shutil.rmtree(new, ignore_errors=True)
            reason = str(error).partition("\n")[0]
            raise OSError(
                f"the checkpoint in {self.path} cannot be written, with {free} MB free ({reason}): make room; "
                "what was kept before is still there, and the same command goes on from it"
            ) from error
        old = self.path / "checkpoint.old"
        if kept.exists():  # otherwise the last save was cut short, and `old` is all there is
            shutil.rmtree(old, ignore_errors=True)
            kept.rename(old)
        new.rename(kept)
        shutil.rmtree(old, ignore_errors=True)

    def checkpoint(self) -> tuple[Path, dict[str, Any]] | None:
        """Folder of the saved policy and the saved state, None before the first checkpoint."""
        for name in ("checkpoint", "checkpoint.old"):
            folder = self.path / name
            if (folder / "state.pt").is_file():
                try:
                    return folder, torch.load(folder / "state.pt", weights_only=True)
                except (RuntimeError, EOFError, pickle.UnpicklingError):
                    raise RecipeError(f"{folder / 'state.pt'} is damaged; add --fresh to start the run over") from None
        return None


def _check_same(before: dict[str, Any], recipe: Recipe, folder: Path) -> None:
    now = json.loads(recipe.model_dump_json())
    other = sorted(k for k in now.keys() | before.keys() if k not in NOT_BINDING and now.get(k) != before.get(k))
    if other:
        raise RecipeError(
            f"{folder} holds a run that was told something else (`{'`, `'.join(other)}` differ); "
            "choose another name=..., or add --fresh to start it over"
        )


def _write(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)

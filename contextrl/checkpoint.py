"""A run's folder: what it was told, how far it came, and the state from which it goes on.

Invariant: the folder of a run holds one recipe and is one process's at a time; a checkpoint is either whole or the one
before it is still there; nothing is emptied before the run that takes its place is about to begin.
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from agents.policy import Policy, save_policy
from contextrl.adapters import adapters_of, has_adapters, whole_weights
from contextrl.config import Recipe
from contextrl.recipe_file import RecipeError

NOT_BINDING = {"train", "runs", "logging", "study"}
"""Sections that may change when a run goes on: how long it lasts, where it lies, who else gets its metrics."""


@contextmanager
def only_process(run_dir: Path) -> Iterator[None]:
    """Keep other processes from a run, by a lock beside its folder that this one's death releases.

    Raises `RecipeError` where another has it.
    """
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    with run_dir.with_name(f".{run_dir.name}.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            raise RecipeError(
                f"{run_dir} is being trained by another process{owner and f' ({owner})'}; "
                "wait for it or stop it, or choose another name=..."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


class RunFolder:
    """`runs/<name>`: `recipe.json`, `run.json`, `metrics.jsonl`, `checkpoint/`, and what the report adds."""

    def __init__(self, recipe: Recipe, *, resume: bool) -> None:
        """Looks at it and changes nothing; without `resume` it reads as empty. Raises `RecipeError` if it is not ours.

        That is, if it holds something else than a run, or one to go on with that was told another recipe.
        """
        self.path, self._recipe, self._forgotten = recipe.run_dir, recipe, not resume
        there = self.path.is_dir() and any(p.name[0] != "." for p in self.path.iterdir())
        if there and not (self.path / "recipe.json").exists():
            raise RecipeError(f"{self.path} holds other things than a run; choose another name=... or runs=...")
        told = self.read("recipe")
        if told and self._holds("run.json"):  # before that, nothing was done that another recipe could spoil
            _check_same(told, recipe, self.path)

    def begin(self) -> None:
        """Make it this recipe's: empty it if the run starts over, and write down what the run is told."""
        if self._forgotten and self.path.exists():
            shutil.rmtree(self.path)
        self._forgotten = False
        self.path.mkdir(parents=True, exist_ok=True)
        _write(self.path / "recipe.json", self._recipe.model_dump_json(indent=1))

    @property
    def finished(self) -> bool:
        """Whether the run has its report."""
        return self._holds("report.json")

    def _holds(self, name: str) -> bool:
        return not self._forgotten and (self.path / name).is_file()

    def read(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the folder, None if it is not there. Raises `RecipeError` where it cannot be read."""
        file = self.path / f"{name}.json"
        try:
            found: dict[str, Any] | None = json.loads(file.read_text()) if self._holds(file.name) else None
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

    def forget_rows(self, iteration: int) -> None:
        """Take the rows from an iteration on out of `metrics.jsonl`: it is gone through again."""
        file = self.path / "metrics.jsonl"
        if file.is_file():
            lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["iteration"] < iteration]
            if kept != lines:
                _write(file, "".join(kept))

    def save(self, policy: Policy, state: dict[str, Any], weights: Mapping[str, torch.Tensor] | None = None) -> None:
        """Replace the checkpoint: the policy in Hugging Face format, and the state of everything else.

        `weights`: all of the policy's, where it is sharded. The checkpoint before goes to `checkpoints/` as long as the
        recipe keeps it.
        """
        new, kept = self.path / "checkpoint.new", self.path / "checkpoint"
        shutil.rmtree(new, ignore_errors=True)
        try:
            adapted = has_adapters(policy.model)
            if weights is not None:  # tied ones have one name
                own = {name for name, _ in policy.model.named_parameters()}
                weights = {name: value for name, value in weights.items() if name in own}
            save_policy(policy, new, whole_weights(policy.model) if adapted else weights)
            torch.save(state | ({"adapters": adapters_of(policy.model)} if adapted else {}), new / "state.pt")
            (new / "iteration").write_text(str(state["iteration"]))
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
        self._retire(old)

    def _retire(self, old: Path) -> None:
        """Keep the checkpoint that was replaced, if that is wanted, and no more than are."""
        number = checkpoint_number(old)
        if number is None:
            shutil.rmtree(old, ignore_errors=True)
            return
        shelf = self.path / "checkpoints"
        shelf.mkdir(exist_ok=True)
        shutil.rmtree(shelf / str(number), ignore_errors=True)
        old.rename(shelf / str(number))
        config = self._recipe.train
        numbers = sorted(found for folder in shelf.iterdir() if (found := checkpoint_number(folder)) is not None)
        newest = set(numbers[max(0, len(numbers) - (config.keep_checkpoints - 1)) :])
        for found in numbers:
            if found not in newest and not (config.keep_every and found % config.keep_every == 0):
                shutil.rmtree(shelf / str(found), ignore_errors=True)

    def checkpoint(self) -> tuple[Path, dict[str, Any]] | None:
        """Folder of the saved policy and the saved state, None before the first checkpoint."""
        for name in ("checkpoint", "checkpoint.old"):
            folder = self.path / name
            if self._holds(f"{name}/state.pt"):
                try:
                    return folder, torch.load(folder / "state.pt", weights_only=True)
                except (RuntimeError, EOFError, pickle.UnpicklingError):
                    raise RecipeError(f"{folder / 'state.pt'} is damaged; add --fresh to start the run over") from None
        return None


def checkpoint_number(folder: Path) -> int | None:
    """The iteration of a checkpoint, None where there is none."""
    file = folder / "iteration"
    return int(file.read_text()) if file.is_file() else None


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

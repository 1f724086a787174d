"""Another run that begins where a checkpoint of one stands.

Invariant: the run that is branched off is only read; the new one appears whole, or not at all, and shares nothing with
it: its pairs are copies.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from contextrl.checkpoint import checkpoint_number
from contextrl.config import Recipe
from contextrl.recipe_file import RecipeError
from trajectories.records import ContextPair, new_id
from trajectories.store import SQLStore

SAME = ("seed", "repositories", "evaluation")
"""What must not have changed for the evaluation before training to stand for the new run as well."""


def branch(source: Path, iteration: int | None, recipe: Recipe) -> None:
    """Make the folder of `recipe`, a run of another name, from a run's checkpoint; None: its newest.

    Raises `RecipeError` where there is no such checkpoint, or something of that name.
    """
    checkpoint = find_checkpoint(source, iteration)
    folder = recipe.run_dir
    if folder.exists():
        raise RecipeError(f"{folder} is there already: choose another name=...")
    told = json.loads((source / "recipe.json").read_text(encoding="utf-8"))
    label = json.loads((source / "run.json").read_text(encoding="utf-8"))["label"]
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(checkpoint, new / "checkpoint")
    state = torch.load(new / "checkpoint" / "state.pt", weights_only=True)
    begun = state["iteration"]
    if "before.json" in {p.name for p in source.iterdir()} and _same(told, recipe):
        shutil.copy(source / "before.json", new / "before.json")
    rows = [row for row in _rows(source) if row["iteration"] < begun]
    with SQLStore(recipe.store_place) as store:
        known = set(state["feed"]["sampler"]["levels"])
        pairs = [p for p in store.scan_pairs(run=label, judgement="valid") if p.id in known]
        if missing := known - {p.id for p in pairs}:
            raise RecipeError(f"{len(missing)} pairs of {source} are not in the store any more: branch off another run")
        name = store.claim_run(recipe.name)
        try:
            ids = _copied(store, pairs, name)
            for row in rows:
                store.add_metrics(name, row["iteration"], row)
            state["feed"]["sampler"] = renamed(state["feed"]["sampler"], ids)
            torch.save(state, new / "checkpoint" / "state.pt")
            about = {"label": name, "branched_from": {"run": label, "iteration": begun}}
            for file, content in (("run", about), ("recipe", recipe.model_dump(mode="json"))):
                (new / f"{file}.json").write_text(json.dumps(content), encoding="utf-8")
            (new / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        finally:
            store.release_run(name)
    new.rename(folder)


def find_checkpoint(run: Path, iteration: int | None) -> Path:
    """The folder of a run's checkpoint. Raises `RecipeError`, which names those that are kept."""
    shelf = run / "checkpoints"
    kept = [run / "checkpoint", *(shelf.iterdir() if shelf.is_dir() else ())]
    found: dict[int | None, Path] = {
        number: folder for folder in kept if (number := checkpoint_number(folder)) is not None
    }
    if iteration is None and found:
        return found[max(number for number in found if number is not None)]
    if iteration not in found:
        those = f"it keeps those of {', '.join(sorted(map(str, found)))}" if found else "it has none"
        raise RecipeError(f"{run} has no checkpoint of iteration {iteration}: {those} (train.keep_checkpoints)")
    return found[iteration]


def renamed(sampler: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    """A sampler's state in which pairs have other ids."""
    named = {key: {ids[old]: value for old, value in sampler[key].items()} for key in ("entries", "levels")}
    return {**sampler, **named}


def _copied(store: SQLStore, pairs: list[ContextPair], run: str) -> dict[str, str]:
    ids = {pair.id: new_id() for pair in pairs}
    store.add_pairs(pair.model_copy(update={"id": ids[pair.id], "run": run}) for pair in pairs)
    return ids


def _rows(run: Path) -> list[dict[str, Any]]:
    file = run / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def _same(told: Mapping[str, Any], recipe: Recipe) -> bool:
    now = recipe.model_dump(mode="json")
    return all(told.get(key) == now[key] for key in SAME)

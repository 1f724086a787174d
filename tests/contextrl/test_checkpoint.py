"""What is kept of a run, and when."""

from pathlib import Path
from typing import Any

import pytest

from agents.policy import load_policy
from contextrl.checkpoint import RunFolder
from contextrl.config import Recipe
from contextrl.loop import Run
from contextrl.progress import Silent
from contextrl.recipe_file import RecipeError
from contextrl.start import device, policy_source


class Stepping(Run):
    """A run whose iterations do nothing."""

    def __init__(self, recipe: Recipe, folder: RunFolder) -> None:
        self.recipe, self.folder, self.progress = recipe, folder, Silent()
        self.policy = load_policy(policy_source("tiny"))
        self.iteration, self.minutes, self.clock = 0, 0.0, {}

    async def _one_iteration(self) -> dict[str, Any]:
        return {"iteration": self.iteration, "resolve_rate": 0.0, "pairs_mined": 0, "selection_accuracy": {}}

    def _state(self) -> dict[str, Any]:
        return {"iteration": self.iteration, "minutes": self.minutes}


def recipe(runs: Path, **train: Any) -> Recipe:
    repositories = [{"source": "generated:seed=0,modules=2"}]
    return Recipe.model_validate({"name": "r", "runs": str(runs), "repositories": repositories, "train": train})


@pytest.mark.parametrize(
    ("train", "last"), [({"max_minutes": 1e-9}, 1), ({"iterations": 3}, 3), ({"iterations": 0}, 0)]
)
async def test_the_last_iteration_is_kept_however_training_ended(tmp_path: Path, train: dict[str, Any], last: int):
    config = recipe(tmp_path, checkpoint_every=2, **train)
    run = Stepping(config, RunFolder(config, resume=True))
    await run._iterate()
    kept = run.folder.checkpoint()
    assert run.iteration == last and (kept[1]["iteration"] if kept else 0) == last


def test_two_saves_cut_short_leave_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = recipe(tmp_path)
    folder, policy = RunFolder(config, resume=True), load_policy(policy_source("tiny"))
    folder.save(policy, {"iteration": 1})
    rename = Path.rename

    def killed(path: Path, target: Path) -> Path:
        if target.name == "checkpoint":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            folder.save(policy, {"iteration": 2})
        kept = folder.checkpoint()
        assert kept is not None and kept[1]["iteration"] == 1


def test_a_run_that_never_began_binds_nobody(tmp_path: Path):
    RunFolder(recipe(tmp_path), resume=True)
    folder = RunFolder(recipe(tmp_path).model_copy(update={"seed": 1}), resume=True)
    folder.write("run", {"label": "r"})
    with pytest.raises(RecipeError, match=r"`seed` differ.*--fresh"):
        RunFolder(recipe(tmp_path), resume=True)


def test_a_folder_of_other_things_is_neither_used_nor_emptied(tmp_path: Path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "thesis.tex").write_text("years of work")
    for resume in (True, False):
        with pytest.raises(RecipeError, match="holds other things than a run"):
            RunFolder(recipe(tmp_path), resume=resume)
    assert (tmp_path / "r" / "thesis.tex").exists()


def test_what_is_damaged_is_told(tmp_path: Path):
    folder = RunFolder(recipe(tmp_path), resume=True)
    folder.save(load_policy(policy_source("tiny")), {"iteration": 1})
    (folder.path / "checkpoint" / "state.pt").write_text("damaged")
    with pytest.raises(RecipeError, match=r"state\.pt is damaged.*--fresh"):
        folder.checkpoint()
    (folder.path / "before.json").write_text("{")
    with pytest.raises(RecipeError, match=r"before\.json is damaged.*--fresh"):
        folder.read("before")


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(tmp_path: Path):
    folder, policy = RunFolder(recipe(tmp_path), resume=True), load_policy(policy_source("tiny"))
    folder.save(policy, {"iteration": 1})
    with pytest.raises(OSError, match=r"cannot be written.*make room"):
        folder.save(policy, {"iteration": lambda: 2})  # cannot be pickled, as little as a full disk can be written
    kept = folder.checkpoint()
    assert kept is not None and kept[1]["iteration"] == 1 and not (folder.path / "checkpoint.new").exists()


def test_a_gpu_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(RecipeError, match=r"device=cuda: .* sees no GPU here"):
        device(recipe(tmp_path).model_copy(update={"device": "cuda"}))

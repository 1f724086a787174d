"""What is kept of a run, and when."""

from pathlib import Path
from typing import Any

import pytest

from agents.policy import load_policy
from contextrl.checkpoint import RunFolder
from contextrl.config import Recipe
from contextrl.loop import Run, policy_source
from contextrl.progress import Silent


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

"""What is kept of a run, and when, and by whom."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agents.policy import load_policy
from contextrl.checkpoint import RunFolder, only_process
from contextrl.clock import Clock
from contextrl.config import Recipe
from contextrl.logging.opening import Sinks
from contextrl.loop import train
from contextrl.progress import Silent
from contextrl.recipe_file import RecipeError
from contextrl.run import Run
from contextrl.start import device, policy_source
from contextrl.trouble import Troubles
from trajectories.records import Trajectory
from trajectories.store import SQLStore


async def nothing_played(iteration: int) -> None:
    pass


class Stepping(Run):
    """A run whose iterations do nothing."""

    def __init__(self, recipe: Recipe, folder: RunFolder) -> None:
        self.recipe, self.folder, self.progress = recipe, folder, Silent()
        self.policy = load_policy(policy_source("tiny"))
        self.iteration, self.minutes, self.clock = 0, 0.0, Clock()
        self.name, self.store = "r", SQLStore("sqlite://")
        self.sinks, self.troubles, self.together = Sinks([]), Troubles(recipe.ca), False
        self.rollouts = SimpleNamespace(play=nothing_played, begin=lambda iteration: None)

    async def _one_iteration(self, rolled: Any) -> dict[str, Any]:
        return {"iteration": self.iteration, "resolve_rate": 0.0, "pairs_mined": 0, "selection_accuracy": {}}

    def _state(self) -> dict[str, Any]:
        return {"iteration": self.iteration, "minutes": self.minutes}


def recipe(runs: Path, **train: Any) -> Recipe:
    repositories = [{"source": "generated:seed=0,modules=2"}]
    return Recipe.model_validate({"name": "r", "runs": str(runs), "repositories": repositories, "train": train})


def begun(config: Recipe, *, resume: bool = True) -> RunFolder:
    folder = RunFolder(config, resume=resume)
    folder.begin()
    return folder


@pytest.mark.parametrize(
    ("train", "last"), [({"max_minutes": 1e-9}, 1), ({"iterations": 3}, 3), ({"iterations": 0}, 0)]
)
async def test_the_last_iteration_is_kept_however_training_ended(tmp_path: Path, train: dict[str, Any], last: int):
    config = recipe(tmp_path, checkpoint_every=2, **train)
    run = Stepping(config, begun(config))
    await run._iterate()
    kept = run.folder.checkpoint()
    assert run.iteration == last and (kept[1]["iteration"] if kept else 0) == last
    assert [row["iteration"] for row in run.store.metrics("r")] == list(range(last))


def test_two_saves_cut_short_leave_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = recipe(tmp_path)
    folder, policy = begun(config), load_policy(policy_source("tiny"))
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


def test_checkpoints_are_kept_as_told_and_no_more(tmp_path: Path):
    config = recipe(tmp_path, keep_checkpoints=2, keep_every=3)
    folder, policy = begun(config), load_policy(policy_source("tiny"))
    for iteration in range(8):
        folder.save(policy, {"iteration": iteration})
    kept = folder.checkpoint()
    assert kept is not None and kept[1]["iteration"] == 7
    assert {p.name for p in (folder.path / "checkpoints").iterdir()} == {"0", "3", "6"}
    assert load_policy(folder.path / "checkpoints" / "3").letters == policy.letters


def test_rows_that_are_gone_through_again_are_forgotten(tmp_path: Path):
    folder = begun(recipe(tmp_path))
    folder.forget_rows(0)
    for iteration in range(4):
        folder.log({"iteration": iteration})
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 4, "res')  # killed while it was written
    folder.forget_rows(2)
    assert (folder.path / "metrics.jsonl").read_text() == '{"iteration": 0}\n{"iteration": 1}\n'


def test_a_run_that_never_began_binds_nobody(tmp_path: Path):
    begun(recipe(tmp_path))
    folder = begun(recipe(tmp_path).model_copy(update={"seed": 1}))
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
    folder = begun(recipe(tmp_path))
    folder.save(load_policy(policy_source("tiny")), {"iteration": 1})
    (folder.path / "checkpoint" / "state.pt").write_text("damaged")
    with pytest.raises(RecipeError, match=r"state\.pt is damaged.*--fresh"):
        folder.checkpoint()
    (folder.path / "before.json").write_text("{")
    with pytest.raises(RecipeError, match=r"before\.json is damaged.*--fresh"):
        folder.read("before")


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(tmp_path: Path):
    folder, policy = begun(recipe(tmp_path)), load_policy(policy_source("tiny"))
    folder.save(policy, {"iteration": 1})
    with pytest.raises(OSError, match=r"cannot be written.*make room"):
        folder.save(policy, {"iteration": lambda: 2})  # cannot be pickled, as little as a full disk can be written
    kept = folder.checkpoint()
    assert kept is not None and kept[1]["iteration"] == 1 and not (folder.path / "checkpoint.new").exists()


def test_a_gpu_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(RecipeError, match=r"device=cuda: .* sees no GPU here"):
        device(recipe(tmp_path).model_copy(update={"device": "cuda"}))


def test_a_run_is_emptied_when_another_begins_and_not_before(tmp_path: Path):
    folder = begun(recipe(tmp_path))
    folder.write("run", {"label": "r"})
    folder.write("report", {})
    other = recipe(tmp_path).model_copy(update={"seed": 1})
    fresh = RunFolder(other, resume=False)
    assert not fresh.finished and fresh.read("run") is None and fresh.checkpoint() is None
    assert folder.finished and folder.read("run")
    fresh.begin()
    assert [p.name for p in folder.path.iterdir()] == ["recipe.json"]
    fresh.write("run", {"label": "r-2"})
    assert fresh.read("run") == {"label": "r-2"}


@pytest.mark.parametrize(
    "broken", ["backends.open_backend", "loop.load_start", "loop.build_world", "loop.check_heldout", "loop.SQLStore"]
)
def test_what_is_refused_empties_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str):
    begun(recipe(tmp_path)).write("report", {})

    class Backend:
        name = "none"

        async def close(self) -> None:
            pass

    async def opened(*_: Any) -> Backend:
        return Backend()

    def nothing(*_: Any) -> list[str]:
        return []

    def refuse(*_: Any) -> None:
        raise RecipeError("not today")

    steps: dict[str, Any] = {"backends.open_backend": opened, "loop.load_start": nothing}
    steps |= {"loop.build_world": opened, "loop.check_heldout": nothing}
    for step, does in (steps | {broken: refuse}).items():
        monkeypatch.setattr(f"contextrl.{step}", does)
    with pytest.raises(RecipeError, match="not today"):
        train(recipe(tmp_path), progress=Silent(), resume=False)
    assert RunFolder(recipe(tmp_path), resume=True).finished


def test_a_run_belongs_to_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = (
        "import sys, pathlib, contextrl.checkpoint as c\n"
        "with c.only_process(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "r")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout and other.stdout.readline() == b"held\n"
            with (
                pytest.raises(RecipeError, match=rf"{tmp_path}/r is being trained by .*\({other.pid}\)"),
                only_process(tmp_path / "r"),
            ):
                pass
        finally:
            other.kill()
    monkeypatch.setattr("contextrl.loop._train", pytest.fail)
    with only_process(tmp_path / "r"), pytest.raises(RecipeError, match="another process"):
        train(recipe(tmp_path), progress=Silent())
    with only_process(tmp_path / "r"):
        pass


async def test_an_evaluation_that_is_interrupted_leaves_no_episode(tmp_path: Path):
    episodes = [
        Trajectory(id=name, run="r.before", instance_id=name, repo="r", base_commit="c", problem_statement="")
        for name in ("a", "b")
    ]

    class Evaluator:
        works = False

        async def measure(
            self, title: str, run: str, scorer: Any, keep: Callable[[Trajectory], None]
        ) -> dict[str, Any]:
            keep(episodes[0])
            if not self.works:
                raise KeyboardInterrupt
            keep(episodes[1])
            return {}

    run = Stepping(recipe(tmp_path), begun(recipe(tmp_path)))
    run.name, run.evaluator, run.learner = "r", Evaluator(), SimpleNamespace(policy=None)
    with SQLStore(tmp_path / "store.db") as run.store:
        with pytest.raises(KeyboardInterrupt):
            await run._evaluate("before")
        assert run.store.count() == 0
        run.evaluator.works = True
        await run._evaluate("before")
        await run._evaluate("before")
        assert run.store.count(run="r.before") == 2


def test_the_clock_accounts_for_all_time_of_all_sessions():
    now = [100.0]

    def passes(clock: Clock, name: str, seconds: float) -> None:
        with clock.timed(name):
            now[0] += seconds

    first = Clock(now=lambda: now[0])
    passes(first, "learn", 3)
    now[0] += 2
    with pytest.raises(KeyboardInterrupt), first.timed("learn"):
        now[0] += 1
        raise KeyboardInterrupt
    kept = first.seconds()
    assert kept == {"learn": 4, "other": 2}
    now[0] += 50  # nobody trains
    second, row = Clock(kept, now=lambda: now[0]), dict[str, float]()
    now[0] += 1
    with second.timed("evaluate", row, "e"):
        now[0] += 7
    assert second.seconds() == {"learn": 4, "evaluate": 7, "other": 3} and row == {"e": 7}
    second.move("evaluate", "sample", 2)
    second.move("learn", "sample", 100)
    assert second.seconds() == {"learn": 0, "evaluate": 5, "sample": 6, "other": 3}

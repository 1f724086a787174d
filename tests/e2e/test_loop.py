"""The whole loop, small: from a generated repository to a report, in real sandboxes of both backends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tokenizers import Tokenizer

from contextrl.config import Recipe
from contextrl.feed import PairFeed
from contextrl.learner import Learner
from contextrl.logging.sinks import flat
from contextrl.loop import train
from contextrl.progress import Silent
from contextrl.report import read_metrics, read_report
from contextrl.schedule import TaskSchedule
from contextrl.start import policy_source
from envs.task import TaskInstance
from sandbox import open_backend
from trajectories.records import Trajectory
from trajectories.store import SQLStore

BACKENDS = ["local", pytest.param("docker", marks=pytest.mark.docker)]
pytestmark = pytest.mark.slow


def recipe(folder: Path, backend: str, **changes: Any) -> dict[str, Any]:
    """Two iterations on eight small modules."""
    return {
        "name": "small",
        "runs": str(folder),
        "backend": backend,
        "repositories": [
            {
                "source": "generated:seed=11,modules=8",
                "bugs": 150,
                "per_function": 6,
                "heldout_functions": 0.25,
                "heldout_mutations": 0.0,
                "expert_episodes": 8,
            }
        ],
        "rollout": {"group_size": 4, "tasks_per_iteration": 4, "siblings": 4, "max_new_tokens": 32},
        "learner": {"minibatch_trajectories": 4},
        "ca": {"pairs_per_step": 4},
        "train": {"iterations": 2, "checkpoint_every": 1},
        "evaluation": {"tasks": 6, "pairs": 6},
        **changes,
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_iterations(backend: str, tmp_path: Path) -> None:
    config = Recipe.model_validate(recipe(tmp_path, backend, logging={"tensorboard": True}))
    run_dir = train(config, progress=Silent())
    assert not asyncio.run(_alive(backend)), "sandboxes are left"

    report = read_report(run_dir)
    assert report["backend"] == backend and report["iterations"] == 2 and report["tasks"] == 6 and report["pairs"] == 6
    assert 0 < report["pairs_mined"] <= report["funnel"]["valid"]
    for key in ("resolve_rate", "selection_accuracy"):
        for when in ("before", "after"):
            low, high = report[f"{key}_{when}_interval"]
            assert low <= report[f"{key}_{when}"] <= high
    assert report["seed"] == 0 and report["config"]["name"] == "small" and "torch" in report["versions"]
    assert "http" not in (run_dir / "report.html").read_text().replace("http://www.w3.org", "")
    assert [row["iteration"] for row in read_metrics(run_dir)] == [0, 1]

    before = load_file(Path(policy_source("tiny")) / "model.safetensors")
    after = load_file(run_dir / "checkpoint" / "model.safetensors")
    assert any(not torch.equal(before[name], after[name]) for name in before), "the weights did not change"

    with SQLStore(tmp_path / "trajectories.db") as store:
        rolled = store.query(run="small", agent="tools")
        assert len(rolled) == 2 * 4 * 4 and {t.policy_version for t in rolled} == {0, 1}
        for t in rolled:
            trained = [i for i, sampled in zip(t.token_ids(), t.loss_mask(), strict=True) if sampled]
            assert trained == [i for turn in t.turns for i in turn.completion_ids]
            assert len(t.token_logprobs()) == len(t.token_ids()) and all(p <= 0 for p in t.token_logprobs())
        held_out = {t.instance_id for t in store.query(run="small.before")}
        assert not held_out & {t.instance_id for t in rolled}, "an evaluated task was trained on"
        pairs = store.pairs(run="small", judgement="valid")
        assert {p.stage for p in pairs} >= {"function", "repo"}
        assert all(p.anchor.instance_id not in held_out for p in pairs)
        _check_what_is_looked_at(store, rolled, read_metrics(run_dir))
    _check_what_is_drawn(run_dir)


def _check_what_is_drawn(run_dir: Path) -> None:
    """TensorBoard has the numbers of the rows; what teaches, and what was computed once, are shares."""
    rows = [flat(row) for row in read_metrics(run_dir)]
    drawn = EventAccumulator(str(run_dir / "tensorboard")).Reload()
    names = {name for row in rows for name in row}
    assert {name.replace(" ", "_") for name in names} == set(drawn.Tags()["scalars"])
    assert [e.value for e in drawn.Scalars("resolve_rate")] == pytest.approx([row["resolve_rate"] for row in rows])
    for row in rows:
        assert 0 <= row["salvage/policy"] <= row["salvage/all"] <= 1 and row["salvage/all"] > 0
        assert "tokens_shared" not in row or 0 < row["tokens_shared"] < 1
    assert any({"grad_norm_grpo", "grad_norm_ca", "cosine_grpo_ca"} <= row.keys() for row in rows)


def _check_what_is_looked_at(store: SQLStore, rolled: list[Trajectory], metrics: list[dict[str, Any]]) -> None:
    """All that a viewer shows is in the store."""
    assert store.metrics("small") == metrics
    for row in metrics:
        seconds = row["seconds"]
        parts = seconds["sampling"] + seconds["sandbox"] + seconds["grading"]
        assert parts == pytest.approx(seconds["rollout"], rel=0.01) and min(seconds.values()) >= 0
        assert seconds["grading"] > 0 and row["staleness"] == 0 and row["sandboxes"]["most"] >= 1
    told = store.configuration("small") or {}
    assert told["recipe"]["rollout"]["group_size"] == 4 and "torch" in told["versions"]

    lessons = store.lessons([t.id for t in rolled])
    reasons = {s.id: s.filtered for s in store.summaries(run="small", agent="tools")}
    assert all((t.id in lessons) != bool(reasons[t.id]) for t in rolled), "learned from, or said why not"
    for t in rolled:
        assert t.id not in lessons or len(lessons[t.id].logprobs) == sum(t.loss_mask())

    tokenizer = Tokenizer.from_str(store.findings("tokenizer", "small")[0].document["tokenizer_json"])
    for turn in rolled[0].turns:
        assert tokenizer.decode(turn.completion_ids, skip_special_tokens=False).startswith(turn.text)
    task = TaskInstance.model_validate(
        {k: v for k, v in (store.task(rolled[0].instance_id, "small") or {}).items() if k != "profile_document"}
    )
    assert task.patch and task.problem_statement == rolled[0].problem_statement
    drawn = [p.id for p in store.pairs(run="small") if store.pair_life([p.id])[p.id].uses]
    assert drawn and all(store.margins(i) for i in drawn)


def test_played_ahead(tmp_path: Path) -> None:
    """One iteration is played while another is learned from: by weights that are a version older at most."""
    told = recipe(tmp_path, "local", train={"iterations": 4, "checkpoint_every": 2})
    told["rollout"] |= {"max_staleness": 1, "concurrency": 6}
    told["grpo"] = {"correction": "truncate"}
    run_dir = train(Recipe.model_validate(told), progress=Silent())
    assert not asyncio.run(_alive("local")), "sandboxes are left"
    with SQLStore(tmp_path / "trajectories.db") as store:
        rolled = store.query(run="small", agent="tools")
    assert [(t.iteration, t.extra["member"]) for t in rolled] == [
        (i, m) for i in range(4) for _ in range(4) for m in range(4)
    ]
    stale = {t.iteration - turn.policy_version for t in rolled for turn in t.turns if turn.completion_ids}
    assert stale <= {0, 1} and {t.iteration - t.turns[0].policy_version for t in rolled if t.iteration} == {1}
    rows = read_metrics(run_dir)
    assert [row["iteration"] for row in rows] == [0, 1, 2, 3] and rows[0]["staleness"] == 0 < rows[1]["staleness"] <= 1
    assert all(row["mismatch_kl"] < 0.1 for row in rows if "mismatch_kl" in row)
    clock = read_report(run_dir)["time_split"]
    assert clock["other"] > 0 and clock["learn"] > 0
    assert not list((run_dir / "pending").glob("*"))


async def _alive(backend: str) -> set[str]:
    """Sandboxes of this process: their names say whose they are."""
    opened = await open_backend(backend)
    try:
        return {name for name in await opened.alive() if name.startswith(f"contextrl-{os.getpid()}-")}
    finally:
        await opened.close()


def test_interrupted_and_resumed(tmp_path: Path) -> None:
    """Ctrl-C in the middle of training; the same command goes on, and nothing is left behind in between."""
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(recipe(tmp_path, "local", train={"iterations": 4, "checkpoint_every": 1})))
    command = [sys.executable, "-m", "contextrl", "train", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "small" / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while not metrics.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors, errors
    assert not _children_of(process.pid)
    done = len(metrics.read_text().splitlines())
    assert 1 <= done < 4

    again = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stderr
    rows = [json.loads(line)["iteration"] for line in metrics.read_text().splitlines()]
    assert sorted(set(rows)) == [0, 1, 2, 3] and read_report(tmp_path / "small")["iterations"] == 4


class Killed(Exception):
    """Ends a run where it stands."""


@pytest.mark.parametrize("after", [3, 16 + 7])
def test_an_interrupted_iteration_is_gone_on_with(after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the first iteration and in the second, with no checkpoint yet; one episode had failed for a reason of ours."""
    config = Recipe.model_validate(recipe(tmp_path, "local", train={"iterations": 2, "checkpoint_every": 5}))
    keep, step, left, learned = PairFeed.keep, Learner.step, [after], list[Counter[str]]()

    def killing(feed: PairFeed, trajectory: Trajectory) -> None:
        if trajectory.agent == "tools":
            left[0] -= 1
            broken = {"status": "infra_error", "verdict": None, "reward": None}
            trajectory = trajectory.model_copy(update=broken) if left[0] == 0 else trajectory
        keep(feed, trajectory)
        if left[0] == 0:
            raise Killed

    def counting(learner: Learner, trajectories: list[Trajectory], prompts: Any) -> Any:
        learned.append(Counter(t.group for t in trajectories if t.reward is not None))
        return step(learner, trajectories, prompts)

    monkeypatch.setattr(PairFeed, "keep", killing)
    monkeypatch.setattr(Learner, "step", counting)
    with pytest.raises(Killed):
        train(config, progress=Silent())
    interrupted = json.loads((config.run_dir / "clock.json").read_text())
    with SQLStore(config.store_place) as store:
        first = {t.id for t in store.query(run="small", agent="tools")}
    assert len(first) >= after, "others may have ended in the same moment"
    learned.clear()
    run_dir = train(config, progress=Silent())

    assert [list(groups.values()) for groups in learned] == [[4] * 4] * 2, "whole groups"
    with SQLStore(config.store_place) as store:
        rolled = store.query(run="small", agent="tools")
        assert {run.run for run in store.runs()} == {"small", "small.before", "small.after"}
        assert store.count(run="small.before") == 6
    counted = [t for t in rolled if t.status != "infra_error"]
    assert Counter(t.iteration for t in counted) == {0: 16, 1: 16} and len(rolled) == 33
    assert first < {t.id for t in rolled} and len({t.extra["session"] for t in rolled}) == 33
    rows, report = read_metrics(run_dir), read_report(run_dir)
    assert all(row["mismatch_kl"] < 0.05 for row in rows if "mismatch_kl" in row)
    assert [row["infra_failures"] for row in rows] == [0, 0]
    clock = report["time_split"]
    assert clock["other"] > 0 and report["wall_seconds"] == pytest.approx(sum(clock.values()))
    assert report["wall_seconds"] > sum(interrupted.values()) > 0


def _children_of(pid: int) -> list[str]:
    """Processes whose owner was `pid`, by their session or environment: local sandboxes name it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                status = (entry / "status").read_text()
            except OSError:
                continue
            if f"PPid:\t{pid}\n" in status:
                found.append(entry.name)
    return found


def test_other_recipe_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    config = Recipe.model_validate(recipe(tmp_path, "local"))
    (folder / "recipe.json").write_text(config.model_copy(update={"seed": 1}).model_dump_json())
    (folder / "run.json").write_text('{"label": "small"}')
    with pytest.raises(ValueError, match=r"`seed` differ.*--fresh"):
        train(config, progress=Silent())


def test_schedule_is_a_function_of_the_iteration() -> None:
    from contextrl.world import Ground
    from envs.task import TaskInstance

    def task(i: int) -> TaskInstance:
        return TaskInstance(
            instance_id=f"t{i}", repo="r", base_commit="c", problem_statement="", patch="", FAIL_TO_PASS=("a",),
            PASS_TO_PASS=("b",), functions=(f"m.py::f{i // 3}",),
        )  # fmt: skip

    grounds = [
        Ground("generated", 3.0, 0, tuple(map(task, range(30))), ()),
        Ground("real package", 1.0, 0, (task(99),), ()),
    ]
    first, second = (TaskSchedule(grounds, 4, 3, seed=1) for _ in range(2))
    batches = [first.batch(i) for i in range(10)]
    assert second.batch(9) == batches[9] and second.batch(2) == batches[2]
    assert sum(t.instance_id == "t99" for b in batches for t in b) == 10
    seen = [t.functions[0] for b in batches for t in b if t.instance_id != "t99"]
    assert len(set(seen)) == 10 and all(len(set(seen[i : i + 3])) == 1 for i in range(0, 30, 3))

"""Every episode of a small run, the expert's and the policy's, is done again in both backends: nothing differs."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from test_loop import recipe

from contextrl.config import Recipe
from contextrl.loop import train
from contextrl.progress import Silent
from contextrl.replays import Wanted, ground_of, replay_of
from envs.grading.choose import TaskGrader
from sandbox import open_backend
from sandbox.owners import is_ours
from trajectories.records import Trajectory
from trajectories.replay.report import ReplayReport
from trajectories.store import SQLStore

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    train(Recipe.model_validate(recipe(folder, "local", train={"iterations": 1})), progress=Silent())
    return folder / "trajectories.db"


async def _replayed(store: SQLStore, episodes: list[Trajectory], name: str) -> list[ReplayReport]:
    backend = await open_backend(name)
    grader = TaskGrader(backend)
    reports = []
    try:
        for episode in episodes:
            replay = replay_of(episode, ground_of(episode, store, Wanted()), backend, grader)
            await replay.open()
            await replay.run()
            reports.append(await replay.finish())
        assert not any(map(is_ours, await backend.alive())), "of this process: other tests have theirs"
        return reports
    finally:
        await grader.close()
        await backend.close()


@pytest.mark.parametrize("backend", ["local", pytest.param("docker", marks=pytest.mark.docker)])
def test_nothing_differs(store: Path, backend: str) -> None:
    with SQLStore(store, create=False) as opened:
        episodes = opened.query()
        reports = asyncio.run(_replayed(opened, episodes, backend))
    told = [(r.trajectory_id, r.diverged_at, r.divergences[0].differs) for r in reports if r.diverged_at is not None]
    assert told == [] and all(report.agrees for report in reports)
    assert not any(step.not_compared or step.not_replayed for report in reports for step in report.steps)
    assert Counter(step.likeness for report in reports for step in report.steps).keys() == {"exact"}
    kinds = Counter((episode.agent, episode.status) for episode in episodes)
    assert kinds["expert", "submitted"] and kinds["tools", "submitted"] and len(episodes) > 30

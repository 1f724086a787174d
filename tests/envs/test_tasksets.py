"""Task sets: what is saved is what is loaded; what is made once is not made again."""

import asyncio
import subprocess
import sys
import time

import pytest
from small_package import write

from envs.repos import add_repository
from envs.synthesis import TaskOptions
from envs.tasksets import by_split, taskset
from sandbox.home import home


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path_factory.mktemp("home")))


async def test_a_task_set_is_made_once(tmp_path, backend):
    profile = await add_repository(str(write(tmp_path / "small")), backend=backend)
    options = TaskOptions(bugs=6, per_function=3, heldout_mutation=0.2, heldout_function=0.5)
    made = await taskset(profile, options, backend=backend)
    started = len(backend.started)
    calls = []
    again = await taskset(profile, options, backend=backend, on_progress=lambda *call: calls.append(call))
    assert again == made
    assert len(backend.started) == started
    assert calls == [(6, 6, "6 tasks of small are ready")]
    assert set(by_split(made)) >= {"train", "heldout_function"}
    await taskset(profile, TaskOptions(bugs=6, per_function=3, seed=1), backend=backend)
    assert len(backend.started) > started


async def test_an_interrupted_task_set_leaves_nothing_half_made(tmp_path, backend):
    profile = await add_repository(str(write(tmp_path / "small")), backend=backend)
    backend.has_started.clear()
    making = asyncio.create_task(taskset(profile, TaskOptions(bugs=6), backend=backend))
    await backend.has_started.wait()
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert list((home() / "tasksets").glob("*/sweb.yaml")) == []
    assert await backend.alive() == []


MAKE = """
import asyncio, sys
from envs.repos import load_profile
from envs.synthesis import TaskOptions, judge, staged
from envs.tasksets import taskset
from sandbox.local import LocalBackend

staged._MOST_IN_GROUP = judge._CHUNK = 2  # it is killed in the middle, however fast it is

async def main():
    backend = LocalBackend()
    await taskset(load_profile("small"), TaskOptions(bugs=10, suite=sys.argv[1]), backend=backend)

asyncio.run(main())
"""


@pytest.mark.parametrize("suite", ["full", "near"])
async def test_a_killed_making_goes_on_and_gives_the_same_tasks(tmp_path, backend, monkeypatch, suite):
    made = {}
    for name in ("whole", "killed"):
        place = tmp_path / name
        place.mkdir()
        monkeypatch.setenv("CONTEXTRL_HOME", str(place))
        profile = await add_repository(str(write(place / "small")), backend=backend)
        journaled = killed_midway(suite) if name == "killed" else 0
        seen = []
        options = TaskOptions(bugs=10, suite=suite)
        made[name] = await taskset(profile, options, backend=backend, on_progress=lambda *call, s=seen: s.append(call))
        if journaled:
            assert seen[0][0] >= journaled, "what was known is not tried again"
        assert list((home() / "tasksets").glob(".making-*")) == []
    assert made["whole"] == made["killed"]
    assert len(made["whole"]) == 10


def killed_midway(suite):
    """Make tasks in a process that is killed when three bugs are valid; how many were."""
    making = subprocess.Popen([sys.executable, "-c", MAKE, suite])
    try:
        while (found := valid_in_journal()) < 3:
            assert making.poll() is None
            time.sleep(0.005)
    finally:
        making.kill()
        making.wait()
    assert list((home() / "tasksets").glob("*/sweb.yaml")) == []
    assert valid_in_journal() < 10
    return found


def valid_in_journal():
    lines = [line for path in (home() / "tasksets").glob(".making-*/*.jsonl") for line in path.open()]
    return sum('"reason": ""' in line for line in lines)


async def test_options_out_of_range(tmp_path, backend):
    profile = await add_repository(str(write(tmp_path / "small")), backend=backend)
    with pytest.raises(ValueError, match="must be at least 1"):
        await taskset(profile, TaskOptions(bugs=0), backend=backend)

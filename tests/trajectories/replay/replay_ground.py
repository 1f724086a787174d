"""A small repository with one task, episodes recorded on it, and what goes wrong in them on purpose."""

from __future__ import annotations

import sys
from pathlib import Path

from agents.expert import ScriptedExpert
from envs.patch import make_patch
from envs.swe import SWEEnv
from envs.task import RepoProfile, TaskInstance
from envs.tools import Action
from sandbox.protocol import SandboxBackend
from trajectories.records import Trajectory, Turn
from trajectories.replay.own import OwnStage
from trajectories.replay.replaying import Replay
from trajectories.replay.report import ReplayReport

SOURCE = '''\
"""Lengths."""


def metres(feet):
    return feet * 0.3048


def feet(metres):
    return metres / 0.3048


def both(value):
    return metres(value), feet(value)
'''
BROKEN = SOURCE.replace("metres / 0.3048", "metres * 0.3048")
TESTS = """\
import unittest

from lengths.units import both, feet, metres


class Units(unittest.TestCase):
    def test_metres(self):
        self.assertEqual(metres(0), 0)

    def test_feet(self):
        self.assertAlmostEqual(feet(3.048), 10)

    def test_both(self):
        self.assertEqual(len(both(1)), 2)
"""
FILES = {
    "README.md": "# lengths\n",
    "lengths/__init__.py": "",
    "lengths/units.py": SOURCE,
    "lengths/words.py": "def plural(word):\n    return word + 's'\n",
    "tests/__init__.py": "",
    "tests/test_units.py": TESTS,
}
REPAIR = Action("edit", {"path": "lengths/units.py", "old": "metres * 0.3048", "new": "metres / 0.3048"})
SCRIPT = (
    Action("view", {"path": "lengths/units.py"}),
    Action("search", {"pattern": "0.3048"}),
    Action("run_tests", {}),
    Action("edit", {"path": "lengths/units.py", "old": "not there", "new": ""}),
    REPAIR,
    Action("edit", {"path": "notes.txt", "new": "feet were wrong\n"}),
    Action("run_tests", {}),
    Action("submit", {}),
)
"""Eight turns: two that look, one that fails, two that change files, two that run tests, the submission."""


def write_tree(folder: Path) -> Path:
    """The repository's files."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def profile_of(tree: Path) -> RepoProfile:
    return RepoProfile(
        name="lengths",
        source=str(tree),
        base_commit="1e6" + "0" * 37,
        tree=tree,
        python=Path(sys.executable),
        test_cmd="python -m unittest -v {tests}",
        source_files=("lengths/units.py", "lengths/words.py"),
        test_files=("tests/test_units.py",),
    )


def task_of(profile: RepoProfile) -> TaskInstance:
    prefix = "tests.test_units.Units.test_"
    return TaskInstance(
        instance_id="lengths-1",
        repo="lengths",
        base_commit=profile.base_commit,
        problem_statement="feet(3.048) gives 0.93, expected 10.\n",
        patch=make_patch({"lengths/units.py": BROKEN}, {"lengths/units.py": SOURCE}),
        FAIL_TO_PASS=(prefix + "feet",),
        PASS_TO_PASS=(prefix + "metres", prefix + "both"),
        profile=profile.name,
        setup={"lengths/units.py": BROKEN},
        tests={"tests/test_units.py": TESTS},
        test_targets=("tests/test_units.py",),
        files=("lengths/units.py",),
        functions=("lengths/units.py::feet",),
    )


async def record(
    backend: SandboxBackend, profile: RepoProfile, task: TaskInstance, script=SCRIPT, *, chat=None, **options
) -> Trajectory:
    """The episode that a scripted expert plays."""
    env = SWEEnv([task], {profile.name: profile}, backend, **{"max_turns": 20, **options})

    def play(_):
        return (action for action in script)

    try:
        return (await ScriptedExpert(chat, play).run(env, task)).model_copy(update={"run": "recorded"})
    finally:
        await env.aclose()


async def replayed(
    trajectory: Trajectory, backend: SandboxBackend, profile: RepoProfile, task: TaskInstance, **options
) -> ReplayReport:
    """What replaying it finds."""
    replay = Replay(trajectory, OwnStage(trajectory, task, profile, backend))
    try:
        await replay.open()
        await replay.run(**options)
        return await replay.finish()
    finally:
        await replay.close()


def with_turn(trajectory: Trajectory, number: int, **fields) -> Trajectory:
    """The trajectory with fields of one turn replaced."""
    turns: list[Turn] = list(trajectory.turns)
    turns[number - 1] = turns[number - 1].model_copy(update=fields)
    return trajectory.model_copy(update={"turns": turns})

"""Held-out pairs are found with no more episodes than it takes, the same for the same seed."""

import asyncio

import pytest

from contextrl.heldout import AT_ONCE, PER_FUNCTION, heldout_pairs
from contextrl.world import REAL, Ground, World
from envs.task import TaskInstance
from trajectories.records import ToolCall, Trajectory, Turn, Verdict

LINES = [f"    x{i} = a + {i}" for i in range(8)]


def task(function: int, bug: int) -> TaskInstance:
    return TaskInstance(
        instance_id=f"f{function}-{bug}",
        repo="pkg",
        base_commit="c" * 40,
        problem_statement=f"case {function}-{bug}",
        patch="",
        FAIL_TO_PASS=("t",),
        PASS_TO_PASS=(),
        functions=(f"a.py::f{function}",),
        split="heldout_function",
    )


def world(functions: int, bugs: int = 4) -> World:
    heldout = tuple(task(f, b) for f in range(functions) for b in range(bugs))
    return World((Ground(REAL, 1, 0, (), heldout),), {})


class Reader:
    """A player whose expert sees a function with one line broken, and repairs it."""

    def __init__(self) -> None:
        self.played: list[list[str]] = []

    async def demonstrate(self, script, tasks, **options):
        self.played.append([t.instance_id for t in tasks])
        return [self.episode(t) for t in tasks]

    def episode(self, task: TaskInstance) -> Trajectory:
        name, bug = task.functions[0].partition("::")[2], int(task.instance_id.partition("-")[2])
        right = LINES[bug]
        shown = "\n".join([f"def {name}(a):", *LINES]).replace(right, right.replace("+", "-"))
        calls = [ToolCall(name="view", arguments={"path": "a.py"}), ToolCall(name="edit", arguments={"new": right})]
        return Trajectory(
            instance_id=task.instance_id,
            repo=task.repo,
            base_commit=task.base_commit,
            problem_statement=task.problem_statement,
            turns=[
                Turn(text=f"{call.name} {call.arguments}", tool_call=call, observation=seen)
                for call, seen in zip(calls, [shown, "edited"], strict=True)
            ],
            patch=f"--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-{right.replace('+', '-')}\n+{right}\n",
            answer="\n".join([f"def {name}(a):", *LINES, ""]),
            files=["a.py"],
            functions=list(task.functions),
            verdict=Verdict(resolved=True),
        )


def find(functions: int, count: int, *, seed: int = 0, min_similarity: float = 0.0, progress=None):
    player = Reader()
    found = heldout_pairs(
        player, world(functions), REAL, count, seed=seed, min_similarity=min_similarity, progress=progress
    )
    pairs = asyncio.run(found)
    return [(p.anchor.instance_id, p.confounder.instance_id) for p in pairs], player.played


def test_no_more_is_played_than_it_takes():
    progress = []
    pairs, played = find(40, 30, progress=lambda *now: progress.append(now))
    assert len(pairs) == 30
    assert [len(tasks) for tasks in played] == [4 * AT_ONCE, 4 * 3]
    assert progress == [(PER_FUNCTION * AT_ONCE, 30), (30, 30)]
    assert find(40, 3)[1] == [played[0][: 4 * 2]], "never more functions at a time than pairs are missing"


def test_all_is_played_where_there_are_too_few_pairs():
    pairs, played = find(10, 80)
    assert len(pairs) == PER_FUNCTION * 10
    assert sum(map(len, played)) == 40
    assert find(10, 80, min_similarity=1.0)[0] == []
    assert find(0, 80) == ([], [])


def test_the_seed_decides():
    assert find(40, 30) == find(40, 30)
    assert find(40, 30) != find(40, 30, seed=1)


@pytest.mark.parametrize("count", [0, -1])
def test_nothing_is_played_for_no_pairs(count):
    assert find(40, count) == ([], [])

"""Whether the tasks of a set still are what they say: gold resolves them, and nothing does not.

Invariant: a task is only called right after both runs; what the sandbox does wrong is raised, never told of a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from envs.grading import Grader
from envs.patch import make_patch
from envs.task import RepoProfile, TaskInstance
from envs.testing.runner import Progress, silent, together

NOTHING = make_patch({}, {"CONTEXTRL_NOTHING.txt": "This file repairs nothing.\n"})
"""Instead of an empty patch, which graders refuse without running a test."""


@dataclass(frozen=True)
class Checked:
    """What came of a task; no problem: it is right."""

    instance_id: str
    problem: str = ""


async def check_tasks(
    tasks: Sequence[TaskInstance],
    profile_of: Callable[[TaskInstance], RepoProfile],
    grader: Grader,
    *,
    workers: int = 2,
    on_progress: Progress = silent,
) -> list[Checked]:
    """In the order of the tasks. Raises `SandboxError`, and what `profile_of` raises."""
    found: dict[int, Checked] = {}
    waiting = iter(enumerate(tasks))

    async def work() -> None:
        for index, task in waiting:
            found[index] = Checked(task.instance_id, await _problem(task, profile_of(task), grader))
            wrong = sum(bool(one.problem) for one in found.values())
            on_progress(len(found), len(tasks), f"{wrong} wrong" if wrong else "all right so far")

    on_progress(0, len(tasks), "")
    await together(*(work() for _ in range(min(workers, len(tasks)))))
    return [found[index] for index in range(len(tasks))]


async def _problem(task: TaskInstance, profile: RepoProfile, grader: Grader) -> str:
    gold, nothing = await asyncio.gather(grader.grade(task, profile, task.patch), grader.grade(task, profile, NOTHING))
    if not gold.resolved:
        return f"the gold patch does not resolve it: {gold.reason}"
    if nothing.resolved:
        return "it is resolved without any repair"
    passing = [test for test, status in nothing.fail_to_pass.items() if status == "passed"]
    return f"passes without any repair: {passing[0]}" if passing else ""

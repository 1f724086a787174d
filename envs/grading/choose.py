"""Which grader a task gets.

Invariant: a task with an evaluation script is judged by the official package, any other by our own run of its tests;
nobody else chooses.
"""

from __future__ import annotations

import asyncio

from envs.grading import GRADINGS, GradeReport
from envs.grading.eval_script import EvalScriptGrader, Keep
from envs.grading.sandbox_grader import SandboxGrader
from envs.task import RepoProfile, TaskInstance
from sandbox.protocol import Limits, SandboxBackend


class TaskGrader:
    """Grades every kind of task. Belongs to one event loop; close it before its backend."""

    def __init__(
        self,
        backend: SandboxBackend,
        limits: Limits | None = None,
        *,
        concurrency: int = GRADINGS,
        keep: Keep | None = None,
    ) -> None:
        """`keep` is given the logs of tasks with an evaluation script."""
        self._own = SandboxGrader(backend, limits, concurrency=concurrency)
        self._scripted = EvalScriptGrader(backend, limits, concurrency=concurrency, keep=keep)

    async def grade(self, task: TaskInstance, profile: RepoProfile, patch: str) -> GradeReport:
        """The verdict on a patch. Raises `SandboxError`, and `ValueError` for a task that cannot be graded."""
        chosen = self._scripted if task.eval_script else self._own
        return await chosen.grade(task, profile, patch)

    async def close(self) -> None:
        """Give up the gradings that are under way, and wait until their sandboxes are gone."""
        await asyncio.gather(self._own.close(), self._scripted.close())

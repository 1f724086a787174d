"""The verdict that validation has given already: a gold patch needs no second run to be believed.

Invariant: only what leads to exactly the files of the task's gold patch is answered here; all else is asked of the
grader that was given. It is for scripted experts. A policy's reward always comes from a run of the tests.
"""

from __future__ import annotations

from envs.grading import Grader, GradeReport
from envs.grading.policy import count_patch
from envs.patch import PatchError
from envs.task import RepoProfile, TaskInstance


class ValidatedGrader:
    """Accepts the gold repair of a validated task without opening a sandbox: half of what an expert's episode costs."""

    def __init__(self, other: Grader) -> None:
        self._other = other

    async def grade(self, task: TaskInstance, profile: RepoProfile, patch: str) -> GradeReport:
        """As `TaskGrader.grade`."""
        if _repairs(task, profile, patch):
            return GradeReport(
                True,
                fail_to_pass=dict.fromkeys(task.FAIL_TO_PASS, "passed"),
                pass_to_pass=dict.fromkeys(task.PASS_TO_PASS, "passed"),
            )
        return await self._other.grade(task, profile, patch)


def _repairs(task: TaskInstance, profile: RepoProfile, patch: str) -> bool:
    if task.eval_script:  # an import: nothing here has validated it
        return False
    try:
        return count_patch(task, profile, patch) == count_patch(task, profile, task.patch)
    except PatchError:
        return False

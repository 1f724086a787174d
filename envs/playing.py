"""What an environment tells of the attempt that it plays: where it stands, and what it came to.

Invariant: all of it can be asked at any time. Before the first attempt it is empty; of one that is over it stays until
the next begins.
"""

from __future__ import annotations

from envs.attempt import Attempt, EpisodeError, StepResult
from envs.changes import Changes
from envs.definitions import changed_definitions, touched_functions, touched_sources
from envs.grading import GradeReport
from envs.task import TaskInstance
from envs.tools import Action
from sandbox.protocol import Sandbox


class Playing:
    """One attempt at a time. Who begins one sets `_task` and `_attempt`."""

    _task: TaskInstance | None = None
    _attempt: Attempt | None = None

    async def astep(self, action: Action | str) -> StepResult:
        """Act. What the policy got wrong is told in the observation. Raises `SandboxError`, `EpisodeError`."""
        if self._attempt is None:
            raise EpisodeError("reset first")
        return await self._attempt.act(action)

    async def aclose(self) -> None:
        """Stop the sandbox. Safe to call twice."""
        if self._attempt is not None:
            await self._attempt.session.close()

    @property
    def task(self) -> TaskInstance:
        """The task that is being played."""
        if self._task is None:
            raise EpisodeError("no task yet: reset first")
        return self._task

    @property
    def turns(self) -> int:
        """How many were taken."""
        return self._attempt.turns if self._attempt else 0

    @property
    def report(self) -> GradeReport | None:
        """The grader's verdict, once the episode ended with a submission."""
        return self._attempt.report if self._attempt else None

    @property
    def sandbox(self) -> Sandbox | None:
        """The sandbox of the episode that is being played, for whoever looks on; None before and after."""
        return self._attempt.session.sandbox if self._attempt else None

    def disturbed(self) -> None:
        """Somebody used the sandbox besides the agent: with the next step all of the repository is looked at."""
        if self._attempt is not None:
            self._attempt.session.disturbed()

    async def patch(self) -> str:
        """What the agent changed, relative to what it was given, read from the sandbox; the last such once it is
        over. `answer`, `files`, `functions` and `sources` are those of the last call.
        """
        return await self._attempt.session.patch() if self._attempt else ""

    @property
    def files(self) -> list[str]:
        """Paths of the files that the patch changes."""
        return sorted(self._changes.before)

    @property
    def functions(self) -> list[str]:
        """`path::qualname` of the functions and classes that the patch touches."""
        return touched_functions(self._changes.before, self._changes.after)

    @property
    def sources(self) -> dict[str, str]:
        """Those of them that were there before, as they read at the base commit."""
        return touched_sources(self._changes.before, self._changes.after)

    @property
    def answer(self) -> str:
        """Those of them that are there after the patch, as they read then: the answer A of a context pair."""
        return changed_definitions(self._changes.before, self._changes.after)

    def _so_far(self) -> str:
        """The problem statement, and each action with what it gave to see, as text; empty before the first attempt."""
        if self._task is None:
            return ""
        played = self._attempt.transcript if self._attempt else []
        steps = (f"\n> {action}\n{observation.rstrip()}\n" for action, observation in played)
        return self._task.problem_statement.rstrip() + "\n" + "".join(steps)

    @property
    def _changes(self) -> Changes:
        return self._attempt.session.changes if self._attempt else Changes()

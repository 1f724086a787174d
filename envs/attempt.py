"""One attempt at a task: what each action gives, until the agent submits or its turns are used up.

Invariant: the session is closed when the attempt is over, whatever ended it, and there is one reward, which is decided
once, at submission. After that nothing of the attempt changes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from envs.grading import GradeReport
from envs.session import Session
from envs.toolbox import Observation
from envs.tools import Action, ActionError


class EpisodeError(RuntimeError):
    """The environment was used out of order: a step before the reset or after the end, an unknown instance."""


@dataclass(frozen=True)
class StepResult:
    """What a step gave. `exit_code` is that of the process that the action ran, if it ran one."""

    observation: str
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    exit_code: int | None = None
    cpu_seconds: float | None = field(default=None, compare=False)
    """CPU time of what the action ran in the sandbox; None where it ran nothing, or it was not measured."""
    diff: str | None = None
    """All that differs now from what the agent was given, as a unified diff; None where it is not kept."""
    tree: str = ""
    """Hash of the same, and of what no diff can hold (see `envs.changes`); empty where it is not kept."""

    @property
    def done(self) -> bool:
        """Whether the episode is over."""
        return self.terminated or self.truncated


class Attempt:
    """Plays in a session that was opened for it, and closes it."""

    def __init__(
        self,
        session: Session,
        grade: Callable[[str], Awaitable[GradeReport]],
        *,
        max_turns: int,
        record_diffs: bool,
    ) -> None:
        """`grade`: the verdict on a patch. `record_diffs`: look after each step what differs in the repository."""
        self.session = session
        self._grade = grade
        self._max_turns, self._record_diffs = max_turns, record_diffs
        self.turns = 0
        self.report: GradeReport | None = None
        """The grader's verdict, once the attempt ended with a submission."""
        self.transcript: list[tuple[str, str]] = []
        """Each action as text, and what it gave to see."""

    async def act(self, action: Action | str) -> StepResult:
        """Act. What the policy got wrong is told in the observation. Raises `SandboxError`, `EpisodeError`."""
        if self.session.sandbox is None:
            raise EpisodeError("the episode is over: reset first" if self.transcript else "reset first")
        if not isinstance(action, str | Action):
            raise EpisodeError(f"{action!r} is no action: give an Action, or its JSON as text")
        self.turns += 1
        try:
            result = await self._act(action)
        except BaseException:
            await self.session.close()
            raise
        self.transcript.append((action if isinstance(action, str) else action.to_json(), result.observation))
        return result

    async def _act(self, action: Action | str) -> StepResult:
        try:
            action = Action.from_json(action) if isinstance(action, str) else action
        except ActionError as error:
            return await self._turn_over(Observation(f"error: {error}"))
        if action.name == "submit":
            return await self._submit()
        return await self._turn_over(await self.session.act(action))

    async def _turn_over(self, observation: Observation) -> StepResult:
        truncated = self.turns >= self._max_turns
        if truncated:
            await self.session.patch()
            await self.session.close()
        elif self._record_diffs:
            await self.session.look()
        spent = (observation.exit_code, observation.cpu_seconds)
        return self._recorded(StepResult(observation.text, 0.0, False, truncated, *spent))

    async def _submit(self) -> StepResult:
        patch = await self.session.patch()
        await self.session.close()
        self.report = await self._grade(patch)
        reward = 1.0 if self.report.resolved else 0.0
        return self._recorded(StepResult(self.session.farewell(), reward, terminated=True))

    def _recorded(self, result: StepResult) -> StepResult:
        """With what differed at the last look, since which nothing can have changed."""
        session = self.session
        return replace(result, diff=session.diff, tree=session.changes.tree) if self._record_diffs else result

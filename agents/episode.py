"""Writes an episode down while it is played.

Invariant: a turn is recorded when, and only when, the environment has answered it; the trajectory is complete whatever
ended the episode, and one that died for a reason of ours has no reward.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace

from agents.protocol import Completion
from agents.toolformat import ParseProblem
from envs.swe import StepResult, SWEEnv
from envs.task import TaskInstance
from envs.tools import NO_ACTION, Action
from trajectories.records import Status, ToolCall, Trajectory, Turn, Verdict

NOTHING_SAMPLED = Completion([], [], "stop", 0)


class Episode:
    """One task being played in an environment by an agent."""

    def __init__(self, agent: str, env: SWEEnv, task: TaskInstance, group: str) -> None:
        self.agent, self.env, self.task, self.group = agent, env, task, group
        self.turns: list[Turn] = []
        self.last = StepResult("")
        self.started = time.time()

    @property
    def done(self) -> bool:
        """Whether the environment has ended it."""
        return self.last.terminated or self.last.truncated

    async def reset(self) -> str:
        """Start; the problem statement. Raises `SandboxError`."""
        return await self.env.areset(self.task)

    def take_over(self, turns: list[Turn], last: StepResult) -> None:
        """Go on after these turns, in an environment that has played them and whose last answer was this."""
        self.turns, self.last = list(turns), last

    async def act(
        self,
        action: Action | ParseProblem,
        *,
        text: str,
        prompt_ids: list[int],
        completion: Completion = NOTHING_SAMPLED,
        started: float,
    ) -> str:
        """Take one turn; the observation. `started` is when the turn began (`time.perf_counter`)."""
        if isinstance(action, ParseProblem):
            answer = await self.env.astep(NO_ACTION)
            self.last = replace(answer, observation=f"error: {action.message}")
            call = ToolCall(name="", error=action.message)
        else:
            self.last = await self.env.astep(action)
            call = ToolCall(name=action.name, arguments=action.arguments)
        self.turns.append(
            Turn(
                prompt_ids=prompt_ids,
                completion_ids=completion.token_ids,
                logprobs=completion.logprobs,
                policy_version=completion.version,
                text=text,
                tool_call=call,
                observation=self.last.observation,
                exit_code=self.last.exit_code,
                seconds=time.perf_counter() - started,
                cpu_seconds=self.last.cpu_seconds,
                diff=self.last.diff,
                tree=self.last.tree,
            )
        )
        return self.last.observation

    async def finish(self) -> Trajectory:
        """The record of an episode that ended by itself or that the agent gave up. Raises `SandboxError`."""
        patch = await self.env.patch()
        report = self.env.report
        return self._trajectory("submitted" if self.last.terminated else "truncated").model_copy(
            update={
                "patch": patch,
                "answer": self.env.answer,
                "files": self.env.files,
                "functions": self.env.functions,
                "sources": self.env.sources,
                "verdict": Verdict(**asdict(report)) if report else None,
                "reward": self.last.reward,
            }
        )

    def fail(self, error: Exception) -> Trajectory:
        """The record of an episode that died for a reason of ours."""
        trajectory = self._trajectory("infra_error")
        return trajectory.model_copy(update={"extra": trajectory.extra | {"error": str(error)}})

    def _trajectory(self, status: Status) -> Trajectory:
        return Trajectory(
            group=self.group,
            instance_id=self.task.instance_id,
            repo=self.task.repo,
            base_commit=self.task.base_commit,
            problem_statement=self.task.problem_statement,
            turns=self.turns,
            status=status,
            policy_version=min((turn.policy_version for turn in self.turns), default=0),
            agent=self.agent,
            backend=self.env.backend_name,
            network=self.task.network,
            created_at=self.started,
            seconds=time.time() - self.started,
            extra={"environment": self.env.settings},
        )

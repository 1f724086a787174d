"""Episodes of a run: the policy's engine, its agent and the environments, put together once.

Invariant: every episode is played in a sandbox of its own and graded in another; when `close` has returned no
sandbox of this player is left. An iteration that was interrupted is gone on with, not played over (see `stands`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from agents.engine import TransformersEngine
from agents.expert import Script, ScriptedExpert
from agents.gate import Gate
from agents.policy import Policy
from agents.protocol import Agent, Sampling
from agents.rollout import rollout_groups
from agents.tool_agent import ToolAgent
from contextrl.config import Recipe
from contextrl.occupancy import WaitedEngine, WaitedGrader
from contextrl.world import World
from envs.grading import Grader
from envs.grading.choose import TaskGrader
from envs.grading.validated import ValidatedGrader
from envs.swe import SWEEnv
from envs.task import TaskInstance
from sandbox.protocol import Limits, SandboxBackend
from trajectories.records import Trajectory

if TYPE_CHECKING:
    import torch


class Player:
    """Plays task instances with a policy, or with a script in its place."""

    def __init__(
        self, recipe: Recipe, policy: Policy, world: World, backend: SandboxBackend, *, own_weights: bool = False
    ) -> None:
        """`own_weights`: the engine samples with a copy, as it does where iterations are played ahead."""
        self._recipe, self._world, self._backend = recipe, world, backend
        box = recipe.sandbox
        self._limits = Limits(memory_mb=box.memory_mb, pids=box.pids, cpus=box.cpus, timeout_s=box.timeout_s)
        self._tasks = TaskGrader(backend, self._limits)
        self._grader = WaitedGrader(self._tasks)
        self._chat = policy.chat
        self.engine = TransformersEngine(
            policy.model,
            policy.chat.stop_ids,
            max_context=recipe.rollout.max_context_tokens,
            max_batch=recipe.rollout.concurrency,
            seed=recipe.seed,
            copy_as=policy.model.dtype if own_weights or recipe.rollout.max_staleness else None,
        )
        self._gate = Gate(self.engine)
        self._waited = WaitedEngine(self._gate)
        self._slots = asyncio.Semaphore(recipe.rollout.concurrency)

    @property
    def waited(self) -> tuple[float, float]:
        """How long episodes have waited so far, all together, for the engine and for the grader: seconds."""
        return self._waited.waited, self._grader.waited

    async def play(
        self,
        tasks: Sequence[TaskInstance],
        *,
        group_size: int,
        temperature: float,
        seed: int,
        run: str,
        iteration: int = 0,
        first: int = 0,
        seconds: float | None = None,
        stored: Sequence[Trajectory] = (),
        on_finished: Callable[[Trajectory], None] | None = None,
        on_trajectory: Callable[[Trajectory], None] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Trajectory]:
        """Groups of episodes by the policy. The same seed, run and iteration with the same weights sample the same.

        `stored`: the policy's episodes of this run and iteration from before an interruption. Those that `stands` holds
        for have their places in their groups; only what is missing is played. See `rollout_groups`.
        """
        sampling = Sampling(temperature=temperature, max_new_tokens=self._recipe.rollout.max_new_tokens, seed=seed)
        agent = ToolAgent(self._chat, sampling, played={str(t.extra.get("session")) for t in stored})
        oldest = self.engine.version - self._recipe.rollout.max_staleness
        taken = [t for t in stored if stands(t, oldest, self.engine.version)]
        told: dict[str, Any] = {"on_finished": on_finished, "on_trajectory": on_trajectory, "progress": progress}
        told["seconds"] = seconds
        return await self._roll_out(agent, tasks, group_size, run, iteration, first=first, taken=taken, **told)

    async def demonstrate(
        self,
        script: Script,
        tasks: Sequence[TaskInstance],
        *,
        run: str = "",
        on_trajectory: Callable[[Trajectory], None] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Trajectory]:
        """One episode of each task by a scripted expert, whose gold repairs are not graded again."""
        expert, grader = ScriptedExpert(self._chat, script), ValidatedGrader(self._grader)
        told: dict[str, Any] = {"on_trajectory": on_trajectory, "progress": progress}
        return await self._roll_out(expert, tasks, 1, run, 0, grader=grader, **told)

    async def publish(self, version: int, weights: Mapping[str, torch.Tensor] | None = None) -> None:
        """Sample with the learner's weights as they are now, or with these, from the next turn on."""
        await self._gate.publish(version, partial(self.engine.update_weights, weights=weights))

    async def close(self) -> None:
        """End the engine, and the gradings that are under way."""
        await self._tasks.close()
        self.engine.close()

    async def _roll_out(
        self,
        agent: Agent,
        tasks: Sequence[TaskInstance],
        group_size: int,
        run: str,
        iteration: int,
        *,
        grader: Grader | None = None,
        **more: Any,
    ) -> list[Trajectory]:
        rollout = self._recipe.rollout
        return await rollout_groups(
            tasks,
            lambda task: self._environment(task, grader or self._grader),
            agent,
            self._waited,
            group_size=group_size,
            concurrency=self._slots,
            run=run,
            iteration=iteration,
            retries=rollout.retries,
            **more,
        )

    def _environment(self, task: TaskInstance, grader: Grader) -> SWEEnv:
        return SWEEnv(
            [task],
            self._world.profiles,
            self._backend,
            grader,
            limits=self._limits,
            max_turns=self._recipe.rollout.max_turns,
        )


def stands(trajectory: Trajectory, oldest: int, version: int) -> bool:
    """Whether a stored episode of an interrupted iteration is one of it for a policy of this version.

    It is if it was sampled from this version, or one that is not older than `oldest`, or nothing was sampled at all.
    Version n is what n iterations of the run led to: weights that were lost since the last checkpoint and those that
    were learned again in their place share the number, and are the same where the machine computes the same. The
    importance ratio is taken against the recorded log-probabilities and so accounts for what differs; `mismatch_kl` in
    the metrics shows how far they are apart.

    What does not stand stays in the store as a record and its place is played again. In practice these are episodes
    that failed for a reason of ours: without reward, never mined and not given to the learner, so they count nowhere
    but as failures.
    """
    return trajectory.status != "infra_error" and (
        not trajectory.turns or oldest <= trajectory.policy_version <= version
    )

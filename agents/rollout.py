"""Groups of episodes of the same tasks, many at a time.

Invariant: every environment that is made is closed, however the rollout ends, and `on_trajectory` has seen exactly the
episodes that were played, unless the rollout was cancelled: then those that had finished. What is returned are whole
groups: the episodes that were there already, and those that were played because they were missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from agents.protocol import Agent, Engine
from envs.swe import SWEEnv
from envs.task import TaskInstance
from sandbox.protocol import SandboxError
from trajectories.records import Trajectory

logger = logging.getLogger(__name__)


async def rollout_groups(
    tasks: Sequence[TaskInstance],
    make_env: Callable[[TaskInstance], SWEEnv],
    agent: Agent,
    engine: Engine | None,
    *,
    group_size: int,
    concurrency: int,
    run: str = "",
    iteration: int = 0,
    retries: int = 2,
    taken: Sequence[Trajectory] = (),
    on_trajectory: Callable[[Trajectory], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Trajectory]:
    """Play `group_size` episodes of each task, `concurrency` at a time, each in an environment of its own.

    Returns them in the tasks' order. Those that die for a reason of ours are played again up to `retries` times; what
    fails even then is returned without a reward. `taken` are episodes of this run and iteration that exist already:
    they have their places in their groups, and only what is missing is played. `on_trajectory` is called with each that
    was played as it finishes and `progress(finished, all)` after it. What they, `make_env` or the agent raise ends the
    rollout and is raised.
    """
    slots = asyncio.Semaphore(concurrency)
    groups = [(task, f"{run}/{iteration}/{place}/{task.instance_id}") for place, task in enumerate(tasks)]
    there = {group: [t for t in taken if t.group == group][:group_size] for _, group in groups}
    finished = sum(map(len, there.values()))

    async def play(task: TaskInstance, group: str) -> Trajectory:
        nonlocal finished
        async with slots:
            trajectory = await _play_with_retries(task, make_env, agent, engine, group, retries)
        trajectory = trajectory.model_copy(update={"run": run, "iteration": iteration})
        finished += 1
        if on_trajectory:
            on_trajectory(trajectory)
        if progress:
            progress(finished, len(tasks) * group_size)
        return trajectory

    try:
        async with asyncio.TaskGroup() as episodes:
            playing = {
                group: [episodes.create_task(play(task, group)) for _ in range(group_size - len(there[group]))]
                for task, group in groups
            }
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [t for _, group in groups for t in (*there[group], *(episode.result() for episode in playing[group]))]


async def _play_with_retries(
    task: TaskInstance,
    make_env: Callable[[TaskInstance], SWEEnv],
    agent: Agent,
    engine: Engine | None,
    group: str,
    retries: int,
) -> Trajectory:
    for attempt in range(retries + 1):
        env = make_env(task)
        try:
            trajectory = await agent.run(env, task, engine, group=group)
        finally:
            await _close(env)
        if trajectory.status != "infra_error":
            return trajectory
        logger.warning("%s: attempt %d failed: %s", task.instance_id, attempt + 1, trajectory.extra.get("error"))
    return trajectory


async def _close(env: SWEEnv) -> None:
    """What was played stands, even if its sandbox cannot be stopped: the backend's reaper will find it."""
    try:
        await env.aclose()
    except SandboxError as error:
        logger.warning("a sandbox could not be stopped: %s", error)

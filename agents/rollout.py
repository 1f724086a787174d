"""Groups of episodes of the same tasks, many at a time.

Invariant: every environment that is made is closed, however the rollout ends. `on_finished` has seen exactly the
episodes that were played, each at once; `on_trajectory` sees all of the rollout, those that were there already too, in
the order of tasks and members, whatever order they finish in: what is made of them does not depend on speed.
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
MEMBER = "member"
"""In a trajectory's `extra`: which of its group it is."""
Seat = tuple[str, int]
"""A group and one of its members."""


async def rollout_groups(
    tasks: Sequence[TaskInstance],
    make_env: Callable[[TaskInstance], SWEEnv],
    agent: Agent,
    engine: Engine | None,
    *,
    group_size: int,
    concurrency: int | asyncio.Semaphore,
    seconds: float | None = None,
    run: str = "",
    iteration: int = 0,
    first: int = 0,
    retries: int = 2,
    taken: Sequence[Trajectory] = (),
    on_finished: Callable[[Trajectory], None] | None = None,
    on_trajectory: Callable[[Trajectory], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Trajectory]:
    """Play `group_size` episodes of each task, `concurrency` at a time, each in an environment of its own.

    Returns them in the tasks' order. Those that die for a reason of ours are played again up to `retries` times; what
    fails even then is returned without a reward. `concurrency` may be slots that several rollouts share: the first to
    ask is the first to get one. After `seconds` what has not finished is given up, and its group has fewer members.
    `first`: the number of the first group. `taken` are episodes of this run and iteration that exist already: they have
    their places in their groups, and only what is missing is played. `progress(finished, all)` is told of each. What
    the callbacks, `make_env` or the agent raise ends the rollout and is raised.
    """
    slots = asyncio.Semaphore(concurrency) if isinstance(concurrency, int) else concurrency
    groups = [(task, f"{run}/{iteration}/{first + place}/{task.instance_id}") for place, task in enumerate(tasks)]
    seats = [(group, member) for _, group in groups for member in range(group_size)]
    done = _seated(taken, seats)
    waiting = iter(seats)
    next_seat = next(waiting, None)

    told = set[str]()

    def tell() -> None:
        nonlocal next_seat
        while next_seat in done:
            trajectory, next_seat = done[next_seat], next(waiting, None)
            told.add(trajectory.id)
            if on_trajectory:
                on_trajectory(trajectory)

    async def play(task: TaskInstance, seat: Seat) -> None:
        async with slots:
            trajectory = await _play_with_retries(task, make_env, agent, engine, seat[0], retries)
        placed = {"run": run, "iteration": iteration, "extra": trajectory.extra | {MEMBER: seat[1]}}
        done[seat] = trajectory.model_copy(update=placed)
        if on_finished:
            on_finished(done[seat])
        tell()
        if progress:
            progress(len(done), len(seats))

    tell()
    of_group = {group: task for task, group in groups}
    try:
        async with asyncio.timeout(seconds) as budget, asyncio.TaskGroup() as episodes:
            for seat in seats:
                if seat not in done:
                    episodes.create_task(play(of_group[seat[0]], seat))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    except TimeoutError:
        if not budget.expired():
            raise
    for seat in seats:  # those behind one that was given up
        if on_trajectory and seat in done and done[seat].id not in told:
            on_trajectory(done[seat])
    return [done[seat] for seat in seats if seat in done]


def _seated(taken: Sequence[Trajectory], seats: Sequence[Seat]) -> dict[Seat | None, Trajectory]:
    """Each in its own seat; where that is taken or not known, in the first of its group that is free."""
    done: dict[Seat | None, Trajectory] = {}
    for trajectory in sorted(taken, key=lambda t: MEMBER not in t.extra):
        free = [seat for seat in seats if seat[0] == trajectory.group and seat not in done]
        own = (seat for seat in free if seat[1] == trajectory.extra.get(MEMBER))
        seat = next(own, free[0] if free else None)
        if seat is not None:
            done[seat] = trajectory
    return done


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

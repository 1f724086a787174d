"""What playing ahead saves where some episodes take far longer than others, and what failing sandboxes cost.

Run it: python -m benchmarks.stragglers [--iterations 12] [--rounds 3] [--json out.json]. All that a run does with its
episodes is real (`agents.rollout`, `contextrl.overlap`); an episode only sleeps, as long as a log-normal draw says
(some ten times as long as the median), and so does the learner. The same draws are played with nothing ahead, with one
iteration ahead, and with one ahead and a time budget; they take turns. Then one episode in twenty dies for a reason of
ours at each attempt: how many groups lose a member?
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import time
from pathlib import Path
from statistics import median
from typing import Any

from agents.rollout import rollout_groups
from contextrl.overlap import overlap
from envs.task import TaskInstance
from trajectories.records import Trajectory

GROUPS, MEMBERS, SLOTS = 8, 8, 32
MEDIAN_S, SPREAD, LONGEST_S = 0.05, 1.0, 0.8
LEARNING_S = 0.25
"""As a rollout without stragglers takes: 64 episodes of 80 ms on average in 32 slots are 0.16 s."""
BUDGET_S = 0.45
WAYS: dict[str, dict[str, Any]] = {
    "nothing ahead": {"ahead": 0},
    "one ahead": {"ahead": 1},
    "one ahead, with a budget": {"ahead": 1, "seconds": BUDGET_S},
}


class Environment:
    """Nothing but its end."""

    async def aclose(self) -> None:
        return


class Sleeper:
    """An agent whose episodes take as long as they are drawn to."""

    name = "tools"

    def __init__(self, seed: int, failing: float = 0.0) -> None:
        self._seed, self._failing = seed, failing
        self._attempts: dict[str, int] = {}

    async def run(self, env: Any, task: TaskInstance, engine: Any, *, group: str = "") -> Trajectory:
        number = self._attempts[group] = self._attempts.get(group, 0) + 1
        rng = random.Random(f"{self._seed}/{group}/{number}")
        fails = rng.random() < self._failing
        await asyncio.sleep(min(LONGEST_S, MEDIAN_S * rng.lognormvariate(0.0, SPREAD)) * (rng.random() if fails else 1))
        return Trajectory(
            instance_id=task.instance_id,
            repo=task.repo,
            base_commit="",
            problem_statement="",
            group=group,
            status="infra_error" if fails else "submitted",
            reward=None if fails else float(rng.random() < 0.5),
        )


def tasks(iteration: int) -> list[TaskInstance]:
    return [
        TaskInstance(
            instance_id=f"t{iteration}.{i}", repo="r", base_commit="c", problem_statement="", patch="",
            FAIL_TO_PASS=("a",), PASS_TO_PASS=("b",),
        )
        for i in range(GROUPS)
    ]  # fmt: skip


async def trained(iterations: int, seed: int, ahead: int, seconds: float | None = None, failing: float = 0.0) -> Any:
    """Seconds, episodes learned from, groups, groups that lost a member, episodes that were played again."""
    agent, slots, counts = Sleeper(seed, failing), asyncio.Semaphore(SLOTS), dict.fromkeys(("episodes", "lost"), 0)

    async def play(iteration: int) -> list[Trajectory]:
        return await rollout_groups(
            tasks(iteration),
            lambda task: Environment(),  # type: ignore[arg-type, return-value]
            agent,
            None,
            group_size=MEMBERS,
            concurrency=slots,
            seconds=seconds,
            run="r",
            iteration=iteration,
        )

    async def learn(iteration: int, played: list[Trajectory]) -> bool:
        graded = [t for t in played if t.reward is not None]
        members = {t.group: 0 for t in played} | {}
        for t in graded:
            members[t.group] += 1
        counts["episodes"] += len(graded)
        counts["lost"] += sum(n < MEMBERS for n in members.values()) + GROUPS - len(members)
        await asyncio.sleep(LEARNING_S)
        return True

    started = time.perf_counter()
    await overlap(0, iterations, play, learn, ahead=ahead)
    return {"seconds": time.perf_counter() - started, **counts, "groups": iterations * GROUPS}


async def measured(iterations: int, rounds: int) -> dict[str, Any]:
    found: dict[str, list[Any]] = {name: [] for name in WAYS}
    for seed in range(rounds):
        for name, how in WAYS.items():
            found[name].append(await trained(iterations, seed, **how))
    rows = []
    for name, runs in found.items():
        faster = median(a["seconds"] / b["seconds"] for a, b in zip(found["nothing ahead"], runs, strict=True))
        rate = median(one["episodes"] / one["seconds"] for one in runs)
        rows.append(
            {"way": name, "times_as_fast": faster, "episodes_per_s": rate, "lost": sum(r["lost"] for r in runs)}
        )
        print(
            "{way:26} {times_as_fast:5.2f} times as fast, {episodes_per_s:5.0f} episodes/s".format(**rows[-1]),
            flush=True,
        )
    failing = [await trained(iterations, seed, 1, failing=0.05) for seed in range(rounds)]
    lost, groups = sum(one["lost"] for one in failing), sum(one["groups"] for one in failing)
    print(f"5% of attempts fail: {lost} of {groups} groups lost a member ({lost / groups:.1%})")
    return {"ways": rows, "failing": {"lost": lost, "groups": groups}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is taken, with other draws")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    logging.disable(logging.WARNING)  # of each failed attempt
    result = asyncio.run(measured(given.iterations, given.rounds))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

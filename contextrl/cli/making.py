"""The work of `contextrl tasks make`: the making, and what is said of it at the end.

Invariant: every number of the summary comes from the task set and from this making's clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from contextrl.cli import show
from contextrl.progress import open_progress
from envs.synthesis.options import TaskOptions
from envs.task import RepoProfile, TaskInstance
from envs.tasksets import save_taskset, taskset
from envs.tasksets.cache import taskset_folder
from envs.tasksets.reader import how_made
from sandbox import open_backend


def make_tasks(
    profile: RepoProfile, options: TaskOptions, backend: str, out: Path | None
) -> tuple[list[TaskInstance], Path, float]:
    """The tasks, the folder that they are in, and how many were made in a minute: 0 where none had to be made.

    Raises what `taskset` raises, and `TaskSetError` for an `out` that holds something else.
    """
    first: list[int] = []

    async def run(on_progress: show.Update) -> list[TaskInstance]:
        def watched(done: int, total: int, text: str) -> None:
            first.append(done)
            on_progress(done, total, text)

        sandboxes = await open_backend(backend)
        try:
            return await taskset(profile, options, backend=sandboxes, on_progress=watched)
        finally:
            await sandboxes.close()

    began = time.monotonic()
    with open_progress() as progress:
        progress.stage(f"Making tasks from {profile.name}")
        made = asyncio.run(run(progress.update))
    minutes = (time.monotonic() - began) / 60
    folder = taskset_folder(profile, options)
    if out is not None:
        save_taskset(made, out, how_made(folder), profiles=[profile])
        folder = out
    return made, folder, (len(made) - min(first[0], len(made))) / minutes


def summary(tasks: list[TaskInstance], folder: Path, per_minute: float) -> Iterator[tuple[str, object]]:
    """Names and what they are, one a line."""
    about = how_made(folder)
    funnel: dict[str, int] = about.get("funnel", {})
    tried = sum(funnel.values())
    yield "tasks", f"{len(tasks)} in {folder}"
    if tried:
        yield (
            "yield",
            f"{funnel.get('valid', 0)} of {tried} candidates are valid ({funnel.get('valid', 0) / tried:.0%})",
        )
    rejected = [f"{count} {reason}" for reason, count in funnel.items() if reason != "valid"]
    yield "rejected", ", ".join(rejected) or "none"
    if per_minute:
        yield "rate", f"{per_minute:.1f} bugs a minute"
    if suite := about.get("suite"):
        runs = about["cpu_seconds"] / max(suite["cpu_seconds"], 1e-9) / max(tried, 1)
        yield "cost", f"{runs:.2f} runs of all {suite['tests']} tests for each candidate"
    if asked := about.get("model"):
        yield "model", _asked(**asked)
    functions = {name for task in tasks for name in task.functions}
    yield "functions", f"{len(functions)}, {len(functions_with_several(tasks))} of them with several bugs"
    yield "hidden calls", f"{sum(bool(task.hidden) for task in tasks)} of {len(tasks)} tasks have some"
    flaky = {*about.get("flaky", ()), *(test for task in tasks for test in task.flaky)}
    yield "flaky tests", f"{len(flaky)} left out" + (f": {', '.join(sorted(flaky)[:3])}" if flaky else "")


def _asked(name: str, calls: int, failures: int, input_tokens: int, output_tokens: int, cost: float) -> str:
    """What a language model was asked, in one line."""
    tokens = f"{input_tokens} tokens in, {output_tokens} out"
    return f"{name}: {calls} calls ({failures} failed), {tokens}, cost {cost:.4f}"


def functions_with_several(tasks: list[TaskInstance]) -> set[str]:
    """Functions that have two bugs or more: what context pairs are mined from."""
    names = [name for task in tasks for name in task.functions]
    return {name for name in names if names.count(name) > 1}

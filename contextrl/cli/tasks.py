"""`contextrl tasks`: the task instances made from repositories."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contextrl.cli import show

if TYPE_CHECKING:
    from envs.task import TaskInstance

tasks = typer.Typer(no_args_is_help=True, help="Task instances: make them, list them, read one.")


class Suite(StrEnum):
    """Which tests validate a bug."""

    full = "full"
    near = "near"


@tasks.command("make")
def make(
    repo: Annotated[str, typer.Argument(help="A repository that is ready: see `contextrl repo ls`.")],
    bugs: Annotated[int, typer.Option(min=1, help="Tasks to make; fewer where there are no more.")] = 200,
    per_function: Annotated[int, typer.Option(min=1, help="Different bugs of one function.")] = 4,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    suite: Annotated[
        Suite, typer.Option(help="full: all tests run once for each bug. near: only test classes near its function.")
    ] = Suite.full,
    out: Annotated[Path | None, typer.Option(help="Also write the task set into this folder.")] = None,
    backend: Annotated[str, typer.Option(help="auto, docker or local.")] = "auto",
) -> None:
    """Make task instances from a repository: bugs, each validated by running its tests.

    An interrupted making goes on where it was: give the same command again.
    """
    from contextrl.cli.making import make_tasks, summary
    from envs.repos import load_profile
    from envs.synthesis.tasks import TaskOptions

    profile = load_profile(repo)
    options = TaskOptions(bugs=bugs, per_function=per_function, seed=seed, suite=suite.value)
    show.facts(summary(*make_tasks(profile, options, backend, out)))


@tasks.command("ls")
def ls(
    taskset: Annotated[str | None, typer.Argument(help="A task set; without it, the task sets are listed.")] = None,
    split: Annotated[str | None, typer.Option(help="train, heldout_mutation or heldout_function.")] = None,
) -> None:
    """List the task sets, or the task instances of one."""
    if taskset is None:
        sets = [(f.name, *_about(f)) for f in folders()]
        show.table(
            ("task set", "tasks", "splits"), sets, "No task set yet; make one: `contextrl tasks make REPOSITORY`."
        )
        return
    found = [t for t in _load(taskset) if split in (None, t.split)]
    instances = [(t.instance_id, t.kind, t.split, ", ".join(t.functions), len(t.FAIL_TO_PASS)) for t in found]
    columns = ("task instance", "kind", "split", "function", "FAIL_TO_PASS")
    show.table(columns, instances, f"No such task in {taskset}.")


@tasks.command("show")
def show_task(
    instance_id: Annotated[str, typer.Argument(help="Its id.")],
    gold: Annotated[bool, typer.Option("--gold", help="Also show the gold patch.")] = False,
) -> None:
    """Show one task instance."""
    task = next((t for folder in folders() for t in _load(folder.name) if t.instance_id == instance_id), None)
    if task is None:
        raise ValueError(f"there is no task instance {instance_id!r}; `contextrl tasks ls TASKSET` lists them")
    show.heading(f"{task.instance_id}  ({task.repo} at {task.base_commit[:12]}, {task.split or 'no split'})")
    show.block(task.problem_statement)
    for title, tests in (("FAIL_TO_PASS", task.FAIL_TO_PASS), ("PASS_TO_PASS", task.PASS_TO_PASS)):
        show.heading(f"{title}: {len(tests)}")
        show.block("\n".join(tests[:10]) + ("\n..." if len(tests) > 10 else ""))
    if gold:
        show.heading("gold patch")
        show.diff(task.patch)


def folders() -> list[Path]:
    """The task sets in the home folder, the latest first."""
    from sandbox.home import home

    found = (home() / "tasksets").glob("*/sweb.yaml")
    return [path.parent for path in sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)]


def _about(folder: Path) -> Iterator[str]:
    from envs.tasksets.folder import about

    ours = about(folder).get("contextrl", {})
    yield str(ours.get("tasks", "?"))
    yield ", ".join(f"{count} {split}" for split, count in ours.get("splits", {}).items())


def _load(name: str) -> list[TaskInstance]:
    from envs.tasksets import load_taskset

    folder = next((f for f in folders() if f.name == name), Path(name))
    return load_taskset(folder)

"""`contextrl tasks`: the task instances made from repositories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contextrl.cli import make, show, task_sets

if TYPE_CHECKING:
    from envs.task import TaskInstance

tasks = typer.Typer(no_args_is_help=True, help="Task instances: make or import them, list, read, validate, export.")
tasks.command("make")(make.make)
tasks.command("import")(task_sets.import_tasks)
tasks.command("validate")(task_sets.validate)
tasks.command("export")(task_sets.export)


SPLITS = ("train", "heldout_mutation", "heldout_function")


@tasks.command("ls")
def ls(
    taskset: Annotated[str | None, typer.Argument(help="A task set; without it, the task sets are listed.")] = None,
    split: Annotated[str | None, typer.Option(help="train, heldout_mutation or heldout_function.")] = None,
) -> None:
    """List the task sets, or the task instances of one."""
    from envs.tasksets.registry import entry_point_names, find_taskset

    if taskset is None:
        sets = [(folder.name, *_about(folder)) for folder in folders()]
        sets += [(name, "", "of an installed package", "") for name in entry_point_names()]
        empty = "No task set yet: `contextrl tasks make REPOSITORY`, or `contextrl tasks import`."
        show.table(("task set", "tasks", "splits", "repositories"), sets, empty)
        return
    if split not in (None, *SPLITS):
        raise ValueError(f"there is no split {split!r}: give one of {', '.join(SPLITS)}")
    found = [t for t in find_taskset(taskset) if split in (None, t.split)]
    instances = [
        (t.instance_id, t.kind, t.split, ", ".join(t.functions or t.files), len(t.FAIL_TO_PASS), len(t.hidden))
        for t in found
    ]
    columns = ("task instance", "kind", "split", "function", "FAIL_TO_PASS", "hidden")
    show.table(columns, instances, f"No such task in {taskset}.")


@tasks.command("show")
def show_task(
    instance_id: Annotated[str, typer.Argument(help="Its id.")],
    gold: Annotated[bool, typer.Option("--gold", help="Also show the gold patch.")] = False,
    taskset: Annotated[str | None, typer.Option("--tasks", help="Its task set; else all here are searched.")] = None,
) -> None:
    """Show one task instance."""
    from envs.tasksets.registry import find_taskset

    task = next((t for t in find_taskset(taskset) if t.instance_id == instance_id), None) if taskset else None
    task = task or (None if taskset else _anywhere(instance_id))
    if task is None:
        raise ValueError(f"there is no task instance {instance_id!r}; `contextrl tasks ls TASKSET` lists them")
    show.heading(f"{task.instance_id}  ({task.repo} at {task.base_commit[:12]}, {task.split or 'no split'})")
    show.block(task.problem_statement)
    show.heading("about")
    show.facts(_facts(task))
    for title, tests in (("FAIL_TO_PASS", task.FAIL_TO_PASS), ("PASS_TO_PASS", task.PASS_TO_PASS)):
        show.heading(f"{title}: {len(tests)}")
        show.block("\n".join(tests[:10]) + ("\n..." if len(tests) > 10 else ""))
    if gold:
        show.heading("gold patch")
        show.diff(task.patch)


def _anywhere(instance_id: str) -> TaskInstance | None:
    """The task of that id in the home folder: only sets that have it are read."""
    from envs.tasksets import load_taskset

    having = next((f for f in folders() if (f / "tasks" / instance_id / "task.yaml").is_file()), None)
    return next((t for t in load_taskset(having) if t.instance_id == instance_id), None) if having else None


def _facts(task: TaskInstance) -> Iterator[tuple[str, object]]:
    """What there is to say of a task beside its tests."""
    yield "kind", task.kind or "-"
    yield "in", ", ".join(task.functions or task.files) or "-"
    if task.difficulty is not None:
        far = "" if task.difficulty.distance is None else f", {task.difficulty.distance} calls from a failing test"
        yield "difficulty", f"{task.difficulty.lines} lines, {task.difficulty.tests_broken} tests broken{far}"
    yield "hidden calls", len(task.hidden)
    yield "flaky tests", ", ".join(task.flaky) or "none"
    yield "network", "open" if task.network else "closed"
    if task.image:
        yield "image", task.image
    yield from (("repaired", repair) for repair in task.repairs)


def folders() -> list[Path]:
    """The task sets in the home folder, the latest first."""
    from sandbox.home import home

    found = (home() / "tasksets").glob("*/sweb.yaml")
    return [path.parent for path in sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)]


def _about(folder: Path) -> tuple[str, str, str]:
    from envs.tasksets import TaskSetError
    from envs.tasksets.reader import about

    try:
        ours = about(folder).get("contextrl", {})
    except TaskSetError as error:  # the others are listed all the same
        return "?", str(error), ""
    splits = ", ".join(f"{count} {split}" for split, count in ours.get("splits", {}).items())
    return str(ours.get("tasks", "?")), splits, ", ".join(str(r.get("name", "?")) for r in ours.get("repositories", ()))

"""`contextrl tasks import|validate|export`: whole task sets, from elsewhere, checked, to elsewhere."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contextrl.cli import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envs.task import TaskInstance
    from envs.tasksets.check import Checked


class Kind(StrEnum):
    """Whose rows they are."""

    SWE_BENCH = "swe-bench"
    SWE_GYM = "swe-gym"
    SWE_SMITH = "swe-smith"
    SWE_REBENCH = "swe-rebench"


class Format(StrEnum):
    """What is written."""

    FOLDER = "folder"
    JSONL = "jsonl"
    PARQUET = "parquet"


def import_tasks(
    kind: Annotated[Kind, typer.Argument(help="Whose rows they are.")],
    source: Annotated[str, typer.Argument(help="A .json, .jsonl or .parquet file, or OWNER/NAME on the hub.")],
    name: Annotated[str | None, typer.Option(help="Of the new task set; from the source by default.")] = None,
    split: Annotated[str | None, typer.Option(help="Of a data set on the hub.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that cannot be tasks.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="A task set of that name gives way.")] = False,
) -> None:
    """Import a data set of SWE-bench, SWE-Gym, SWE-smith or SWE-rebench as a task set."""
    from envs.tasksets import TaskSetError, save_taskset
    from envs.tasksets.importers import import_rows, rows_of
    from sandbox.home import home

    name = name or Path(source).name.removesuffix(Path(source).suffix if Path(source).is_file() else "")
    if "/" in name or name.startswith(".") or not name:
        raise TaskSetError(f"{name!r} cannot name a task set: give another with --name")
    folder = home() / "tasksets" / name
    if folder.exists() and not replace:
        raise TaskSetError(f"there is a task set {name} already: give another --name, or --replace it")
    imported = import_rows(kind.value, rows_of(source, split, limit), skip_bad=skip_bad)
    for problem in imported.bad:
        typer.secho(f"left out: {show.plain(problem)}", err=True, fg="yellow")
    if not imported.tasks:
        raise TaskSetError(f"no row of {source} is a task in Python: nothing is imported")
    made = {"from": kind.value, "source": Path(source).name, "split": split or "", "left_out": len(imported.bad)}
    save_taskset(imported.tasks, folder, made)
    others = f", {imported.other_languages} in other languages skipped" if imported.other_languages else ""
    typer.echo(f"{name}: {len(imported.tasks)} tasks, {imported.repaired} of them repaired{others}")
    if imported.repaired:
        typer.echo(f"contextrl tasks show ID says what was repaired; contextrl tasks ls {name} lists the tasks")


def export(
    taskset: Annotated[str, typer.Argument(help="A task set: a name from `contextrl tasks ls`, a folder, or a file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder or file to write.")],
    format: Annotated[Format, typer.Option(help="folder: SWE-bench 5's layout; rows otherwise.")] = Format.FOLDER,
    replace: Annotated[bool, typer.Option("--replace", help="What is there gives way.")] = False,
) -> None:
    """Write a task set for another machine or another tool."""
    from envs.tasksets import TaskSetError, save_taskset
    from envs.tasksets.files import write_rows
    from envs.tasksets.reader import how_made
    from envs.tasksets.registry import find_taskset, taskset_folder

    if format is not Format.FOLDER and output.is_dir():
        raise TaskSetError(f"{output} is a folder: give the file to write, such as {output / taskset}.{format.value}")
    if output.exists() and not replace:
        raise TaskSetError(f"{output} is there already: give another --output, or --replace it")
    tasks, folder = find_taskset(taskset), taskset_folder(taskset)
    if format is Format.FOLDER:
        save_taskset(tasks, output, how_made(folder) if folder else None, sources=True)
    elif output.suffix != f".{format.value}":  # it is how a set is read again; and nobody else's file is overwritten
        raise TaskSetError(f"let --output end with .{format.value}, not {output.name!r}")
    else:
        write_rows(tasks, output, parquet=format is Format.PARQUET)
    typer.echo(f"{len(tasks)} tasks: {output}")


def validate(
    taskset: Annotated[str, typer.Argument(help="A task set: a name from `contextrl tasks ls`, a folder, or a file.")],
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many tasks.")] = None,
    backend: Annotated[str, typer.Option(help="auto, docker or local.")] = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Tasks at a time.")] = 2,
) -> None:
    """Grade every task twice: its gold patch must resolve it, a patch that repairs nothing must not."""
    from contextrl.progress import open_progress
    from envs.tasksets.registry import find_taskset

    tasks = find_taskset(taskset)[:limit]
    if not tasks:
        raise ValueError(f"the task set {taskset} has no task: there is nothing to validate")
    with open_progress() as progress:
        progress.stage(f"Validating {taskset}")
        checked = asyncio.run(_check(tasks, backend, workers, progress.update))
    wrong = [(one.instance_id, one.problem) for one in checked if one.problem]
    if wrong:
        show.table(("task instance", "what is wrong"), wrong, "")
    typer.echo(f"{len(tasks) - len(wrong)} of {len(tasks)} tasks are right")
    if wrong:
        raise typer.Exit(1)


async def _check(tasks: Sequence[TaskInstance], backend: str, workers: int, on_progress: show.Update) -> list[Checked]:
    from envs.grading.choose import TaskGrader
    from envs.published import published_profile
    from envs.repos import load_profile
    from envs.tasksets.check import check_tasks
    from sandbox import open_backend

    profiles = {name: load_profile(name) for name in {task.profile for task in tasks} - {""}}
    sandboxes = await open_backend(backend)
    try:
        grader = TaskGrader(sandboxes, concurrency=workers)
        try:
            return await check_tasks(
                tasks,
                lambda task: profiles[task.profile] if task.profile else published_profile(task),
                grader,
                workers=workers,
                on_progress=on_progress,
            )
        finally:
            await grader.close()
    finally:
        await sandboxes.close()

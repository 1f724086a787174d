"""`contextrl grade`: predictions in, a report out."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contextrl.cli import show

if TYPE_CHECKING:
    from contextrl.graded import Result, Results
    from contextrl.predictions import Predictions
    from envs.task import RepoProfile, TaskInstance


def grade(
    predictions: Annotated[str, typer.Argument(help="SWE-bench predictions, .json or .jsonl, or the word gold.")],
    tasks: Annotated[str, typer.Option(help="The task set: a name from `contextrl tasks ls`, a folder, or a file.")],
    out: Annotated[Path, typer.Option(help="Where the report goes; each result lies beside it.")] = Path("report.json"),
    workers: Annotated[int, typer.Option(min=1, help="Patches graded at a time.")] = 2,
    backend: Annotated[str, typer.Option(help="auto, docker or local.")] = "auto",
    logs: Annotated[Path | None, typer.Option(help="Keep test logs of SWE-bench tasks in this folder.")] = None,
) -> None:
    """Grade predictions. What was interrupted goes on with the same command."""
    from contextrl.graded import Results, summary
    from contextrl.predictions import read_predictions
    from contextrl.progress import open_progress
    from envs.tasksets.registry import find_taskset

    found = {task.instance_id: task for task in find_taskset(tasks)}
    asked = read_predictions(predictions, list(found.values()))
    wanted = [found[name] for name in asked.known]
    profiles = profiles_of(wanted)
    _refuse_another_file(out)
    results = Results(out.with_suffix(".instances.jsonl"))
    with contextlib.closing(results), open_progress() as progress:
        progress.stage(f"Grading {len(wanted)} predictions")
        graded = asyncio.run(_grade(backend, workers, found, profiles, asked, results, logs, progress.update))
    report = summary(found, asked, graded)
    out.write_text(json.dumps(report, indent=4) + "\n", encoding="utf-8")
    _tell(asked, graded, out)
    raise typer.Exit(1 if report["error_ids"] else 0)


async def _grade(
    backend: str,
    workers: int,
    tasks: dict[str, TaskInstance],
    profiles: dict[str, RepoProfile],
    asked: Predictions,
    results: Results,
    logs: Path | None,
    on_progress: show.Update,
) -> list[Result]:
    from contextrl.graded import grade_all
    from envs.grading.choose import TaskGrader
    from sandbox import open_backend

    sandboxes = await open_backend(backend)
    grader = TaskGrader(sandboxes, concurrency=workers, keep=None if logs is None else kept_in(logs, asked))
    try:
        needs_image = next((name for name in profiles if profiles[name].image), "")
        if needs_image and sandboxes.name == "local":
            raise ValueError(f"task {needs_image} lies in a published image, which needs Docker: --backend docker")
        return await grade_all(tasks, profiles, asked, grader, results, workers=workers, on_progress=on_progress)
    finally:
        await grader.close()
        await sandboxes.close()


def kept_in(folder: Path, asked: Predictions) -> Callable[[TaskInstance, str, str], None]:
    """Keeps logs where the official harness has them: `<model>/<instance id>/{test_output.txt,patch.diff}`."""

    def keep(task: TaskInstance, patch: str, log: str) -> None:
        model = asked.known[task.instance_id].model.replace("/", "__").lstrip(".") or "None"
        place = folder / model / task.instance_id
        place.mkdir(parents=True, exist_ok=True)
        (place / "test_output.txt").write_text(log, encoding="utf-8", errors="backslashreplace")
        (place / "patch.diff").write_text(patch, encoding="utf-8", errors="backslashreplace")

    return keep


def profiles_of(tasks: Sequence[TaskInstance]) -> dict[str, RepoProfile]:
    """Instance id -> where its sandbox comes from. Raises `ValueError` for what is not here."""
    from envs.grading.swebench_verdict import ensure_installed
    from envs.published import published_profile
    from envs.repos import load_profile

    if any(task.eval_script for task in tasks):
        ensure_installed()
    loaded = {name: load_profile(name) for name in {task.profile for task in tasks} if name}
    return {t.instance_id: loaded[t.profile] if t.profile else published_profile(t) for t in tasks}


def _refuse_another_file(out: Path) -> None:
    """A report of before is written over, and nothing else."""
    if out.suffix != ".json":
        raise ValueError(f"the report is JSON: let --out end with .json, not {out.name!r}")
    if out.exists():
        try:
            ours = "schema_version" in json.loads(out.read_text(encoding="utf-8"))
        except (ValueError, TypeError):
            ours = False
        if not ours:
            raise ValueError(f"{out} is there and is no report: choose another --out")


def _tell(asked: Predictions, results: Sequence[Result], out: Path) -> None:
    rows = [
        (r.instance_id, "tampered" if r.tampered else r.outcome, f"{r.seconds:.1f}" if r.seconds else "-", r.reason)
        for r in results
    ]
    show.table(("task instance", "verdict", "seconds", "reason"), rows, "No predictions.")
    for note in asked.notes:
        typer.secho(show.plain(note), fg="yellow", err=True)
    resolved = sum(r.outcome == "resolved" for r in results)
    typer.echo(f"{resolved} of {len(results)} resolved. Report: {out}")

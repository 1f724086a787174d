"""`contextrl train` and `contextrl report`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe, e.g. recipes/quickstart.yaml.")] = "",
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Override a key, e.g. rollout.group_size=4 backend=docker."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, print the resolved recipe, and stop.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over instead of going on.")] = False,
    resume: Annotated[str, typer.Option(metavar="RUN", help="Go on with a run, by its name or folder.")] = "",
    fork: Annotated[str, typer.Option(metavar="RUN", help="Begin a run of another name=... where one stands.")] = "",
    step: Annotated[
        int | None, typer.Option("--from", metavar="STEP", help="Of --fork: the iteration of its checkpoint.")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder of the run folders, for --resume and --fork.")] = Path("runs"),
) -> None:
    """Run a recipe: from a repository to a trained policy and a report.

    A run that was interrupted goes on from its last checkpoint.
    """
    from contextrl.asked import asked_for
    from contextrl.preflight import check, check_space
    from contextrl.recipe_file import dump_recipe

    asked = asked_for(recipe, overrides or (), resume=resume, fork=fork, step=step, fresh=fresh, runs=runs)
    resolved = asked.recipe
    notes = check(resolved)
    if dry_run:
        typer.echo(dump_recipe(resolved), nl=False)
    for note in notes if os.environ.get("RANK", "0") == "0" else ():
        typer.secho(f"note: {note}", err=True, fg="yellow")
    if dry_run:
        return
    check_space(resolved)
    from rich.console import Console

    from contextrl.loop import train as run
    from contextrl.progress import Silent, open_progress
    from contextrl.ranks import leads
    from contextrl.report import read_report
    from contextrl.summary import summary_table

    if asked.source and leads():
        from contextrl.branching import branch

        branch(asked.source, step, resolved)
    if not leads():  # another process of torchrun, which only learns along
        run(resolved, progress=Silent(), resume=not fresh)
        return
    with open_progress() as progress:
        run_dir = run(resolved, progress=progress, resume=not fresh)
    Console().print(summary_table(read_report(run_dir), run_dir, recipe or f"--resume {resolved.name}"))


def report(
    run: Annotated[str, typer.Argument(help="A run's name or folder.")],
    runs: Annotated[Path, typer.Option(help="Folder of the run folders.")] = Path("runs"),
) -> None:
    """Make a run's report.html again and print its table."""
    from rich.console import Console

    from contextrl.report import read_report, write_report
    from contextrl.summary import summary_table

    run_dir = Path(run) if Path(run).is_dir() else runs / run
    found = read_report(run_dir)
    write_report(run_dir, found)
    Console().print(summary_table(found, run_dir))

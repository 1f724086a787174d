"""`contextrl traj`: what happened."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contextrl.cli import show

if TYPE_CHECKING:
    from trajectories.store import SQLStore

traj = typer.Typer(no_args_is_help=True, help="Trajectories: every episode, turn by turn.")

Store = Annotated[str, typer.Option(help="Path or URL of the store.", envvar="CONTEXTRL_STORE")]
Run = Annotated[str | None, typer.Option(help="Only this run.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")]
Lines = Annotated[int, typer.Option(min=2, help="Lines shown of each longer text.")]
DEFAULT = "runs/trajectories.db"


def open_store(where: str) -> SQLStore:
    """The store, which must be there."""
    from trajectories.store import SQLStore

    return SQLStore(where if "://" in where else Path(where), create=False)


def complete(start: str, ids: Iterable[str], what: str) -> str:
    """The one id that starts so. Raises `ValueError`."""
    found = [i for i in ids if i.startswith(start)]
    if len(found) != 1:
        problem = f"{len(found)} ids start with" if found else "there is no id that starts with"
        raise ValueError(f"{problem} {start!r}; `contextrl {what} ls` lists them")
    return found[0]


@traj.command("ls")
def list_trajectories(
    run: Run = None,
    repo: Annotated[str | None, typer.Option(help="Only this repository.")] = None,
    task: Annotated[str | None, typer.Option(help="Only this task instance.")] = None,
    resolved: Annotated[bool | None, typer.Option("--resolved/--failed", help="Only those.")] = None,
    limit: Limit = 20,
    store: Store = DEFAULT,
) -> None:
    """List trajectories."""
    with open_store(store) as opened:
        found = opened.summaries(run=run, repo=repo, instance_id=task, resolved=resolved, limit=limit, order="newest")
        rows = [
            (t.id[:8], t.run, t.iteration, t.instance_id, t.status, "yes" if t.resolved else "no", t.turns, t.tokens)
            for t in found
        ]
    columns = ("id", "run", "iteration", "task instance", "status", "resolved", "turns", "tokens")
    show.table(columns, rows, "No such trajectory; `contextrl train` makes them.")


@traj.command("show")
def show_trajectory(
    trajectory: Annotated[str, typer.Argument(help="Its id, or how that starts.")],
    lines: Lines = 40,
    store: Store = DEFAULT,
) -> None:
    """Show one trajectory: turns, observations, patch, verdict."""
    from rich.console import Console

    from trajectories.show import trajectory_renderable

    with open_store(store) as opened:
        found = opened.get(complete(trajectory, (t.id for t in opened.summaries()), "traj"))
    Console().print(trajectory_renderable(found, max_lines=lines))

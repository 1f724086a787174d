"""`contextrl traj ls|show`: what happened."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from contextrl.cli import show
from contextrl.cli.moments import moment

if TYPE_CHECKING:
    from trajectories.queries import Filters, TrajectorySummary
    from trajectories.store import SQLStore

traj = typer.Typer(no_args_is_help=True, help="Trajectories: every episode, turn by turn.")

Store = Annotated[str, typer.Option(help="Path or URL of the store.", envvar="CONTEXTRL_STORE")]
Lines = Annotated[int, typer.Option(min=2, help="Lines shown of each longer text.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
DEFAULT = "runs/trajectories.db"
_SHORT = 8
"""Characters of an id that are shown, where they tell it from the others."""


def open_store(where: str) -> SQLStore:
    """The store, which must be there; one of an older version is upgraded, and how far that is is said."""
    from trajectories.store import SQLStore

    return SQLStore(where if "://" in where else Path(where), create=False, progress=_upgrading())


def _upgrading() -> Callable[[int, int], None]:
    from contextrl.progress import Lines as Log

    lines = Log(sys.stderr)

    def told(done: int, of: int) -> None:
        if done == 1:
            lines.stage(f"Upgrading the store: {of} trajectories are written anew")
        lines.update(done, of)

    return told


@traj.command("ls")
def list_trajectories(
    run: Annotated[str | None, typer.Option(help="Only this run.")] = None,
    repo: Annotated[str | None, typer.Option(help="Only this repository.")] = None,
    task: Annotated[str | None, typer.Option(help="Only this task instance.")] = None,
    file: Annotated[str | None, typer.Option(help="Only what touches this file: its path, or how that ends.")] = None,
    function: Annotated[
        str | None, typer.Option(help="Only what touches this function or class: path::name, or how that ends.")
    ] = None,
    resolved: Annotated[bool | None, typer.Option("--resolved/--failed", help="Only those.")] = None,
    policy_version: Annotated[int | None, typer.Option(help="Only of this version of the policy.")] = None,
    group: Annotated[str | None, typer.Option(help="Only of this group.")] = None,
    status: Annotated[
        Literal["submitted", "truncated", "infra_error"] | None, typer.Option(help="Only those that ended so.")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Only by this agent.")] = None,
    filtered: Annotated[
        bool | None, typer.Option("--filtered/--used", help="Only those not learned from for a reason; or the others.")
    ] = None,
    min_reward: Annotated[float | None, typer.Option(help="Only with at least this reward.")] = None,
    max_reward: Annotated[float | None, typer.Option(help="Only with at most this reward.")] = None,
    since: Annotated[str | None, typer.Option(help="Only begun since: 2h, 30d, 2026-01-31.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 20,
    as_json: Json = False,
    store: Store = DEFAULT,
) -> None:
    """List trajectories."""
    filters: Filters = {
        "run": run,
        "repo": repo,
        "instance_id": task,
        "resolved": resolved,
        "policy_version": policy_version,
        "group": group,
        "status": status,
        "agent": agent,
        "filtered": filtered,
        "min_reward": min_reward,
        "max_reward": max_reward,
        "since": None if since is None else moment(since),
    }
    with open_store(store) as opened:
        if file is not None:
            filters["file"] = _full_name(opened, "file", file, repo)
        if function is not None:
            filters["function"] = _full_name(opened, "function", function, repo)
        found = opened.summaries(limit=limit, order="newest", **filters)
    if as_json:
        for t in found:
            typer.echo(json.dumps(t._asdict()))
        return
    show.table(COLUMNS, _rows(found), "No such trajectory; `contextrl train` makes them.")


COLUMNS = ("id", "run", "policy", "task instance", "status", "resolved", "reward", "turns", "tokens", "begun", "unused")


def _rows(found: Sequence[TrajectorySummary]) -> list[tuple[object, ...]]:
    from trajectories.queries import OUTCOMES
    from trajectories.times import written

    length = _SHORT
    while length < 64 and len({t.id[:length] for t in found}) < len(found):
        length += 4
    return [
        (
            t.id[:length],
            t.run,
            t.policy_version,
            t.instance_id,
            t.status,
            OUTCOMES[t.outcome],
            "-" if t.reward is None else f"{t.reward:g}",
            t.turns,
            t.tokens,
            written(t.created_at),
            t.filtered,
        )
        for t in found
    ]


def _full_name(store: SQLStore, stage: Literal["file", "function"], name: str, repo: str | None) -> str:
    """The full name of what was asked for; said where it is longer. Raises `ValueError`."""
    from trajectories.storage.upkeep import Upkeep

    found = Upkeep(store).called(stage, name, repo)
    if not found:
        where = f" of {repo}" if repo else ""
        raise ValueError(f"no trajectory touches a {stage}{where} called {name!r}; `contextrl traj ls --json` has all")
    if len(found) > 1:
        some = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
        raise ValueError(f"{name!r} is the end of {len(found)} names ({some}): give more of one, or --repo")
    if found[0] != name:
        typer.echo(f"{stage}: {show.plain(found[0])}", err=True)
    return found[0]


@traj.command("show")
def show_trajectory(
    trajectory: Annotated[str, typer.Argument(help="Its id, or how that starts.")],
    lines: Lines = 40,
    as_json: Json = False,
    store: Store = DEFAULT,
) -> None:
    """Show one trajectory: turns, observations, patch, verdict."""
    with open_store(store) as opened:
        found = opened.get(_complete(opened, trajectory))
        (summary,) = opened.summaries(after=opened.position(found.id) - 1, limit=1)
        no_pair = opened.mining_reasons([found.id]).get(found.id, "")
    if as_json:
        typer.echo(found.model_dump_json())
        return
    from rich.console import Console

    from trajectories.show import trajectory_renderable

    Console().print(trajectory_renderable(found, max_lines=lines))
    if summary.filtered:
        typer.echo(f"not learned from: {show.plain(summary.filtered)}")
    if no_pair:
        typer.echo(f"no pair mined: {show.plain(no_pair)}")


def _complete(store: SQLStore, start: str) -> str:
    """The one id that starts so. Raises `ValueError`."""
    found = store.find_ids(start, "trajectories")
    if start in found or len(found) == 1:
        return start if start in found else found[0]
    problem = f"{len(found)} ids or more start with" if found else "there is no id that starts with"
    raise ValueError(f"{problem} {start!r}; `contextrl traj ls` lists them")

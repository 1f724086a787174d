"""`contextrl traj ls|show`: what happened."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from contextrl.cli import known, show
from contextrl.cli.wanted import MOST, Wanted, about_trajectories

if TYPE_CHECKING:
    from trajectories.queries import TrajectorySummary
    from trajectories.store import SQLStore

traj = typer.Typer(no_args_is_help=True, help="Trajectories: every episode, turn by turn.")

Store = Annotated[str, typer.Option(help="Path or URL of the store.", envvar="CONTEXTRL_STORE")]
Limit = Annotated[int, typer.Option(min=1, max=MOST, help="At most so many, the newest first.")]
Lines = Annotated[
    int, typer.Option(min=2, max=MOST, help="Lines shown of each observation and of what each turn changed.")
]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
DEFAULT = "runs/trajectories.db"
_SHORT = 8
"""Characters of an id that are shown, where they tell it from the others."""


def open_store(where: str) -> SQLStore:
    """The store, which must be there; one of an older version is upgraded, and how far that is is said."""
    from trajectories.store import SQLStore

    return SQLStore(where, create=False, progress=_upgrading())


def _upgrading() -> Callable[[int, int], None]:
    from contextrl.progress import Lines as Log

    lines = Log(sys.stderr)

    def told(done: int, of: int) -> None:
        if done == 1:
            lines.stage(f"Upgrading the store: {of} trajectories")
        lines.update(done, of)

    return told


@traj.command("ls")
@about_trajectories
def list_trajectories(wanted: Wanted, limit: Limit = 20, as_json: Json = False, store: Store = DEFAULT) -> None:
    """List trajectories."""
    with open_store(store) as opened:
        found = opened.summaries(limit=limit, order="newest", **wanted.filters(opened))
    if as_json:
        for t in found:
            typer.echo(json.dumps(t._asdict() | {"resolved": t.outcome}))
        return
    show.table(COLUMNS, _rows(found), wanted.nothing())


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


@traj.command("show")
def show_trajectory(
    trajectory: Annotated[str, typer.Argument(help="Its id, or how that starts.")],
    lines: Lines = 40,
    as_json: Json = False,
    store: Store = DEFAULT,
) -> None:
    """Show one trajectory: turns, observations, patch, verdict."""
    with open_store(store) as opened:
        found = opened.get(known.only_id(opened, "trajectories", trajectory, "contextrl traj ls"))
        (summary,) = opened.summaries(after=opened.position(found.id) - 1, limit=1)
        no_pair = opened.mining_reasons([found.id]).get(found.id, "")
        lesson, task = opened.lessons([found.id]).get(found.id), opened.task(found.instance_id, found.run)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    from rich.console import Console

    from trajectories.show import trajectory_renderable

    advantage, gold = lesson.advantage if lesson else None, str((task or {}).get("patch") or "")
    Console().print(trajectory_renderable(found, max_lines=lines, advantage=advantage, gold=gold))
    if summary.filtered:
        typer.echo(f"not learned from: {show.plain(summary.filtered)}")
    if no_pair:
        typer.echo(f"no pair mined: {show.plain(no_pair)}")

"""`contextrl traj gc`: taking out of the store what is not wanted.

Invariant: nothing that a filter names goes before it was said how much that is, and that the run is being trained where
that can be seen. What was begun and stopped, however, is known to the store until the same command has ended it.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from contextrl.cli import show
from contextrl.cli.known import Unknown
from contextrl.cli.moments import ago
from contextrl.cli.records import DEFAULT, Store, open_store
from contextrl.cli.stats import megabytes
from contextrl.cli.wanted import Wanted, about_trajectories

if TYPE_CHECKING:
    from trajectories.queries import Filters
    from trajectories.storage.upkeep import Upkeep
    from trajectories.store import SQLStore


@about_trajectories
def gc(
    wanted: Wanted,
    older_than: Annotated[str | None, typer.Option(help="Delete what was begun longer ago: 30d, 12h.")] = None,
    infra_errors: Annotated[
        bool, typer.Option("--infra-errors", help="Delete what died for a reason that is not the policy's.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    store: Store = DEFAULT,
) -> None:
    """Remove what nothing refers to, and give its space back; with options, delete trajectories first.

    Several options narrow down: a trajectory goes that all of them name. Its pairs go with it.
    """
    from trajectories.storage.upkeep import Upkeep

    if infra_errors:
        wanted = replace(wanted, status="infra_error")
    said = f"{wanted.said()} --older-than {older_than}".strip() if older_than else wanted.said()
    with open_store(store) as opened:
        keeper = Upkeep(opened)
        before, stopped = keeper.size(), keeper.unfinished()
        try:
            filters = wanted.filters(opened)
        except Unknown:
            if stopped != said:
                raise
            filters, said = {}, ""  # all of it had gone before it was stopped
        filters["until"] = None if older_than is None else time.time() - ago(older_than)
        try:
            gone = bool(said) and _delete(opened, keeper, filters, said, dry_run=dry_run, yes=yes)
            unused = keeper.unused()
            typer.echo(
                f"{unused.texts} texts and {unused.contexts} contexts that nothing refers to: {megabytes(unused.bytes)}"
            )
            if not dry_run and (gone or unused.texts or unused.contexts or stopped is not None):
                _give_back(keeper, before, said)
        except KeyboardInterrupt:
            typer.echo("The store is whole, and the same command goes on.", err=True)
            raise


def _delete(store: SQLStore, keeper: Upkeep, filters: Filters, said: str, *, dry_run: bool, yes: bool) -> bool:
    """Whether anything went."""
    from contextrl.progress import open_progress

    amount = keeper.count(**filters)
    if not amount.trajectories:
        typer.echo(f"No trajectory passes {said}.")
        return False
    typer.echo(f"{amount.trajectories} trajectories and {amount.pairs} pairs " + ("would go" if dry_run else "go"))
    _warn(store, keeper, filters)
    if dry_run:
        return False
    if not yes:
        if not sys.stdin.isatty():
            raise ValueError("nobody can be asked here whether they may go: add --yes, or --dry-run to only look")
        typer.confirm("Delete them for good?", abort=True)
    keeper.begin(said)
    with open_progress() as progress:
        progress.stage("Deleting trajectories")
        keeper.delete(lambda done: progress.update(done, amount.trajectories), **filters)
    return True


def _warn(store: SQLStore, keeper: Upkeep, filters: Filters) -> None:
    """Say which of the runs are being trained, or may be."""
    from trajectories.storage.holders import describe, state_of

    for name, holder in keeper.holders().items():
        state = state_of(holder)
        concerned = [n for n in (name, f"{name}.before", f"{name}.after") if _concerns(store, filters, n)]
        if state == "ended" or not concerned:
            continue
        said = f"is being trained right now by {describe(holder)}"
        if state == "unknown":
            said = f"was begun by {describe(holder)}: whether it is being trained now cannot be seen from here"
        typer.secho(f"The run {show.plain(name)!r} {said}.", err=True, fg="yellow")


def _concerns(store: SQLStore, filters: Filters, name: str) -> bool:
    here: Filters = {**filters, "run": name}
    return filters.get("run") in (None, name) and bool(store.count(**here))


def _give_back(keeper: Upkeep, before: int, said: str) -> None:
    from contextrl.progress import open_progress

    keeper.begin(said)
    with open_progress() as progress:
        progress.stage("Removing what nothing refers to")
        keeper.sweep()
        progress.stage("Giving the space back")
        keeper.compact()
    keeper.end()
    after = keeper.size()
    typer.echo(f"The database took {megabytes(before)}, now it takes {megabytes(after)}.")

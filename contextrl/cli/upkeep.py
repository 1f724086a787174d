"""`contextrl traj stats|gc`: what the store holds, and taking out what is not wanted.

Invariant: nothing that a filter names goes before it was said how much that is, and that the run is being trained where
that can be seen.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from contextrl.cli import show
from contextrl.cli.moments import ago
from contextrl.cli.records import DEFAULT, Json, Store, open_store

if TYPE_CHECKING:
    from trajectories.queries import Filters
    from trajectories.storage.overview import Part
    from trajectories.storage.upkeep import Upkeep
    from trajectories.store import SQLStore


def stats(as_json: Json = False, store: Store = DEFAULT) -> None:
    """Count what is stored: by run, by repository, by why it was not used, and what is shared."""
    from trajectories.storage.upkeep import Upkeep

    with open_store(store) as opened:
        keeper = Upkeep(opened)
        runs, repositories, shared, size = keeper.parts("run"), keeper.parts("repo"), keeper.shared(), keeper.size()
    if as_json:
        parts = {"runs": [p._asdict() for p in runs], "repositories": [p._asdict() for p in repositories]}
        typer.echo(json.dumps({**parts, "texts": shared._asdict(), "bytes": size}))
        return
    for what, found in (("run", runs), ("repository", repositories)):
        show.table((what, *COLUMNS), [_row(part) for part in found], "The store is empty; `contextrl train` fills it.")
        typer.echo()
    reasons = [(part.name, reason, n) for part in runs for reason, n in sorted(part.filtered.items())]
    if reasons:
        show.table(("run", "not learned from, because", "trajectories"), reasons, "")
        typer.echo()
    each = shared.uses / shared.texts if shared.texts else 0.0
    show.facts(
        [
            ("database", megabytes(size)),
            ("shared texts", f"{shared.texts:,} in {megabytes(shared.bytes)}, each used {each:.1f} times"),
        ]
    )


COLUMNS = ("trajectories", "resolved", "turns", "tokens", "submitted", "truncated", "infra errors", "not used", "size")


def _row(part: Part) -> tuple[object, ...]:
    n = part.trajectories
    ended = (part.statuses.get(status, 0) for status in ("submitted", "truncated", "infra_error"))
    shares = (f"{part.resolved / n:.0%}", f"{part.turns / n:.1f}", f"{part.tokens / n:,.0f}")
    return (part.name or "-", n, *shares, *ended, sum(part.filtered.values()), megabytes(part.bytes))


def gc(
    run: Annotated[str | None, typer.Option(help="Delete this run's trajectories.")] = None,
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

    filters: Filters = {"run": run, "status": "infra_error" if infra_errors else None}
    filters["until"] = None if older_than is None else time.time() - ago(older_than)
    with open_store(store) as opened:
        keeper = Upkeep(opened)
        before = keeper.size()
        wanted = any(value is not None for value in filters.values())
        gone = wanted and _delete(opened, keeper, filters, dry_run=dry_run, yes=yes)
        unused = keeper.unused()
        typer.echo(
            f"{unused.texts} texts and {unused.contexts} contexts that nothing refers to: {megabytes(unused.bytes)}"
        )
        if not dry_run and (gone or unused.texts or unused.contexts):
            _give_back(keeper, before)


def _delete(store: SQLStore, keeper: Upkeep, filters: Filters, *, dry_run: bool, yes: bool) -> bool:
    """Whether anything went."""
    from contextrl.progress import open_progress

    amount = keeper.count(**filters)
    typer.echo(f"{amount.trajectories} trajectories and {amount.pairs} pairs " + ("would go" if dry_run else "go"))
    _warn(store, keeper, filters)
    if dry_run or not amount.trajectories:
        return False
    if not yes:
        if not sys.stdin.isatty():
            raise ValueError("nobody can be asked here whether they may go: add --yes, or --dry-run to only look")
        typer.confirm("Delete them for good?", abort=True)
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


def _give_back(keeper: Upkeep, before: int) -> None:
    from contextrl.progress import open_progress

    with open_progress() as progress:
        progress.stage("Removing what nothing refers to")
        keeper.sweep()
        progress.stage("Giving the space back")
        keeper.compact()
    after = keeper.size()
    typer.echo(f"The database took {megabytes(before)}, now it takes {megabytes(after)}.")


def megabytes(size: int) -> str:
    """In the unit that suits it."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"

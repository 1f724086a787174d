"""`contextrl traj stats`: what the store holds, in numbers.

Invariant: a share is one of what could have it: of the trajectories that were judged, how many are resolved.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from contextrl.cli import show
from contextrl.cli.records import DEFAULT, Json, Store, open_store
from contextrl.cli.wanted import Wanted, about_trajectories

if TYPE_CHECKING:
    from trajectories.storage.overview import Part


@about_trajectories
def stats(wanted: Wanted, as_json: Json = False, store: Store = DEFAULT) -> None:
    """Count what is stored: by run, by repository, by why it was not used, and what is shared.

    With options, only trajectories that they name are counted; size and shared texts are those of the whole store.
    """
    from trajectories.storage.upkeep import Upkeep

    with open_store(store) as opened:
        keeper, filters = Upkeep(opened), wanted.filters(opened)
        runs, repositories = keeper.parts("run", **filters), keeper.parts("repo", **filters)
        shared, size = keeper.shared(), keeper.size()
    if as_json:
        parts = {"runs": [p._asdict() for p in runs], "repositories": [p._asdict() for p in repositories]}
        typer.echo(json.dumps({**parts, "texts": shared._asdict(), "bytes": size}))
        return
    if not runs:
        typer.echo(wanted.nothing())
        return
    for what, found in (("run", runs), ("repository", repositories)):
        show.table((what, *COLUMNS), [_row(part) for part in found], "")
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


COLUMNS = (
    "trajectories",
    "resolved",
    "not graded",
    "turns",
    "tokens",
    "submitted",
    "truncated",
    "infra errors",
    "not used",
    "size",
)


def _row(part: Part) -> tuple[object, ...]:
    n = part.trajectories
    resolved = f"{part.resolved / part.graded:.0%}" if part.graded else "-"
    ended = (part.statuses.get(status, 0) for status in ("submitted", "truncated", "infra_error"))
    means = (f"{part.turns / n:.1f}", f"{part.tokens / n:,.0f}")
    not_used, size = sum(part.filtered.values()), megabytes(part.bytes)
    return (part.name or "-", n, resolved, n - part.graded, *means, *ended, not_used, size)


def megabytes(size: int) -> str:
    """In the unit that suits it."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"

"""How far mining has come: each function works in a transaction that its caller opened.

Invariant: a trajectory is marked as mined in the transaction that keeps its pairs and its part of the funnel, so it is
mined once, however often a process is killed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import sqlalchemy as sa

from trajectories.records import ContextPair
from trajectories.storage import pairs
from trajectories.storage.filters import batches, of_trajectories
from trajectories.storage.schema import funnel, mined, trajectories
from trajectories.storage.statements import ADD_TO_FUNNEL


def finish_mining(
    connection: sa.Connection,
    position: int,
    run: str,
    new: Iterable[ContextPair],
    counts: Mapping[str, int],
    reason: str,
) -> list[ContextPair]:
    """Keep what mining one trajectory gave; nothing when it was mined before."""
    if connection.scalar(sa.select(mined.c.position).where(mined.c.position == position)) is not None:
        return []
    connection.execute(mined.insert().values(position=position, reason=reason))
    add_funnel(connection, run, counts)
    return pairs.insert(connection, new, position)


def unmined(connection: sa.Connection, run: str | None) -> list[str]:
    """Ids of the trajectories that were not mined, in the order of insertion."""
    left = ~sa.exists().where(mined.c.position == trajectories.c.position)
    query = sa.select(trajectories.c.id).where(left, *of_trajectories({"run": run}))
    return list(connection.scalars(query.order_by(trajectories.c.position)))


def reasons(connection: sa.Connection, ids: Collection[str]) -> dict[str, str]:
    """Why trajectories gave no pair, by id; those of which nothing was said are left out."""
    c, found = trajectories.c, dict[str, str]()
    joined = sa.select(c.id, mined.c.reason).join(mined, mined.c.position == c.position)
    for batch in batches(ids):
        found.update((i, why) for i, why in connection.execute(joined.where(c.id.in_(batch), mined.c.reason != "")))
    return found


def without_pairs(connection: sa.Connection, reason: str) -> frozenset[str]:
    """Ids of the trajectories that gave no pair for this reason."""
    joined = sa.select(trajectories.c.id).join(mined, mined.c.position == trajectories.c.position)
    return frozenset(connection.scalars(joined.where(mined.c.reason == reason)))


def add_funnel(connection: sa.Connection, run: str, counts: Mapping[str, int]) -> None:
    """Add to the counts of a run."""
    there = read_funnel(connection, run)
    added = [{"of_run": run, "of_stage": stage, "n": n} for stage, n in counts.items() if stage in there and n]
    first = [{"run": run, "stage": stage, "count": n} for stage, n in counts.items() if stage not in there]
    if added:
        connection.execute(ADD_TO_FUNNEL, added)
    if first:
        connection.execute(funnel.insert(), first)


def with_funnel(connection: sa.Connection) -> list[str]:
    """The runs and mined sets that have a funnel, by name."""
    return list(connection.scalars(sa.select(funnel.c.run).distinct().order_by(funnel.c.run)))


def read_funnel(connection: sa.Connection, run: str) -> dict[str, int]:
    """The counts of a run by stage."""
    rows = connection.execute(sa.select(funnel.c.stage, funnel.c.count).where(funnel.c.run == run))
    return {stage: count for stage, count in rows}

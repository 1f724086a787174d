"""What the store holds, in numbers: each function works in a transaction that its caller opened.

Invariant: counted by the database from the rows themselves; nothing is kept as a sum.
"""

from __future__ import annotations

import sqlalchemy as sa

from trajectories.queries import RunSummary
from trajectories.schema import pairs, trajectories


def runs(connection: sa.Connection) -> list[RunSummary]:
    """One summary for each run, the oldest first."""
    c, n = trajectories.c, sa.func.count()
    valid = sa.select(pairs.c.run, n).where(pairs.c.judgement == "valid").group_by(pairs.c.run)
    n_pairs: dict[str, int] = {run: count for run, count in connection.execute(valid)}
    query = sa.select(
        c.run,
        n,
        sa.func.sum(sa.case((c.resolved, 1), else_=0)),
        sa.func.sum(sa.case((c.status == "infra_error", 1), else_=0)),
        sa.func.min(c.created_at),
        sa.func.max(c.created_at + c.seconds),
    )
    rows = connection.execute(query.group_by(c.run).order_by(sa.func.min(c.position)))
    return [RunSummary(run, n, ok, broken, n_pairs.get(run, 0), a, z) for run, n, ok, broken, a, z in rows]

"""What becomes of pairs after they were mined: each function works in a transaction that its caller opened.

Invariant: only the columns of a pair's life are written here; what it asks and shows never changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from trajectories.queries import PairLife
from trajectories.storage.filters import batches
from trajectories.storage.schema import margins, pairs

_USE = (
    pairs.update()
    .where(pairs.c.id == sa.bindparam("used"))
    .values(uses=pairs.c.uses + sa.bindparam("n"), last_used=sa.bindparam("version"))
)

_REVIVE = pairs.update().where(pairs.c.id == sa.bindparam("used")).values(uses=sa.bindparam("n"), retired="")


def use(connection: sa.Connection, ids: Iterable[str], policy_version: int) -> None:
    """Count that they were learned from."""
    used = [{"used": i, "n": n, "version": policy_version} for i, n in Counter(ids).items()]
    if used:
        connection.execute(_USE, used)


def change(connection: sa.Connection, ids: Collection[str], **values: Any) -> None:
    """Set columns of their life."""
    for batch in batches(ids):
        connection.execute(pairs.update().where(pairs.c.id.in_(batch)).values(values))


def revive(connection: sa.Connection, uses: Mapping[str, int]) -> None:
    """Nobody retired them, and they were used so often."""
    rows = [{"used": pair_id, "n": n} for pair_id, n in uses.items()]
    if rows:
        connection.execute(_REVIVE, rows)


def forget_margins(connection: sa.Connection, run: str, version: int) -> None:
    """Those from a version on."""
    of_run = margins.c.pair.in_(sa.select(pairs.c.id).where(pairs.c.run == run))
    connection.execute(margins.delete().where(of_run, margins.c.version >= version))


def of(connection: sa.Connection, ids: Collection[str]) -> dict[str, PairLife]:
    """The lives of those that are there."""
    columns = [pairs.c[name] for name in PairLife._fields]
    found: dict[str, PairLife] = {}
    for batch in batches(ids):
        rows = connection.execute(sa.select(pairs.c.id, *columns).where(pairs.c.id.in_(batch)))
        found.update((row.id, PairLife._make(row[1:])) for row in rows)
    return found


def answers(connection: sa.Connection, instance_id: str) -> list[tuple[str, str]]:
    """Id and answer of each valid pair that is not retired in which the instance is the confounder's."""
    alive = (pairs.c.judgement == "valid", pairs.c.retired == "", pairs.c.confounder_instance == instance_id)
    query = sa.select(pairs.c.id, pairs.c.answer).where(*alive).order_by(pairs.c.position)
    return [(row.id, row.answer) for row in connection.execute(query)]


LIVING = (
    sa.select(sa.func.count())
    .select_from(pairs)
    .where(
        pairs.c.function == sa.bindparam("of_function"),
        pairs.c.repo == sa.bindparam("of_repo"),
        pairs.c.stage == "function",
        pairs.c.retired == "",
        # As expressions: SQLite would take the index by run and judgement, which holds all pairs of the run.
        pairs.c.run.concat("") == sa.bindparam("of_run"),
        pairs.c.judgement.concat("") == "valid",
    )
)


def living(connection: sa.Connection, run: str, repo: str, function: str) -> int:
    """How many valid pairs of a function are not retired."""
    return connection.scalar(LIVING, {"of_run": run, "of_repo": repo, "of_function": function}) or 0

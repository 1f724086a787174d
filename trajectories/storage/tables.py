"""Rows of the tables that people look at: groups of rollouts, and pairs without their contexts.

Invariant: no more rows are read than are asked for, but for what the database counts; each method is one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypedDict, Unpack

import sqlalchemy as sa

from trajectories.queries import PairFilters
from trajectories.storage.database import Database
from trajectories.storage.filters import of_pairs
from trajectories.storage.schema import pairs, trajectories

PairSort = Literal[
    "position", "run", "repo", "file", "function", "stage", "similarity", "judgement", "uses", "last_used", "retired",
    "created_at",
]  # fmt: skip
"""What a table of pairs may be sorted by."""


class GroupFilters(TypedDict, total=False):
    """What groups may be asked for. A field that is left out or None does not filter."""

    run: str | None
    instance_id: str | None
    mixed: bool | None
    """Whether their rewards differ."""
    several: bool | None
    """Whether they have more than one rollout."""


class GroupRow(NamedTuple):
    """One group of a run."""

    run: str
    group: str
    instance_id: str
    iteration: int
    rollouts: int
    resolved: int
    least: float | None
    """Least reward."""
    most: float | None
    mean: float | None


class PairRow(NamedTuple):
    """A pair without its texts."""

    id: str
    run: str
    repo: str
    file: str
    function: str
    stage: str
    similarity: float
    judgement: str
    uses: int
    last_used: int | None
    retired: str
    created_at: float
    anchor_instance: str
    confounder_instance: str


class SQLTables:
    """The part of the store that makes them."""

    _db: Database

    def page_groups(self, *, offset: int = 0, limit: int = 50, **filters: Unpack[GroupFilters]) -> list[GroupRow]:
        """Some groups, those that were added to last first."""
        query = _groups(filters).order_by(sa.func.max(trajectories.c.position).desc()).offset(offset).limit(limit)
        return self._db.read(lambda c: [GroupRow._make(row) for row in c.execute(query)])

    def count_groups(self, **filters: Unpack[GroupFilters]) -> int:
        """How many groups pass all filters."""
        query = sa.select(sa.func.count()).select_from(_groups(filters).subquery())
        return self._db.read(lambda c: c.scalar(query)) or 0

    def runs_of_group(self, group: str) -> list[str]:
        """The runs that have a group of this name."""
        c = trajectories.c
        query = sa.select(c.run).where(c.group == group).distinct().order_by(c.run)
        return self._db.read(lambda connection: list(connection.scalars(query)))

    def page_pairs(
        self,
        *,
        sort: PairSort = "position",
        descending: bool = True,
        offset: int = 0,
        limit: int = 50,
        **filters: Unpack[PairFilters],
    ) -> list[PairRow]:
        """Some rows of a sorted table of pairs: among equals the newest first."""
        order = [pairs.c[sort].desc() if descending else pairs.c[sort].asc(), pairs.c.position.desc()]
        query = sa.select(*(pairs.c[name] for name in PairRow._fields)).where(*of_pairs(filters))
        query = query.order_by(*order).offset(offset).limit(limit)
        return self._db.read(lambda c: [PairRow._make(row) for row in c.execute(query)])


def _groups(filters: GroupFilters) -> sa.Select[Any]:
    """One row for each group, as `GroupRow` has it."""
    c, n = trajectories.c, sa.func.count()
    least, most = sa.func.min(c.reward), sa.func.max(c.reward)
    given: Mapping[str, Any] = filters
    wanted = [c[name] == given[name] for name in ("run", "instance_id") if given.get(name) is not None]
    resolved = sa.func.sum(sa.case((c.resolved, 1), else_=0))
    first = [sa.func.min(column) for column in (c.instance_id, c.iteration)]
    query = sa.select(c.run, c.group, *first, n, resolved, least, most, sa.func.avg(c.reward))
    query = query.where(c.group != "", *wanted).group_by(c.run, c.group)
    if (mixed := filters.get("mixed")) is not None:
        query = query.having(least != most if mixed else sa.or_(least == most, least.is_(None)))
    if (several := filters.get("several")) is not None:
        query = query.having(n > 1 if several else n == 1)
    return query

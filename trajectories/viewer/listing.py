"""Rows that only the viewer asks for: groups of rollouts, and pairs without their contexts.

Invariant: each function reads no more rows than a page has, but for what the database counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from trajectories.storage.filters import of_pairs
from trajectories.storage.schema import pairs, trajectories


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


def groups(
    connection: sa.Connection, run: str | None, instance: str | None, mixed: bool | None, offset: int, limit: int
) -> tuple[list[GroupRow], int]:
    """A page of groups, the newest first, and how many there are. `mixed`: whether their rewards differ."""
    c = trajectories.c
    least, most = sa.func.min(c.reward), sa.func.max(c.reward)
    wanted = [c.group != ""]
    wanted += [column == value for column, value in ((c.run, run), (c.instance_id, instance)) if value is not None]
    query = sa.select(
        c.run,
        c.group,
        sa.func.min(c.instance_id),
        sa.func.min(c.iteration),
        sa.func.count(),
        sa.func.sum(sa.case((c.resolved, 1), else_=0)),
        least,
        most,
        sa.func.avg(c.reward),
    )
    query = query.where(*wanted).group_by(c.run, c.group)
    if mixed is not None:
        query = query.having(least != most if mixed else sa.or_(least == most, least.is_(None)))
    total = connection.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    rows = connection.execute(query.order_by(sa.func.max(c.position).desc()).offset(offset).limit(limit))
    return [GroupRow._make(row) for row in rows], total


def runs_of_group(connection: sa.Connection, group: str) -> list[str]:
    """The runs that have a group of this name."""
    c = trajectories.c
    return list(connection.scalars(sa.select(c.run).where(c.group == group).distinct().order_by(c.run)))


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


PAIR_SORTS = ("position", *(n for n in PairRow._fields if n not in ("id", "anchor_instance", "confounder_instance")))


def pair_rows(
    connection: sa.Connection, filters: Mapping[str, Any], sort: str, descending: bool, offset: int, limit: int
) -> Sequence[PairRow]:
    """A page of pairs."""
    column = pairs.c[sort if sort in PAIR_SORTS else "position"]
    order = [column.desc() if descending else column.asc(), pairs.c.position.desc()]
    query = sa.select(*(pairs.c[name] for name in PairRow._fields)).where(*of_pairs(filters))
    return [PairRow._make(row) for row in connection.execute(query.order_by(*order).offset(offset).limit(limit))]

"""Trajectories as rows, and back: each function works in a transaction that its caller opened.

Invariant: a trajectory's row, its body and its touches are written in one transaction, so each is there only with the
others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from trajectories.codec import decode, encode
from trajectories.protocol import Bucket, Filters, Order, RightAnswer, RunSummary, StoreError, TrajectorySummary
from trajectories.records import Trajectory
from trajectories.schema import bodies, pairs, touches, trajectories
from trajectories.statements import BY_IDS, DIGEST, NEIGHBOURS, POSITION, RIGHT_ANSWERS, SIZE, SUMMARY

_BATCH = 500
"""Most values in one `IN`: below the limit of every database."""


def insert(connection: sa.Connection, trajectory: Trajectory) -> bool:
    """Whether it was new. Raises `StoreError` when its id stands for other contents."""
    document, tokens, digest = encode(trajectory)
    stored = connection.scalar(DIGEST, {"id": trajectory.id})
    if stored == digest:
        return False
    if stored is not None:
        raise StoreError(
            f"Trajectory {trajectory.id} is already stored with other contents: give the new one its own id."
        )
    key = connection.execute(trajectories.insert(), _row(trajectory, digest)).inserted_primary_key
    position = key[0] if key else None
    connection.execute(bodies.insert(), {"position": position, "document": document, "tokens": tokens})
    places = [("repo", ""), *(("file", f) for f in trajectory.files), *(("function", f) for f in trajectory.functions)]
    place = {"repo": trajectory.repo, "base_commit": trajectory.base_commit, "run": trajectory.run}
    connection.execute(
        touches.insert(),
        [{"stage": stage, "name": name, "position": position, **place} for stage, name in dict.fromkeys(places)],
    )
    return True


def _row(trajectory: Trajectory, digest: str) -> dict[str, Any]:
    derived = {
        "digest": digest,
        "turns": len(trajectory.turns),
        "tokens": sum(len(turn.prompt_ids) + len(turn.completion_ids) for turn in trajectory.turns),
    }
    plain = [c.name for c in trajectories.c if c.name not in ("position", *derived)]
    return derived | {name: getattr(trajectory, name) for name in plain}


def _matching(filters: Mapping[str, Any]) -> list[sa.ColumnElement[bool]]:
    clauses: list[sa.ColumnElement[bool]] = []
    for name, value in filters.items():
        if name not in Filters.__annotations__:
            raise StoreError(
                f"Trajectories cannot be filtered by {name!r}: use one of {', '.join(Filters.__annotations__)}."
            )
        if value is None:
            continue
        if name in ("file", "function"):
            here = sa.select(touches.c.position).where(touches.c.stage == name, touches.c.name == value)
            clauses.append(trajectories.c.position.in_(here))
        else:
            clauses.append(trajectories.c[name] == value)
    return clauses


def in_order(query: sa.Select[Any], position: sa.Column[Any], order: Order, limit: int | None) -> sa.Select[Any]:
    """The query in the order of insertion or its reverse, cut after `limit` rows."""
    return query.order_by(position if order == "oldest" else position.desc()).limit(limit)


def select(connection: sa.Connection, filters: Mapping[str, Any], order: Order, limit: int | None) -> list[Trajectory]:
    """Whole trajectories."""
    query = sa.select(bodies.c.document, bodies.c.tokens).select_from(
        trajectories.join(bodies, trajectories.c.position == bodies.c.position)
    )
    query = in_order(query.where(*_matching(filters)), trajectories.c.position, order, limit)
    return [decode(row.document, row.tokens) for row in connection.execute(query)]


def by_ids(connection: sa.Connection, ids: Collection[str], *, tokens: bool) -> dict[str, Trajectory]:
    """Those of the ids that are there."""
    found: dict[str, Trajectory] = {}
    for batch in batches(ids):
        for row in connection.execute(BY_IDS[tokens], {"values": batch}):
            found[row.id] = decode(row.document, row.tokens if tokens else None)
    return found


def summaries(
    connection: sa.Connection, filters: Mapping[str, Any], order: Order, limit: int | None
) -> list[TrajectorySummary]:
    """Without their turns."""
    query = sa.select(*SUMMARY).where(*_matching(filters))
    rows = connection.execute(in_order(query, trajectories.c.position, order, limit))
    return [TrajectorySummary._make(row) for row in rows]


def count(connection: sa.Connection, filters: Mapping[str, Any]) -> int:
    """How many pass the filters."""
    query = sa.select(sa.func.count()).select_from(trajectories).where(*_matching(filters))
    return connection.scalar(query) or 0


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


def neighbours(connection: sa.Connection, bucket: Bucket, before: int, limit: int) -> list[TrajectorySummary]:
    """The newest of a bucket before a position. Only the bucket's own range of the index is read."""
    values = {"before": before, "newest": limit, **_bucket_values(bucket)}
    return [TrajectorySummary._make(row) for row in connection.execute(NEIGHBOURS[bucket.run is None], values)]


def position(connection: sa.Connection, trajectory_id: str) -> int | None:
    """A trajectory's place in the order of insertion, None when there is no such id."""
    return connection.scalar(POSITION, {"id": trajectory_id})


def bucket_sizes(connection: sa.Connection, after: Mapping[Bucket, int], before: int) -> dict[Bucket, int]:
    """How many of each bucket stand after its own position and before another."""
    return {
        bucket: connection.scalar(
            SIZE[bucket.run is None], {"after": start, "before": before, **_bucket_values(bucket)}
        )
        or 0
        for bucket, start in after.items()
    }


def _bucket_values(bucket: Bucket) -> dict[str, str]:
    return {f"b_{k}": v for k, v in asdict(bucket).items() if v is not None}


def right_answers(connection: sa.Connection, instance_ids: Collection[str], run: str | None) -> dict[str, RightAnswer]:
    """For each instance that was resolved, the answer and the patch that resolved it first."""
    known: dict[str, RightAnswer] = {}
    for batch in batches(instance_ids):
        found = connection.execute(RIGHT_ANSWERS[run is None], {"values": batch, "in_run": run})
        for row in found:
            if row.answer.strip():
                known[row.instance_id] = RightAnswer(row.answer, decode(row.document, None).patch)
    return known


def batches(values: Collection[str]) -> Iterable[list[str]]:
    """The distinct values in lists short enough for one `IN`."""
    distinct = list(dict.fromkeys(values))
    return (distinct[i : i + _BATCH] for i in range(0, len(distinct), _BATCH))

"""Trajectories as rows, and back: each function works in a transaction that its caller opened.

Invariant: a trajectory's row, its body, its texts and its touches are written in one transaction, so each is there only
with the others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args

import sqlalchemy as sa

from trajectories.queries import Bucket, Order, RightAnswer, Sort, StoreError, StoreRefusal, TrajectorySummary
from trajectories.records import Trajectory
from trajectories.storage import blobs
from trajectories.storage.codec import Encoded, decode, decode_answer, keys_of
from trajectories.storage.filters import batches, in_order, of_trajectories
from trajectories.storage.places import PlaceNumbers, places_of
from trajectories.storage.schema import bodies, touches, trajectories
from trajectories.storage.statements import BY_IDS, DIGEST, NEIGHBOURS, POSITION, RIGHT_ANSWERS, SIZE, SUMMARY

MOST_TESTS = 50
"""Ids of tests in a summary."""
_WHOLE = 100
"""Whole trajectories whose texts are read at once."""


def insert(connection: sa.Connection, numbers: PlaceNumbers, trajectory: Trajectory, encoded: Encoded) -> bool:
    """Whether it was new. Raises `StoreRefusal` when its id stands for other contents."""
    stored = connection.scalar(DIGEST, {"id": trajectory.id})
    if stored is not None:
        if stored != encoded.digest and by_ids(connection, [trajectory.id], tokens=True)[trajectory.id] != trajectory:
            raise StoreRefusal(
                f"Trajectory {trajectory.id} is already stored with other contents: give the new one its own id."
            )
        return False
    blobs.insert(connection, encoded.texts)
    key = connection.execute(trajectories.insert(), _row(trajectory, encoded)).inserted_primary_key
    position: int = key[0] if key else 0
    body = {"blobs": encoded.blobs, "document": encoded.document, "tokens": encoded.tokens}
    connection.execute(bodies.insert(), {"position": position, **body})
    place = {"base_commit": trajectory.base_commit, "run": trajectory.run, "position": position}
    where = numbers.of(connection, places_of(trajectory))
    connection.execute(touches.insert(), [{"place": number, **place} for number in where])
    return True


def _row(trajectory: Trajectory, encoded: Encoded) -> dict[str, Any]:
    derived = {
        "digest": encoded.digest,
        "statement": encoded.statement,
        "turns": len(trajectory.turns),
        "tokens": sum(len(turn.prompt_ids) + len(turn.completion_ids) for turn in trajectory.turns),
        "tests": list(trajectory.verdict.fail_to_pass)[:MOST_TESTS] if trajectory.verdict else [],
        "filtered": "",
        "graded": trajectory.graded,
        "tampered": trajectory.verdict is not None and trajectory.verdict.tampered,
    }
    plain = [c.name for c in trajectories.c if c.name not in ("position", *derived)]
    return derived | {name: getattr(trajectory, name) for name in plain}


def select(connection: sa.Connection, filters: Mapping[str, Any], order: Order, limit: int | None) -> list[Trajectory]:
    """Whole trajectories."""
    query = sa.select(trajectories.c.id, bodies).select_from(
        trajectories.join(bodies, trajectories.c.position == bodies.c.position)
    )
    query = in_order(query.where(*of_trajectories(filters)), trajectories.c.position, order, limit)
    return [t for rows in connection.execute(query).partitions(_WHOLE) for t in _whole(connection, rows)]


def by_ids(connection: sa.Connection, ids: Collection[str], *, tokens: bool) -> dict[str, Trajectory]:
    """Those of the ids that are there."""
    found: dict[str, Trajectory] = {}
    for batch in batches(ids):
        for rows in connection.execute(BY_IDS[tokens], {"values": batch}).partitions(_WHOLE):
            found.update((t.id, t) for t in _whole(connection, rows))
    return found


def readable(connection: sa.Connection, trajectory_id: str) -> Trajectory | None:
    """One without its tokens; None where it is damaged, or not there."""
    try:
        return by_ids(connection, [trajectory_id], tokens=False).get(trajectory_id)
    except StoreError:
        return None


def _whole(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> list[Trajectory]:
    """Trajectories from their bodies' rows, without tokens where a row has none."""
    texts = blobs.read(connection, [key for row in rows for key in keys_of(row.blobs)])
    return [decode(row.document, getattr(row, "tokens", None), row.blobs, texts) for row in rows]


def summaries(
    connection: sa.Connection, filters: Mapping[str, Any], order: Order, limit: int | None
) -> list[TrajectorySummary]:
    """Without their turns."""
    query = sa.select(*SUMMARY).where(*of_trajectories(filters))
    rows = connection.execute(in_order(query, trajectories.c.position, order, limit))
    return [TrajectorySummary._make(row) for row in rows]


def page(
    connection: sa.Connection, filters: Mapping[str, Any], sort: Sort, descending: bool, offset: int, limit: int
) -> list[TrajectorySummary]:
    """Summaries in the order of one of their fields, the newest first among equals; without a value come last."""
    c = trajectories.c
    if sort not in get_args(Sort):
        raise StoreError(f"Trajectories cannot be sorted by {sort!r}: use one of {', '.join(get_args(Sort))}.")
    by = c[sort].desc() if descending else c[sort].asc()
    order = [by.nulls_last() if c[sort].nullable else by, *([] if sort == "position" else [c.position.desc()])]
    # The positions first: rows are wide, and those before the page need not be read whole.
    here = sa.select(c.position).where(*of_trajectories(filters)).order_by(*order).limit(limit).offset(offset)
    query = sa.select(*SUMMARY).where(c.position.in_(here.subquery().select())).order_by(*order)
    return [TrajectorySummary._make(row) for row in connection.execute(query)]


def count(connection: sa.Connection, filters: Mapping[str, Any]) -> int:
    """How many pass the filters."""
    query = sa.select(sa.func.count()).select_from(trajectories).where(*of_trajectories(filters))
    return connection.scalar(query) or 0


def mark_filtered(connection: sa.Connection, ids: Collection[str], reason: str) -> None:
    """Keep why these are not learned from."""
    for batch in batches(ids):
        connection.execute(trajectories.update().where(trajectories.c.id.in_(batch)).values(filtered=reason))


def neighbours(connection: sa.Connection, bucket: Bucket, before: int, limit: int) -> list[TrajectorySummary]:
    """The newest of a bucket before a position. Only the bucket's own range of the index is read."""
    values = {"before": before, "newest": limit, **_bucket_values(bucket)}
    return [TrajectorySummary._make(row) for row in connection.execute(NEIGHBOURS[_kind(bucket)], values)]


def position(connection: sa.Connection, trajectory_id: str) -> int | None:
    """A trajectory's place in the order of insertion, None when there is no such id."""
    return connection.scalar(POSITION, {"id": trajectory_id})


def bucket_sizes(connection: sa.Connection, after: Mapping[Bucket, int], before: int) -> dict[Bucket, int]:
    """How many of each bucket stand after its own position and before another."""
    return {
        bucket: connection.scalar(SIZE[_kind(bucket)], {"after": start, "before": before, **_bucket_values(bucket)})
        or 0
        for bucket, start in after.items()
    }


def _kind(bucket: Bucket) -> tuple[bool, bool]:
    """Of which statement: at any commit, of any run."""
    return bucket.base_commit is None, bucket.run is None


def _bucket_values(bucket: Bucket) -> dict[str, str]:
    return {f"b_{k}": v for k, v in asdict(bucket).items() if v is not None}


def right_answers(connection: sa.Connection, instance_ids: Collection[str], run: str | None) -> dict[str, RightAnswer]:
    """For each instance that was resolved, the answer and the patch that resolved it first."""
    known: dict[str, RightAnswer] = {}
    for batch in batches(instance_ids):
        for row in connection.execute(RIGHT_ANSWERS[run is None], {"values": batch, "in_run": run}):
            right = decode_answer(row.document)
            if right.answer.strip():
                known[row.instance_id] = right
    return known

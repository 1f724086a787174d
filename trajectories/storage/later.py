"""What is kept about runs, trajectories and pairs beside them: each function works in a transaction of its caller.

Invariant: nothing here changes what was added. Of a trajectory the first lesson stays, of an iteration and of a task
the last row that was written, of findings as many of the newest as whoever adds one says, of all else every row.
"""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from trajectories.queries import Finding, FindingKind, Lesson, Margin, StoreError
from trajectories.storage import codec
from trajectories.storage.filters import batches
from trajectories.storage.schema import findings, lessons, margins, metrics, runs, store_meta, tasks, trajectories


def configuration(connection: sa.Connection, run: str) -> dict[str, Any] | None:
    """What the run was started with; None where nobody said."""
    found: dict[str, Any] | None = connection.scalar(sa.select(runs.c.configuration).where(runs.c.name == run))
    return found


def configure(connection: sa.Connection, run: str, values: dict[str, Any]) -> None:
    """Keep what a run that has its name was started with."""
    connection.execute(runs.update().where(runs.c.name == run).values(configuration=values))


def add_metrics(connection: sa.Connection, run: str, iteration: int, values: Mapping[str, Any]) -> None:
    """Keep what an iteration measured."""
    where = (metrics.c.run == run, metrics.c.iteration == iteration)
    connection.execute(metrics.delete().where(*where))
    # No number is no value: JSON has no word for it.
    plain = json.loads(json.dumps(values), parse_constant=lambda _: None)
    connection.execute(metrics.insert().values(run=run, iteration=iteration, values=plain))


def read_metrics(connection: sa.Connection, run: str, after: int) -> list[dict[str, Any]]:
    """The rows of a run's iterations beyond one, in order."""
    query = sa.select(metrics.c["values"]).where(metrics.c.run == run, metrics.c.iteration > after)
    return list(connection.scalars(query.order_by(metrics.c.iteration)))


def add_tasks(connection: sa.Connection, run: str, documents: Mapping[str, bytes]) -> None:
    """Keep tasks, by instance id."""
    for batch in batches(documents):
        connection.execute(tasks.delete().where(tasks.c.run == run, tasks.c.instance_id.in_(batch)))
        connection.execute(tasks.insert(), [{"run": run, "instance_id": i, "document": documents[i]} for i in batch])


def task(connection: sa.Connection, instance_id: str, run: str) -> dict[str, Any] | None:
    """The task as the run has it, else as another one."""
    query = sa.select(tasks.c.document).where(tasks.c.instance_id == instance_id)
    found = connection.scalar(query.order_by((tasks.c.run == run).desc(), tasks.c.run.desc()).limit(1))
    return None if found is None else unpack(found)


def add_lessons(connection: sa.Connection, learned: Iterable[tuple[str, float | None, bytes]]) -> None:
    """Keep lessons by trajectory; of those that have one, and of those that are not stored, nothing."""
    for trajectory_id, advantage, logprobs in learned:
        where = sa.select(trajectories.c.position).where(trajectories.c.id == trajectory_id)
        position = connection.scalar(where)
        there = sa.select(lessons.c.position).where(lessons.c.position == position)
        if position is not None and connection.scalar(there) is None:
            row = {"position": position, "advantage": advantage, "logprobs": logprobs}
            connection.execute(lessons.insert().values(row))


def read_lessons(connection: sa.Connection, ids: Collection[str]) -> dict[str, Lesson]:
    """By trajectory."""
    joined = sa.select(trajectories.c.id, lessons.c.advantage, lessons.c.logprobs).join(
        lessons, lessons.c.position == trajectories.c.position
    )
    found: dict[str, Lesson] = {}
    for batch in batches(ids):
        for row in connection.execute(joined.where(trajectories.c.id.in_(batch))):
            found[row.id] = Lesson(row.id, row.advantage, _numbers(row.logprobs))
    return found


def packed_numbers(numbers: Iterable[float]) -> bytes:
    """Compressed, as 32-bit numbers."""
    return codec.pack(array("f", numbers).tobytes())


def _numbers(data: bytes) -> list[float]:
    numbers = array("f")
    numbers.frombytes(codec.unpack(data))
    return numbers.tolist()


def add_margins(connection: sa.Connection, measured: Iterable[Margin]) -> None:
    """Keep how a policy chose."""
    rows = [
        {"pair": m.pair_id, "version": m.version, "anchor_first": m.anchor_first, "margin": m.margin} for m in measured
    ]
    if rows:
        connection.execute(margins.insert(), rows)


def read_margins(connection: sa.Connection, pair_id: str) -> list[Margin]:
    """In the order in which they were measured."""
    c = margins.c
    query = sa.select(c.pair, c.version, c.anchor_first, c.margin).where(c.pair == pair_id).order_by(c.number)
    return [Margin._make(row) for row in connection.execute(query)]


def add_finding(connection: sa.Connection, kind: FindingKind, subject: str, document: bytes) -> None:
    """Keep a finding."""
    row = {"kind": kind, "subject": subject, "created_at": time.time(), "document": document}
    connection.execute(findings.insert().values(row))


def drop_older(connection: sa.Connection, kind: FindingKind, subject: str, keep: int, alike: str) -> None:
    """Of the findings whose documents say the same of `alike` as the newest, leave so many of the newest."""
    c = findings.c
    query = sa.select(c.number, c.document).where(c.kind == kind, c.subject == subject).order_by(c.number.desc())
    said = [(row.number, _said(row.document, alike)) for row in connection.execute(query)]
    older = [number for number, value in said if value is not None and value == said[0][1]][keep:]
    for batch in batches(older):
        connection.execute(findings.delete().where(c.number.in_(batch)))


def _said(document: bytes, key: str) -> Any:
    """A document's value; None where it has none, or is damaged: that keeps nobody from adding another."""
    try:
        return unpack(document).get(key)
    except (StoreError, ValueError):
        return None


def read_findings(connection: sa.Connection, kind: FindingKind, subject: str, limit: int) -> list[Finding]:
    """The newest first."""
    c = findings.c
    query = sa.select(c.created_at, c.document).where(c.kind == kind, c.subject == subject)
    rows = connection.execute(query.order_by(c.number.desc()).limit(limit))
    return [Finding(kind, subject, row.created_at, unpack(row.document)) for row in rows]


def forget(connection: sa.Connection, subjects: Collection[str]) -> None:
    """Take out the findings about trajectories, or about runs."""
    for batch in batches(subjects):
        connection.execute(findings.delete().where(findings.c.subject.in_(batch)))


def packed(document: Mapping[str, Any]) -> bytes:
    """A document, compressed. What JSON cannot say is refused with a `TypeError` or `ValueError`."""
    return codec.pack(json.dumps(document, ensure_ascii=False, allow_nan=False).encode())


def unpack(data: bytes) -> dict[str, Any]:
    """What was packed."""
    found: dict[str, Any] = json.loads(codec.unpack(data))
    return found


def pulse(connection: sa.Connection) -> tuple[str, int]:
    """Which store it is, and its revision."""
    query = sa.select(store_meta.c.key, store_meta.c.value).where(store_meta.c.key.in_(("identity", "revision")))
    found: dict[str, str] = {key: value for key, value in connection.execute(query)}
    return found["identity"], int(found["revision"])

"""Taking out of the store what is not wanted: each function works in a transaction that its caller opened.

Invariant: what goes, goes with all that stands on it (a trajectory with its body, its touches, its words, what
was learned of it and its pairs), and nothing else does; a text goes only when no row names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from trajectories.storage import later, rows, words
from trajectories.storage.codec import KEY_BYTES
from trajectories.storage.filters import batches, of_trajectories
from trajectories.storage.schema import (
    blobs,
    bodies,
    contexts,
    funnel,
    lessons,
    margins,
    metrics,
    mined,
    pairs,
    runs,
    store_meta,
    tasks,
    touches,
    trajectories,
)

AT_ONCE = 500
"""Trajectories of one transaction, so that writers need not wait long."""
_BEGUN = "cleaning"


class Amount(NamedTuple):
    """How much goes, or went."""

    trajectories: int
    pairs: int


class Unused(NamedTuple):
    """Texts and contexts that no row names."""

    texts: int
    contexts: int
    bytes: int


def count(connection: sa.Connection, filters: Mapping[str, Any]) -> Amount:
    """What `delete` would take, all batches together."""
    ids = sa.select(trajectories.c.id).where(*of_trajectories(filters))
    n = sa.func.count()
    stored = connection.scalar(sa.select(n).select_from(trajectories).where(*of_trajectories(filters))) or 0
    return Amount(stored, connection.scalar(sa.select(n).select_from(pairs).where(_standing_on(ids))) or 0)


def end(connection: sa.Connection) -> int:
    """The position behind the newest trajectory's."""
    return (connection.scalar(sa.select(sa.func.max(trajectories.c.position))) or 0) + 1


def delete(connection: sa.Connection, filters: Mapping[str, Any]) -> Amount:
    """Take out the oldest `AT_ONCE` of those that pass the filters, with their pairs."""
    c = trajectories.c
    first = sa.select(c.position, c.id, c.run).where(*of_trajectories(filters)).order_by(c.position).limit(AT_ONCE)
    found = connection.execute(first).all()
    if not found:
        return Amount(0, 0)
    standing = _standing_on([row.id for row in found])
    connection.execute(margins.delete().where(margins.c.pair.in_(sa.select(pairs.c.id).where(standing))))
    sets = set(connection.scalars(sa.select(pairs.c.run).where(standing).distinct()))
    taken = connection.execute(pairs.delete().where(standing)).rowcount
    readable = ((row.position, rows.readable(connection, row.id)) for row in found)
    words.delete(connection, [(position, t) for position, t in readable if t is not None])
    later.forget(connection, [row.id for row in found])
    for table in (touches, bodies, mined, lessons, trajectories):
        connection.execute(table.delete().where(table.c.position.in_([row.position for row in found])))
    _forget_names(connection, sets.union(row.run for row in found))
    return Amount(len(found), taken)


def _standing_on(ids: sa.Select[tuple[str]] | list[str]) -> sa.ColumnElement[bool]:
    return sa.or_(pairs.c.anchor_id.in_(ids), pairs.c.confounder_id.in_(ids))


def _forget_names(connection: sa.Connection, names: set[str]) -> None:
    """The counts and the names of runs and sets of which nothing is left; a name that a process holds stays."""
    for name in names:
        left = (sa.select(t.c.position).where(t.c.run == name).limit(1) for t in (trajectories, pairs))
        if all(connection.scalar(query) is None for query in left):
            for table in (funnel, metrics, tasks):
                connection.execute(table.delete().where(table.c.run == name))
            later.forget(connection, [name])
            connection.execute(runs.delete().where(runs.c.name == name, runs.c.holder == ""))


def begin(connection: sa.Connection, what: str) -> None:
    """Remember what is being taken out."""
    end_of_cleaning(connection)
    connection.execute(store_meta.insert().values(key=_BEGUN, value=what))


def unfinished(connection: sa.Connection) -> str | None:
    """What was begun and never ended."""
    return connection.scalar(sa.select(store_meta.c.value).where(store_meta.c.key == _BEGUN))


def end_of_cleaning(connection: sa.Connection) -> None:
    """Nothing is being taken out."""
    connection.execute(store_meta.delete().where(store_meta.c.key == _BEGUN))


def unused(connection: sa.Connection) -> Unused:
    """What `sweep` would take."""
    numbers, size = _unused_texts(connection), sa.func.sum(sa.func.length(blobs.c.text))
    text_bytes = [connection.scalar(sa.select(size).where(blobs.c.number.in_(b))) or 0 for b in batches(numbers)]
    found = sa.select(sa.func.count(), sa.func.sum(sa.func.length(contexts.c.document))).where(_unused_contexts())
    n_contexts, context_bytes = connection.execute(found).one()
    return Unused(len(numbers), n_contexts, sum(text_bytes) + (context_bytes or 0))


def sweep(connection: sa.Connection) -> Unused:
    """Take out what no row names."""
    there = unused(connection)
    for batch in batches(_unused_texts(connection)):
        connection.execute(blobs.delete().where(blobs.c.number.in_(batch)))
    connection.execute(contexts.delete().where(_unused_contexts()))
    return there


def _unused_texts(connection: sa.Connection) -> list[int]:
    """Their numbers. Keys of all texts are held in memory meanwhile: some 100 bytes each."""
    keys = sa.select(sa.type_coerce(blobs.c.key, sa.LargeBinary), blobs.c.number)
    left: dict[bytes, int] = {key: number for key, number in connection.execute(keys)}
    for named in connection.scalars(sa.select(bodies.c.blobs)):
        for at in range(0, len(named), KEY_BYTES):
            left.pop(named[at : at + KEY_BYTES], None)
    return sorted(left.values())


def _unused_contexts() -> sa.ColumnElement[bool]:
    shown = sa.union(sa.select(pairs.c.anchor_key), sa.select(pairs.c.confounder_key))
    return contexts.c.key.not_in(shown)

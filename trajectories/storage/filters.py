"""Filters as conditions on rows.

Invariant: a filter that is not known is an error, never ignored; one that is None does not filter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa

from trajectories.queries import Filters, Order, PairFilters, StoreError
from trajectories.storage import words
from trajectories.storage.schema import pairs, places, touches, trajectories

T = TypeVar("T")
_BATCH = 500
"""Most values in one `IN`: below the limit of every database."""


def of_trajectories(filters: Mapping[str, Any]) -> list[sa.ColumnElement[bool]]:
    """Conditions on `trajectories`. Raises `StoreError`."""
    c = trajectories.c
    special = {
        "file": lambda name: c.position.in_(_touching("file", name, filters.get("repo"))),
        "function": lambda name: c.position.in_(_touching("function", name, filters.get("repo"))),
        "resolved": lambda yes: c.resolved if yes else sa.and_(~c.resolved, c.graded),
        "min_reward": lambda reward: c.reward >= reward,
        "max_reward": lambda reward: c.reward <= reward,
        "filtered": lambda yes: c.filtered != "" if yes else c.filtered == "",
        "since": lambda time: c.created_at >= time,
        "until": lambda time: c.created_at < time,
        "text": lambda text: words.holds(c.position, text),
        "after": lambda position: c.position > position,
        "before": lambda position: c.position < position,
    }
    return _conditions("Trajectories", Filters.__annotations__, filters, c, special)


def of_pairs(filters: Mapping[str, Any]) -> list[sa.ColumnElement[bool]]:
    """Conditions on `pairs`. Raises `StoreError`."""
    c = pairs.c
    special = {
        "instance_id": lambda i: sa.or_(c.anchor_instance == i, c.confounder_instance == i),
        "retired": lambda yes: c.retired != "" if yes else c.retired == "",
        "after": lambda position: c.position > position,
        "before": lambda position: c.position < position,
    }
    return _conditions("Pairs", PairFilters.__annotations__, filters, c, special)


def _conditions(
    what: str, known: Collection[str], filters: Mapping[str, Any], columns: Any, special: Mapping[str, Any]
) -> list[sa.ColumnElement[bool]]:
    for name in filters:
        if name not in known:
            raise StoreError(f"{what} cannot be filtered by {name!r}: use one of {', '.join(known)}.")
    given = {name: value for name, value in filters.items() if value is not None}
    return [special[n](value) if n in special else columns[n] == value for n, value in given.items()]


def _touching(stage: str, name: str, repo: str | None) -> sa.Select[tuple[int]]:
    here = sa.select(places.c.number).where(places.c.stage == stage, places.c.name == name)
    if repo is not None:
        here = here.where(places.c.repo == repo)
    return sa.select(touches.c.position).where(touches.c.place.in_(here))


def in_order(query: sa.Select[Any], position: sa.Column[Any], order: Order, limit: int | None) -> sa.Select[Any]:
    """The query in the order of insertion or its reverse, cut after `limit` rows."""
    return query.order_by(position if order == "oldest" else position.desc()).limit(limit)


def ids_from(connection: sa.Connection, prefix: str, what: str, limit: int) -> list[str]:
    """The first ids of trajectories or pairs that start so: a range of the index."""
    column = {"trajectories": trajectories, "pairs": pairs}[what].c.id
    query = sa.select(column).where(column >= prefix, column < prefix + "\U0010ffff")
    return list(connection.scalars(query.order_by(column).limit(limit)))


def batches(values: Iterable[T]) -> Iterable[list[T]]:
    """The distinct values in lists short enough for one `IN`."""
    distinct = list(dict.fromkeys(values))
    return (distinct[i : i + _BATCH] for i in range(0, len(distinct), _BATCH))

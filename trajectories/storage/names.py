"""The names of runs: each function works in a transaction that its caller opened, which no other writes beside.

Invariant: two runs never have one name, however many processes begin at once, and none takes a name under which
trajectories are stored.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import sqlalchemy as sa

from trajectories.storage.holders import this_process
from trajectories.storage.schema import runs, trajectories

EVALUATIONS = (".before", ".after")
"""What a run's evaluations have behind its name."""


def claim(connection: sa.Connection, name: str, configuration: dict[str, Any] | None) -> str:
    """The name, or the first of `name-2`, `name-3`, ... that is free."""
    label = next(label for label in _candidates(name) if not _taken(connection, label))
    row = {"name": label, "started_at": time.time(), "holder": this_process(), "configuration": configuration}
    connection.execute(runs.insert().values(row))
    return label


def _candidates(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in count(2))


def _taken(connection: sa.Connection, label: str) -> bool:
    labels = [label, *(label + evaluation for evaluation in EVALUATIONS)]
    stored = sa.select(trajectories.c.position).where(trajectories.c.run.in_(labels))
    named = sa.select(runs.c.name).where(runs.c.name == label)
    return any(connection.execute(query.limit(1)).first() for query in (named, stored))


def hold(connection: sa.Connection, name: str) -> None:
    """This process goes on with the run."""
    changed = connection.execute(runs.update().where(runs.c.name == name).values(holder=this_process()))
    if not changed.rowcount:
        row = {"name": name, "started_at": time.time(), "holder": this_process()}
        connection.execute(runs.insert().values(row))


def release(connection: sa.Connection, name: str) -> None:
    """This process is done with the run, unless another holds it now."""
    mine = (runs.c.name == name, runs.c.holder == this_process())
    connection.execute(runs.update().where(*mine).values(holder=""))


def holders(connection: sa.Connection) -> dict[str, str]:
    """Runs that are held, and by whom (`trajectories.storage.holders`)."""
    return {row.name: row.holder for row in connection.execute(sa.select(runs).where(runs.c.holder != ""))}

"""The names of runs and of mined sets.

Each function works in a transaction that its caller opened, which no other writes beside.

Invariant: two runs never have one name, however many processes begin at once, and none takes a name under which
trajectories are stored. A set of pairs that was mined is no run's, and all of it was mined in one way.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import sqlalchemy as sa

from trajectories.queries import StoreError
from trajectories.storage.holders import describe, state_of, this_process
from trajectories.storage.schema import pairs, runs, trajectories

EVALUATIONS = (".before", ".after")
"""What a run's evaluations have behind its name."""
MINED = "mined"
"""The part of a name's configuration that says how its set of pairs was mined: such a name is no run's."""


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


def evaluations(names: Iterable[str]) -> frozenset[str]:
    """Those of the runs that are evaluations of another one of them."""
    known = set(names)
    return frozenset(name for name in known for end in EVALUATIONS if name.removesuffix(end) in known - {name})


def claim_set(connection: sa.Connection, name: str, options: dict[str, Any]) -> None:
    """Take a name for a set of pairs that is mined so, or go on with it. `StoreError` where that would mix things.

    The process holds it until `release`.

    `options`: as on the command line, `--name` -> value; True and False for those that have none.
    """
    row = connection.execute(sa.select(runs).where(runs.c.name == name)).one_or_none()
    before = (row.configuration or {}).get(MINED) if row else None
    if before == options:
        return hold(connection, name)
    if row and before is not None and state_of(row.holder) == "running":
        raise StoreError(f"The set {name!r} is being mined right now by {describe(row.holder)}: give another (--set).")
    if connection.execute(sa.select(pairs.c.position).where(pairs.c.run == name).limit(1)).first():
        if before is None:
            raise StoreError(
                f"There are pairs already under the name {name!r}, of a run or a file: give another (--set)."
            )
        other = ", ".join(_as_written(key, before.get(key)) for key in options if before.get(key) != options[key])
        raise StoreError(f"The set {name!r} was mined with {other}: give the same again, or another name (--set).")
    if before is None and _taken(connection, name):
        raise StoreError(f"{name!r} is the name of a run, whose pairs training mines: give another (--set).")
    connection.execute(runs.delete().where(runs.c.name == name))
    new = {"name": name, "started_at": time.time(), "holder": this_process(), "configuration": {MINED: options}}
    connection.execute(runs.insert().values(new))


def is_mined(connection: sa.Connection, name: str) -> bool:
    """Whether it is the name of a set that was mined."""
    found = connection.scalar(sa.select(runs.c.configuration).where(runs.c.name == name))
    return MINED in (found or {})


def _as_written(option: str, value: object) -> str:
    if value in (None, False):
        return f"no {option}"
    return option if value is True else f"{option} {value}"


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

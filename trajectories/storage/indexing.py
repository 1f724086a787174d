"""Bringing the index of words up to date, when somebody asks for words.

Invariant: whoever adds trajectories pays nothing for the index, and whoever asks it finds all of them: what was added
since is indexed first, in the order of positions, each once, whichever process does it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import sqlalchemy as sa

from trajectories.queries import StoreError
from trajectories.storage import rows, words
from trajectories.storage.database import Database
from trajectories.storage.schema import trajectories

_AT_ONCE = 200
"""Trajectories in one transaction."""


def when_asked(db: Database, filters: Mapping[str, Any]) -> None:
    """Index what is not indexed where the filters ask for words. Raises `StoreError`."""
    if filters.get("text") is not None:
        catch_up(db)


def catch_up(db: Database, seconds: float = math.inf, progress: Callable[[int, int], None] | None = None) -> int:
    """Index for at most so long; how many trajectories are left. `progress` is told how many are done, of how many.

    Raises `StoreError` where something is to be indexed in a store that can only be read.
    """
    until, done = time.monotonic() + seconds, 0
    while True:
        after, left = db.read(_behind)
        if progress and (left or done):
            progress(done, done + left)
        if not left or (done and time.monotonic() > until):
            return left
        last, said = db.read(partial(_next, after=after))
        try:
            done += db.write(partial(words.index, after=after, upto=last, said=said))
        except StoreError as error:
            raise StoreError(
                f"{left:,} trajectories of {db.where} cannot be searched for words before they are indexed: {error}"
            ) from error


def _behind(connection: sa.Connection) -> tuple[int, int]:
    """Up to which position all is indexed, and how many trajectories come after it."""
    after = words.indexed_to(connection)
    query = sa.select(sa.func.count()).select_from(trajectories).where(trajectories.c.position > after)
    return after, connection.scalar(query) or 0


def _next(connection: sa.Connection, after: int) -> tuple[int, list[tuple[int, str]]]:
    """The last position of the next ones, and what each says; one that is damaged says nothing."""
    c = trajectories.c
    query = sa.select(c.position, c.id).where(c.position > after).order_by(c.position).limit(_AT_ONCE)
    found = connection.execute(query).all()
    said = [(row.position, words.said_in(t)) for row in found if (t := rows.readable(connection, row.id)) is not None]
    return (found[-1].position if found else after), said

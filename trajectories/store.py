"""The trajectory store on a SQL database: SQLite in WAL mode for a path, PostgreSQL for a URL.

Invariant: what `add` has returned from is durable against the end of any process, whole, and never changed again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

import sqlalchemy as sa

from trajectories.queries import (
    Bucket,
    Filters,
    Order,
    RightAnswer,
    RunSummary,
    Sort,
    StoreError,
    TrajectorySummary,
)
from trajectories.records import Trajectory
from trajectories.storage import blobs, indexing, names, overview, rows
from trajectories.storage.codec import encode
from trajectories.storage.database import Database
from trajectories.storage.filters import ids_from
from trajectories.storage.later_store import SQLLaterStore
from trajectories.storage.pair_store import SQLPairStore
from trajectories.storage.places import Place, PlaceNumbers, remember
from trajectories.storage.tables import SQLTables

T = TypeVar("T")


class SQLStore(SQLPairStore, SQLLaterStore, SQLTables):
    """A `TrajectoryStore` (what each method promises is written there). Also a context manager.

    `where`: the path of a file, made with its folder if it is not there and `create` holds, or the URL of a database.
    `timeout_s`: how long to wait for other writers. A store of an older version of this program is upgraded;
    `progress(moved, of)` is told how far that is.
    """

    def __init__(
        self,
        where: str | Path,
        *,
        create: bool = True,
        timeout_s: float = 30.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._db = Database(where, create=create, timeout_s=timeout_s, progress=progress)
        self._places: dict[Place, int] = {}
        self._subscribers: list[Callable[[Trajectory], object]] = []

    @property
    def database(self) -> Database:
        """What it stands on, for whoever looks after it (`trajectories.storage.upkeep`)."""
        return self._db

    @property
    def where(self) -> str:
        """The path, or the URL without its password."""
        return self._db.where

    def add(self, trajectory: Trajectory) -> None:
        """Keep a trajectory, then call the subscribers."""
        self.add_many([trajectory])

    def add_many(self, trajectories: Iterable[Trajectory]) -> None:
        """Keep all in one transaction, then call the subscribers with those that were new."""
        # Before the lock is taken: others may write meanwhile.
        encoded = [(t, encode(t)) for t in trajectories]

        def insert(connection: sa.Connection) -> tuple[list[Trajectory], PlaceNumbers]:
            numbers = PlaceNumbers(self._places)
            return [t for t, e in encoded if rows.insert(connection, numbers, t, e)], numbers

        new, numbers = self._db.write(insert)
        remember(self._places, numbers.fresh)
        for trajectory in new:
            for callback in tuple(self._subscribers):
                callback(trajectory)

    def subscribe(self, callback: Callable[[Trajectory], object]) -> Callable[[], None]:
        """Call `callback` after each insertion; the result ends that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def get(self, trajectory_id: str) -> Trajectory:
        """One trajectory, whole."""
        found = self.get_many([trajectory_id])
        if not found:
            raise StoreError(f"There is no trajectory {trajectory_id} in {self.where}.")
        return found[trajectory_id]

    def get_many(self, ids: Collection[str], *, tokens: bool = True) -> dict[str, Trajectory]:
        """Those of the ids that are there."""
        return self._db.read(lambda c: rows.by_ids(c, ids, tokens=tokens))

    def query(
        self, *, limit: int | None = None, order: Order = "oldest", **filters: Unpack[Filters]
    ) -> list[Trajectory]:
        """Whole trajectories that pass all filters."""
        return self._asked(filters, lambda c: rows.select(c, filters, order, limit))

    def summaries(
        self, *, limit: int | None = None, order: Order = "oldest", **filters: Unpack[Filters]
    ) -> list[TrajectorySummary]:
        """As `query`, without reading the turns."""
        return self._asked(filters, lambda c: rows.summaries(c, filters, order, limit))

    def page(
        self,
        *,
        sort: Sort = "position",
        descending: bool = True,
        offset: int = 0,
        limit: int = 50,
        **filters: Unpack[Filters],
    ) -> list[TrajectorySummary]:
        """A page of a sorted table of trajectories."""
        return self._asked(filters, lambda c: rows.page(c, filters, sort, descending, offset, limit))

    def scan(self, *, batch: int = 1000, **filters: Unpack[Filters]) -> Iterator[TrajectorySummary]:
        """As `summaries`, the oldest first, read `batch` at a time."""
        while found := self.summaries(limit=batch, **filters):
            yield from found
            filters["after"] = found[-1].position

    def statements(self, keys: Collection[str]) -> dict[str, str]:
        """Problem statements by key."""
        return self._db.read(lambda c: blobs.read(c, keys))

    def find_ids(self, prefix: str, what: Literal["trajectories", "pairs"], limit: int = 10) -> list[str]:
        """The first ids that start so."""
        return self._db.read(lambda c: ids_from(c, prefix, what, limit))

    def mark_filtered(self, ids: Collection[str], reason: str) -> None:
        """Keep why these trajectories are not learned from."""
        self._db.write(lambda c: rows.mark_filtered(c, ids, reason))

    def count(self, **filters: Unpack[Filters]) -> int:
        """How many trajectories pass all filters."""
        return self._asked(filters, lambda c: rows.count(c, filters))

    def index_words(self, seconds: float = math.inf, progress: Callable[[int, int], None] | None = None) -> int:
        """Index what was added since the last time."""
        return indexing.catch_up(self._db, seconds, progress)

    def _asked(self, filters: Filters, work: Callable[[sa.Connection], T]) -> T:
        indexing.when_asked(self._db, filters)
        return self._db.read(work)

    def claim_run(self, name: str, configuration: dict[str, Any] | None = None) -> str:
        """Take a name for a new run: the one given, or with a number behind it where that is taken."""
        return self._db.write(lambda c: names.claim(c, name, configuration))

    def claim_set(self, name: str, options: dict[str, Any]) -> None:
        """Take a name for a set of pairs that is mined with these options, or go on with it."""
        self._db.write(lambda c: names.claim_set(c, name, options))

    def is_mined(self, name: str) -> bool:
        """Whether it is the name of a set that was mined."""
        return self._db.read(lambda c: names.is_mined(c, name))

    def hold_run(self, name: str) -> None:
        """This process goes on with a run that has its name."""
        self._db.write(lambda c: names.hold(c, name))

    def release_run(self, name: str) -> None:
        """This process is done with the run."""
        self._db.write(lambda c: names.release(c, name))

    def runs(self) -> list[RunSummary]:
        """All runs, the oldest first."""
        return self._db.read(overview.runs)

    def neighbours(self, bucket: Bucket, *, before: int, limit: int) -> list[TrajectorySummary]:
        """The newest of a bucket before a position."""
        return self._db.read(lambda c: rows.neighbours(c, bucket, before, limit))

    def bucket_sizes(self, after: Mapping[Bucket, int], *, before: int) -> dict[Bucket, int]:
        """How many of each bucket stand after its own position and before another."""
        return self._db.read(lambda c: rows.bucket_sizes(c, after, before))

    def position(self, trajectory_id: str) -> int:
        """A trajectory's place in the order of insertion."""
        position = self._db.read(lambda c: rows.position(c, trajectory_id))
        if position is None:
            raise StoreError(f"There is no trajectory {trajectory_id} in {self.where}.")
        return position

    def right_answers(self, instance_ids: Collection[str], run: str | None = None) -> dict[str, RightAnswer]:
        """One right answer for each instance that was resolved."""
        return self._db.read(lambda c: rows.right_answers(c, instance_ids, run))

    def close(self) -> None:
        """Release the connections. Safe to call twice."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

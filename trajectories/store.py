"""The trajectory store on a SQL database: SQLite in WAL mode for a path, any other database for a URL.

Invariant: what `add` has returned from is durable against the end of any process, whole, and never changed again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from trajectories import pairs, rows
from trajectories.database import Database
from trajectories.protocol import (
    Bucket,
    Filters,
    Order,
    PairFilters,
    RightAnswer,
    RunSummary,
    Stage,
    StoreError,
    TrajectorySummary,
)
from trajectories.records import ContextPair, Judgement, Trajectory


class SQLStore:
    """A `TrajectoryStore` (what each method promises is written there). Also a context manager.

    `where`: the path of a file, made with its folder if it is not there and `create` holds, or a SQLAlchemy URL.
    `timeout_s`: how long to wait for other writers.
    """

    def __init__(self, where: str | Path, *, create: bool = True, timeout_s: float = 30.0) -> None:
        self._db = Database(where, create=create, timeout_s=timeout_s)
        self._subscribers: list[Callable[[Trajectory], object]] = []

    @property
    def where(self) -> str:
        """The path, or the URL without its password."""
        return self._db.where

    def add(self, trajectory: Trajectory) -> None:
        """Keep a trajectory, then call the subscribers."""
        if self._db.write(lambda c: rows.insert(c, trajectory)):
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
        return self._db.read(lambda c: rows.select(c, filters, order, limit))

    def summaries(
        self, *, limit: int | None = None, order: Order = "oldest", **filters: Unpack[Filters]
    ) -> list[TrajectorySummary]:
        """As `query`, without reading the turns."""
        return self._db.read(lambda c: rows.summaries(c, filters, order, limit))

    def count(self, **filters: Unpack[Filters]) -> int:
        """How many trajectories pass all filters."""
        return self._db.read(lambda c: rows.count(c, filters))

    def runs(self) -> list[RunSummary]:
        """All runs, the oldest first."""
        return self._db.read(rows.runs)

    def add_pairs(self, pairs_: Iterable[ContextPair]) -> list[ContextPair]:
        """Keep the pairs that are new, and return them."""
        new = list(pairs_)
        return self._db.write(lambda c: pairs.insert(c, new)) if new else []

    def pairs(
        self, *, limit: int | None = None, order: Order = "oldest", **filters: Unpack[PairFilters]
    ) -> list[ContextPair]:
        """Pairs that pass all filters."""
        return self._db.read(lambda c: pairs.select(c, filters, order, limit))

    def get_pair(self, pair_id: str) -> ContextPair:
        """One pair."""
        pair = self._db.read(lambda c: pairs.by_id(c, pair_id))
        if pair is None:
            raise StoreError(f"There is no pair {pair_id} in {self.where}.")
        return pair

    def count_pairs(self, **filters: Unpack[PairFilters]) -> int:
        """How many pairs pass all filters."""
        return self._db.read(lambda c: pairs.count(c, filters))

    def finish_mining(
        self, position: int, run: str, pairs_: Iterable[ContextPair], counts: Mapping[str, int]
    ) -> list[ContextPair]:
        """Keep at once what mining one trajectory gave; the pairs that were new."""
        new = list(pairs_)
        return self._db.write(lambda c: pairs.finish_mining(c, position, run, new, counts))

    def unmined(self, run: str) -> list[str]:
        """Ids of the run's trajectories that were not mined."""
        return self._db.read(lambda c: pairs.unmined(c, run))

    def add_funnel(self, run: str, counts: Mapping[str, int]) -> None:
        """Add to the run's counts of the mining cascade."""
        self._db.write(lambda c: pairs.add_funnel(c, run, counts))

    def funnel(self, run: str) -> dict[str, int]:
        """The run's counts of the mining cascade."""
        return self._db.read(lambda c: pairs.read_funnel(c, run))

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

    def pair_use(self, ids: Collection[str], stage: Stage) -> dict[str, int]:
        """In how many valid pairs of a stage each trajectory stands."""
        return self._db.read(lambda c: pairs.use(c, ids, stage))

    def judgements(self, keys: Collection[str]) -> dict[str, Judgement]:
        """What was decided on each pair that is stored, by key."""
        return self._db.read(lambda c: pairs.judgements(c, keys))

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

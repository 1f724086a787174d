"""The seams of this room: what a store and a judge must be able to do.

Invariant: whoever keeps trajectories and whoever judges pairs is known to the rest of the project only by the
protocols here; the miner works with any store that keeps the insertion order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol, Unpack

from trajectories.queries import (
    Bucket,
    Filters,
    Finding,
    FindingKind,
    Lesson,
    Margin,
    Order,
    PairFilters,
    PairLife,
    RightAnswer,
    RunSummary,
    Sort,
    Stage,
    StoreError,
    StoreMissing,
    StoreRefusal,
    TrajectorySummary,
)
from trajectories.records import ContextPair, Judgement, Trajectory

__all__ = [
    "Bucket",
    "Filters",
    "Finding",
    "FindingKind",
    "Lesson",
    "Margin",
    "Order",
    "PairFilters",
    "PairJudge",
    "PairLife",
    "RightAnswer",
    "RunSummary",
    "Sort",
    "Stage",
    "StoreError",
    "StoreMissing",
    "StoreRefusal",
    "TrajectoryStore",
    "TrajectorySummary",
]


class TrajectoryStore(Protocol):
    """Keeps every trajectory, also failed and broken ones. All methods may raise `StoreError`; all are thread-safe."""

    def add(self, trajectory: Trajectory) -> None:
        """Keep it, durable on return, then call the subscribers. The same trajectory again changes nothing.

        Another trajectory with an id that is there already is refused.
        """

    def add_many(self, trajectories: Iterable[Trajectory]) -> None:
        """As `add` of each, in one transaction: all are kept, or none."""

    def get(self, trajectory_id: str) -> Trajectory:
        """The trajectory, exactly as it was added. An unknown id is a `StoreError`."""

    def get_many(self, ids: Collection[str], *, tokens: bool = True) -> dict[str, Trajectory]:
        """Those of the ids that are there; without their token ids and log-probabilities if `tokens` is False."""

    def query(
        self, *, limit: int | None = None, order: Order = "oldest", **filters: Unpack[Filters]
    ) -> list[Trajectory]:
        """All trajectories that pass all filters, in the order of insertion or its reverse."""

    def summaries(
        self, *, limit: int | None = None, order: Order = "oldest", **filters: Unpack[Filters]
    ) -> list[TrajectorySummary]:
        """As `query`, without reading the turns."""

    def page(
        self,
        *,
        sort: Sort = "position",
        descending: bool = True,
        offset: int = 0,
        limit: int = 50,
        **filters: Unpack[Filters],
    ) -> list[TrajectorySummary]:
        """Some rows of a sorted table: without a value come last, among equals the newest first."""

    def scan(self, *, batch: int = 1000, **filters: Unpack[Filters]) -> Iterator[TrajectorySummary]:
        """As `summaries`, the oldest first, read `batch` at a time. What is added meanwhile comes too."""

    def statements(self, keys: Collection[str]) -> dict[str, str]:
        """The problem statements with these keys (`TrajectorySummary.statement`), those that are there."""

    def find_ids(self, prefix: str, what: Literal["trajectories", "pairs"], limit: int = 10) -> list[str]:
        """The first ids that start so, in their order."""

    def mark_filtered(self, ids: Collection[str], reason: str) -> None:
        """Keep why these trajectories are not learned from; an empty reason takes that back. Unknown ids are ignored.

        What was added is not changed by it.
        """

    def count(self, **filters: Unpack[Filters]) -> int:
        """How many trajectories pass all filters."""

    def index_words(self, seconds: float = math.inf, progress: Callable[[int, int], None] | None = None) -> int:
        """Index the words of what was added since the last time, for at most so long; how many are left.

        Who filters by `text` waits until none is. `progress` is told how many are done, of how many.
        """

    def runs(self) -> list[RunSummary]:
        """All runs, the oldest first."""

    def subscribe(self, callback: Callable[[Trajectory], object]) -> Callable[[], None]:
        """Call `callback` after each insertion, in the thread that added; the result ends the subscription."""

    def add_pairs(self, pairs: Iterable[ContextPair]) -> list[ContextPair]:
        """Keep those whose answer and contexts are new in their run, and return them.

        A pair that is there as `uncertain` is replaced by the same pair with a decided judgement.
        """

    def pairs(
        self, *, limit: int | None = None, order: Order = "oldest", **filters: Unpack[PairFilters]
    ) -> list[ContextPair]:
        """All pairs that pass all filters."""

    def scan_pairs(self, *, batch: int = 200, **filters: Unpack[PairFilters]) -> Iterator[ContextPair]:
        """As `pairs`, the oldest first, read `batch` at a time."""

    def live_pairs_of(self, instance_ids: Collection[str]) -> list[ContextPair]:
        """Valid pairs that are not retired in which one of the instances is the confounder's."""

    def living_pairs(self, run: str, repo: str, function: str) -> int:
        """How many valid pairs of a function, at its own stage, are not retired."""

    def live_answers_of(self, instance_id: str) -> list[tuple[str, str]]:
        """Id and answer of each valid pair that is not retired in which the instance is the confounder's."""

    def use_pairs(self, ids: Iterable[str], policy_version: int) -> None:
        """Count that a policy of this version learns from them; one named twice is used twice."""

    def check_pairs(self, ids: Collection[str], policy_version: int) -> None:
        """Keep that their labels were checked against what was known at this version."""

    def retire_pairs(self, ids: Collection[str], reason: str) -> None:
        """Keep why these pairs are not learned from any more; an empty reason takes that back."""

    def settled(self, run: str) -> dict[str, tuple[int, int]]:
        """Of each valid pair: the position of the trajectory whose mining made it valid, and which it was of its pairs.

        0 where nobody was mined for it.
        """

    def forget_margins(self, run: str, version: int) -> None:
        """Take out how policies of this version and later ones chose on the run's pairs: it is measured again."""

    def revive_pairs(self, uses: Mapping[str, int]) -> None:
        """Take back that these pairs were retired, and set how often each was learned from: a run goes on from before.

        Unknown ids are ignored.
        """

    def pair_life(self, ids: Collection[str]) -> dict[str, PairLife]:
        """What became of those of the pairs that are there."""

    def get_pair(self, pair_id: str) -> ContextPair:
        """One pair. An unknown id is a `StoreError`."""

    def count_pairs(self, **filters: Unpack[PairFilters]) -> int:
        """How many pairs pass all filters."""

    def finish_mining(
        self, position: int, run: str, pairs_: Iterable[ContextPair], counts: Mapping[str, int], reason: str = ""
    ) -> list[ContextPair]:
        """Keep at once what mining the trajectory at `position` gave: its pairs and its part of the funnel.

        `reason`: why it gave no pair, in a few words. Returns the pairs that were new; changes nothing when the
        trajectory was mined before.
        """

    def unmined(self, run: str | None) -> list[str]:
        """Ids of the trajectories that were not mined, of one run or of all, in the order of insertion."""

    def mining_reasons(self, ids: Collection[str]) -> dict[str, str]:
        """Why each trajectory gave no pair: those that were mined and for which a reason was kept."""

    def add_funnel(self, run: str, counts: Mapping[str, int]) -> None:
        """Add to the run's counts of the mining cascade."""

    def with_funnel(self) -> list[str]:
        """The runs and mined sets that have a funnel, by name."""

    def funnel(self, run: str) -> dict[str, int]:
        """The run's counts of the mining cascade; empty when nothing was mined."""

    def position(self, trajectory_id: str) -> int:
        """A trajectory's place in the order of insertion. An unknown id is a `StoreError`."""

    def neighbours(self, bucket: Bucket, *, before: int, limit: int) -> list[TrajectorySummary]:
        """At most `limit` trajectories of a bucket added before position `before`, the newest first."""

    def bucket_sizes(self, after: Mapping[Bucket, int], *, before: int) -> dict[Bucket, int]:
        """How many trajectories of each bucket stand after the position given for it and before another."""

    def pair_use(self, ids: Collection[str], stage: Stage) -> dict[str, int]:
        """In how many valid pairs of a stage each trajectory stands, as anchor or as confounder."""

    def judgements(self, keys: Collection[str]) -> dict[str, Judgement]:
        """What was decided on each pair that is stored, by its key (`trajectories.storage.pairs.pair_key`)."""

    def right_answers(self, instance_ids: Collection[str], run: str | None = None) -> dict[str, RightAnswer]:
        """For each instance that some stored trajectory resolved: the first such trajectory's answer and patch."""

    def configuration(self, run: str) -> dict[str, Any] | None:
        """What the run was started with (`recipe`, `versions`); None where nobody said."""

    def configure(self, run: str, values: dict[str, Any]) -> None:
        """Keep what a run that has its name was started with."""

    def add_metrics(self, run: str, iteration: int, values: Mapping[str, Any]) -> None:
        """Keep what an iteration measured; of one that is played again, what it measured last."""

    def metrics(self, run: str, after: int = -1) -> list[dict[str, Any]]:
        """What the iterations of a run beyond `after` measured, in order."""

    def add_tasks(self, run: str, tasks: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep the tasks that a run is played on, by instance id, as documents."""

    def task(self, instance_id: str, run: str = "") -> dict[str, Any] | None:
        """The task as the run has it, else as another one; None where there is none."""

    def add_lessons(self, lessons: Iterable[Lesson]) -> None:
        """Keep what the learner made of trajectories. The first lesson of each stays; unknown ids are ignored."""

    def lessons(self, ids: Collection[str]) -> dict[str, Lesson]:
        """The lessons of those of the trajectories that have one."""

    def add_margins(self, margins: Iterable[Margin]) -> None:
        """Keep how a policy chose on pairs."""

    def margins(self, pair_id: str) -> list[Margin]:
        """How policies chose on a pair, in the order in which that was measured."""

    def add_finding(self, kind: FindingKind, subject: str, document: Mapping[str, Any]) -> None:
        """Keep what was found out about something."""

    def findings(self, kind: FindingKind, subject: str, limit: int = 10) -> list[Finding]:
        """What was found out, the newest first."""

    def pulse(self) -> tuple[str, int]:
        """What no other store has, and a number that every write raises. Cheap to ask for."""

    def close(self) -> None:
        """Release the connections. Safe to call twice."""


class PairJudge(Protocol):
    """Decides whether a pair may be trained on."""

    def judge(self, pair: ContextPair) -> tuple[Judgement, list[str]]:
        """The judgement and its reasons, one sentence each; a valid pair may have none."""

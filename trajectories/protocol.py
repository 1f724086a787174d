"""The seams of this room: what a store and a judge must be able to do.

Invariant: whoever keeps trajectories and whoever judges pairs is known to the rest of the project only by the
protocols here; the miner works with any store that keeps the insertion order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypedDict, Unpack

from trajectories.records import ContextPair, Judgement, Status, Trajectory

Stage = Literal["repo", "file", "function"]
Order = Literal["oldest", "newest"]


class StoreError(RuntimeError):
    """The store cannot do what was asked; the message is one sentence that says why and what to do."""


class StoreMissing(StoreError):
    """There is no store at that place yet."""


class Filters(TypedDict, total=False):
    """What trajectories may be asked for. A field that is left out or None does not filter."""

    run: str | None
    repo: str | None
    base_commit: str | None
    file: str | None
    """A touched file."""
    function: str | None
    """A touched function, as `path::qualified.name`."""
    resolved: bool | None
    policy_version: int | None
    iteration: int | None
    group: str | None
    instance_id: str | None
    status: Status | None
    agent: str | None


class PairFilters(TypedDict, total=False):
    """What pairs may be asked for. A field that is left out or None does not filter."""

    run: str | None
    repo: str | None
    base_commit: str | None
    file: str | None
    function: str | None
    stage: Stage | None
    judgement: Judgement | None


class TrajectorySummary(NamedTuple):
    """A trajectory without its turns: what a list shows and a miner chooses by."""

    position: int
    """Place in the order of insertion, from 1; grows, may have gaps."""
    id: str
    run: str
    group: str
    iteration: int
    instance_id: str
    repo: str
    base_commit: str
    status: Status
    resolved: bool
    reward: float | None
    policy_version: int
    agent: str
    turns: int
    tokens: int
    files: list[str]
    functions: list[str]
    created_at: float
    seconds: float


class RightAnswer(NamedTuple):
    """What solves a task."""

    answer: str
    """The changed functions as they read after the patch (`Trajectory.answer`)."""
    patch: str = ""
    """The unified diff; empty where only the answer is known."""


@dataclass(frozen=True)
class RunSummary:
    """What the store holds of one run. Times are seconds since the epoch."""

    run: str
    trajectories: int
    resolved: int
    infra_errors: int
    pairs: int
    """Valid pairs."""
    started: float
    ended: float


@dataclass(frozen=True)
class Bucket:
    """Where trajectories meet: one repository at one commit, or a file or function in it. `run` None: any run."""

    stage: Stage
    name: str
    """The file's path, the function's `path::qualified.name`, empty for the repository."""
    repo: str
    base_commit: str
    run: str | None = None


class TrajectoryStore(Protocol):
    """Keeps every trajectory, also failed and broken ones. All methods may raise `StoreError`; all are thread-safe."""

    def add(self, trajectory: Trajectory) -> None:
        """Keep it, durable on return, then call the subscribers. The same trajectory again changes nothing.

        Another trajectory with an id that is there already is refused.
        """

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

    def count(self, **filters: Unpack[Filters]) -> int:
        """How many trajectories pass all filters."""

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

    def get_pair(self, pair_id: str) -> ContextPair:
        """One pair. An unknown id is a `StoreError`."""

    def count_pairs(self, **filters: Unpack[PairFilters]) -> int:
        """How many pairs pass all filters."""

    def finish_mining(
        self, position: int, run: str, pairs_: Iterable[ContextPair], counts: Mapping[str, int]
    ) -> list[ContextPair]:
        """Keep at once what mining the trajectory at `position` gave: its pairs and its part of the funnel.

        Returns the pairs that were new; changes nothing when the trajectory was mined before.
        """

    def unmined(self, run: str) -> list[str]:
        """Ids of the run's trajectories that were not mined, in the order of insertion."""

    def add_funnel(self, run: str, counts: Mapping[str, int]) -> None:
        """Add to the run's counts of the mining cascade."""

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
        """What was decided on each pair that is stored, by its key (`trajectories.pairs.pair_key`)."""

    def right_answers(self, instance_ids: Collection[str], run: str | None = None) -> dict[str, RightAnswer]:
        """For each instance that some stored trajectory resolved: the first such trajectory's answer and patch."""

    def close(self) -> None:
        """Release the connections. Safe to call twice."""


class PairJudge(Protocol):
    """Decides whether a pair may be trained on."""

    def judge(self, pair: ContextPair) -> tuple[Judgement, list[str]]:
        """The judgement and its reasons, one sentence each; a valid pair may have none."""

"""What a store may be asked for, and what it answers with: filters, summaries, buckets, the life of a pair.

Invariant: plain data. Everything here is importable from `trajectories.protocol` too, where the methods are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypedDict

from trajectories.records import Judgement, Status

Stage = Literal["repo", "file", "function"]
Order = Literal["oldest", "newest"]
Sort = Literal[
    "position",
    "run",
    "instance_id",
    "status",
    "resolved",
    "reward",
    "policy_version",
    "iteration",
    "agent",
    "turns",
    "tokens",
    "seconds",
    "created_at",
]
"""What a table of trajectories may be sorted by: fields of their summaries."""
FindingKind = Literal["replay", "audit", "tokenizer"]


class StoreError(RuntimeError):
    """The store cannot do what was asked; the message is one sentence that says why and what to do."""


class StoreRefusal(StoreError):
    """This record cannot be stored as it is; others can."""


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
    """What the verdict says. Who is not graded passes neither."""
    graded: bool | None
    """Whether there is a verdict or a reward."""
    policy_version: int | None
    iteration: int | None
    group: str | None
    instance_id: str | None
    status: Status | None
    agent: str | None
    min_reward: float | None
    """At least this reward. Who has none (`infra_error`) passes neither this nor `max_reward`."""
    max_reward: float | None
    filtered: bool | None
    """Whether a reason is known why it is not learned from."""
    since: float | None
    """Begun at this time or later, seconds since the epoch."""
    until: float | None
    """Begun before this time."""
    tampered: bool | None
    """Whether somebody meddled with the grading."""
    text: str | None
    """All of these words occur in what was said, done, seen or changed, in any order; the last may be cut short."""
    after: int | None
    """Only positions beyond this one: with `before`, how a reader turns pages."""
    before: int | None


class PairFilters(TypedDict, total=False):
    """What pairs may be asked for. A field that is left out or None does not filter."""

    run: str | None
    repo: str | None
    base_commit: str | None
    file: str | None
    function: str | None
    stage: Stage | None
    judgement: Judgement | None
    instance_id: str | None
    """A task instance in either role."""
    retired: bool | None
    after: int | None
    """Only positions beyond this one."""
    before: int | None


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
    graded: bool
    """Whether there is a verdict or a reward; without one it is neither resolved nor failed."""
    reward: float | None
    policy_version: int
    agent: str
    turns: int
    tokens: int
    files: list[str]
    functions: list[str]
    created_at: float
    seconds: float
    statement: str
    """Key of the problem statement (`TrajectoryStore.statements`): equal for equal texts."""
    tests: list[str]
    """Ids of the verdict's fail_to_pass, the first 50."""
    filtered: str
    """Why it was not learned from; empty if it was, or nobody said."""
    tampered: bool = False
    """Somebody meddled with its grading."""

    @property
    def outcome(self) -> bool | None:
        """Whether it is resolved; None where nobody judged it."""
        return self.resolved if self.graded else None


OUTCOMES = {True: "yes", False: "no", None: "not graded"}
"""How a list tells `TrajectorySummary.outcome`."""


class PairLife(NamedTuple):
    """What became of a pair since it was mined."""

    uses: int
    """How often it was learned from."""
    last_used: int | None
    """Policy version of the last time; None before the first."""
    checked: int | None
    """Policy version at which its label was last checked; None before the first."""
    retired: str
    """Why it is not learned from any more; empty while it is."""
    created_at: float


class RightAnswer(NamedTuple):
    """What solves a task."""

    answer: str
    """The changed functions as they read after the patch (`Trajectory.answer`)."""
    patch: str = ""
    """The unified diff; empty where only the answer is known."""


class Lesson(NamedTuple):
    """What the learner made of a trajectory when it first learned from it."""

    trajectory_id: str
    advantage: float | None
    logprobs: list[float]
    """The trainer's log-probability of each sampled token, in the order of the turns, to 32 bits; empty: not kept."""


class Margin(NamedTuple):
    """How a policy chose in one letter order of a pair, before it learned from that."""

    pair_id: str
    version: int
    """Of the policy."""
    anchor_first: bool
    margin: float
    """l+ - l-, logits; above 0 is right."""


class Finding(NamedTuple):
    """What was found out about something that is stored."""

    kind: FindingKind
    subject: str
    """The trajectory's id (`replay`), the name of a run or of a set of pairs (`audit`), of a run (`tokenizer`)."""
    created_at: float
    document: dict[str, Any]


@dataclass(frozen=True)
class RunSummary:
    """What the store holds of one run. Times are seconds since the epoch."""

    run: str
    trajectories: int
    resolved: int
    graded: int
    """Those that have a verdict or a reward."""
    infra_errors: int
    pairs: int
    """Valid pairs."""
    started: float
    ended: float


@dataclass(frozen=True)
class Bucket:
    """Where trajectories meet: one repository, or a file or function in it. None: at any commit, of any run."""

    stage: Stage
    name: str
    """The file's path, the function's `path::qualified.name`, empty for the repository."""
    repo: str
    base_commit: str | None
    run: str | None = None

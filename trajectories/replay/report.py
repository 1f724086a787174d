"""What a replay found: a document that a store keeps and a viewer shows.

Invariant: whatever could not be replayed, or not be compared, is said at its step; it is never counted as the same.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trajectories.records import Verdict

Likeness = Literal["exact", "normalised", "reordered", "different"]
"""How alike two observations are: to the last character; but for what differs between any two runs; but for that and
the order of their lines; not."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReplayStep(_Document):
    """One recorded turn, done again."""

    number: int
    """Of the turn, from 1."""
    action: str
    """The action in a few words."""
    same: bool
    """Nothing that was compared differs."""
    differs: list[str] = Field(default_factory=list)
    """What does: `observation`, `exit_code`, `tree`, `diff` where the trees do not; at the last turn `patch`, `end`."""
    likeness: Likeness | None = None
    """Of the observations; None where they were not compared."""
    not_compared: list[str] = Field(default_factory=list)
    """`observation`, `exit_code`, `tree`: what the record does not hold, or this replay cannot make again."""
    not_replayed: str = ""
    """Why the action was not done again; empty where it was, or where there was none."""
    expected: str = ""
    """The recorded observation and the new one, without what differs between any two runs."""
    got: str = ""
    expected_exit: int | None = None
    exit: int | None = None
    expected_tree: str = ""
    tree: str = ""
    expected_diff: str | None = None
    """The recorded diff of the repository, where that or the trees differ; else the patch, where that does."""
    diff: str | None = ""
    """All that differs in the repository after the step from what the agent was given, as a unified diff; None where
    that is too long to keep, as in a turn's record."""
    seconds: float = 0.0
    cpu_seconds: float | None = None


class ReplayReport(_Document):
    """A whole replay."""

    trajectory_id: str
    backend: str
    image: str
    """Name of the image, or of the published one, that the sandbox started from."""
    steps: list[ReplayStep] = Field(default_factory=list)
    diverged_at: int | None = None
    """The first turn at which anything differs, from 1; None where nothing does."""
    verdict: Verdict | None = None
    """On what the replay led to; None where nothing was graded."""
    verdict_same: bool | None = None
    """Whether it agrees with the recorded one, test by test where both have tests, and the recorded reward with it;
    None: nothing to compare."""
    verdict_differs: list[str] = Field(default_factory=list)
    """How not, one sentence each."""
    stopped_at: int | None = None
    """The last turn that was done again, where that was not the last one."""
    note: str = ""
    """What else there is to say, in sentences."""

    @property
    def divergences(self) -> list[ReplayStep]:
        """The steps at which anything differs."""
        return [step for step in self.steps if not step.same]

    @property
    def unplayed(self) -> list[ReplayStep]:
        """The steps that were not done again."""
        return [step for step in self.steps if step.not_replayed]

    @property
    def agrees(self) -> bool:
        """Something was done again, and nothing that was compared differs, the verdict included."""
        compared = not self.steps or len(self.unplayed) < len(self.steps)
        return compared and self.diverged_at is None and self.verdict_same is not False

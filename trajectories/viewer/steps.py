"""A trajectory turn by turn, as a page shows it.

Invariant: what a step changed in the repository is told only where it was recorded, in the episode or in a replay, and
whence it is known is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trajectories.records import Trajectory, Turn
from trajectories.touching.stepping import step_diff
from trajectories.viewer.calls import edit_diff, short
from trajectories.viewer.saying import Said, plainly, said

MOST_TURNS = 200
"""Turns of one page."""
_MOST = 400_000
"""Characters of two diffs that are compared before anybody asks."""


@dataclass(frozen=True)
class Step:
    """One turn."""

    number: int
    """From 1."""
    turn: Turn
    before: str | None
    """All that differed before it; None where nobody knows."""
    after: str | None

    @cached_property
    def said(self) -> Said:
        """What the policy wrote."""
        return said(self.turn.text, self.turn.tool_call)

    @property
    def as_written(self) -> str:
        """The call as it was written, where that says more than its tool and arguments do."""
        call = self.turn.tool_call
        return "" if call.error or plainly(self.said.call, call) else self.said.call

    @cached_property
    def edit(self) -> tuple[str, frozenset[str]]:
        """What the call puts in the place of what, and the arguments that tell it."""
        return edit_diff(self.turn.tool_call)

    @property
    def short(self) -> str:
        """What the call is about."""
        return short(self.turn.tool_call)

    @cached_property
    def changed(self) -> str:
        """What it changed, as a diff; also empty where nobody knows."""
        if self.after is None or self.before is None:
            return ""
        return step_diff(self.before, self.after)

    @property
    def changed_something(self) -> bool:
        """Whether the repository is known to differ after it."""
        return self.after is not None and self.before is not None and self.after != self.before

    @property
    def large(self) -> bool:
        """Whether what it changed is told only when it is asked for."""
        return len(self.after or "") + len(self.before or "") > _MOST

    @property
    def outcome(self) -> str:
        """The class of its colour."""
        if self.turn.tool_call.error:
            return "bad"
        return "none" if self.turn.exit_code is None else "good" if self.turn.exit_code == 0 else "bad"


def steps_of(trajectory: Trajectory, replay: Mapping[str, Any] | None = None) -> tuple[list[Step], str]:
    """The steps, and whence their diffs are: `episode`, `replay`, or empty where there are none."""
    diffs: Sequence[str | None] = [turn.diff for turn in trajectory.turns]
    whence = "episode"
    if all(diff is None for diff in diffs):
        found = {s.get("number"): s.get("diff") for s in (replay or {}).get("steps", []) if isinstance(s, Mapping)}
        diffs = [found.get(i) for i in range(1, len(diffs) + 1)]
        whence = "replay" if any(diff is not None for diff in diffs) else ""
    before = ["", *diffs][: len(diffs)]
    rows = zip(trajectory.turns, before, diffs, strict=True)
    return [Step(i, turn, b, a) for i, (turn, b, a) in enumerate(rows, 1)], whence

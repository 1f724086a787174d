"""Several trajectories side by side, step by step.

Invariant: two actions are the same exactly where tool and arguments are. The first step that differs is the first at
which not all do the same; one that has ended before does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trajectories.records import Trajectory
from trajectories.viewer.calls import action, short


class Cell(NamedTuple):
    """What one trajectory did in a step."""

    tool: str
    short: str
    exit_code: int | None
    error: bool
    seconds: float
    tokens: int
    logprob: float | None
    """Sum over the tokens that it sampled; None where that was not kept."""
    kind: int
    """Equal for equal actions of a step: from 1, in the order of the trajectories."""


class Row(NamedTuple):
    """One step of all; None for a trajectory that has ended."""

    number: int
    cells: list[Cell | None]
    same: bool
    """Whether all do the same."""
    first: bool
    """Whether it is the first that differs."""


def aligned(trajectories: Sequence[Trajectory]) -> list[Row]:
    """The rows."""
    rows: list[Row] = []
    differs = False
    for i in range(max((len(t.turns) for t in trajectories), default=0)):
        actions = [action(t.turns[i].tool_call) if i < len(t.turns) else None for t in trajectories]
        kinds = {done: n for n, done in enumerate(dict.fromkeys(a for a in actions if a is not None), 1)}
        cells = [_cell(t, i, kinds[a]) if a is not None else None for t, a in zip(trajectories, actions, strict=True)]
        same = len(set(actions)) == 1
        rows.append(Row(i + 1, cells, same, not same and not differs))
        differs = differs or not same
    return rows


def _cell(trajectory: Trajectory, index: int, kind: int) -> Cell:
    turn = trajectory.turns[index]
    kept = len(turn.logprobs) == len(turn.completion_ids) > 0
    return Cell(
        turn.tool_call.name or "no call",
        short(turn.tool_call),
        turn.exit_code,
        turn.tool_call.error is not None,
        turn.seconds,
        len(turn.completion_ids),
        sum(turn.logprobs) if kept else None,
        kind,
    )


def advantages(rewards: Sequence[float | None]) -> list[float | None]:
    """Each reward less the mean of those there are."""
    known = [reward for reward in rewards if reward is not None]
    mean = sum(known) / len(known) if known else 0.0
    return [None if reward is None else reward - mean for reward in rewards]

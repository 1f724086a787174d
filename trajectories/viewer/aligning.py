"""Several trajectories side by side, step by step.

Invariant: two actions are the same exactly where tool and arguments are, or, where no call could be read, what was
written. The first step that differs is the first at which not all do the same; one that has ended before does nothing.
Where what a cell says does not tell two actions apart, it has what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trajectories.records import Trajectory
from trajectories.viewer.calls import action, short
from trajectories.viewer.words import brief

_MOST = 240
"""Characters of an argument that differs."""
_SHORT = 90
"""Characters of what a cell says."""


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
    differs: tuple[tuple[str, str], ...] = ()
    """Arguments that not all who call this tool give alike, from where they differ on."""


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
        actions = [action(t.turns[i]) if i < len(t.turns) else None for t in trajectories]
        kinds = {done: n for n, done in enumerate(dict.fromkeys(a for a in actions if a is not None), 1)}
        cells = [_cell(t, i, kinds[a]) if a is not None else None for t, a in zip(trajectories, actions, strict=True)]
        same = len(set(actions)) == 1
        first = not same and not differs
        if first or len({(cell.tool, cell.short) for cell in cells if cell}) < len(kinds):
            found = [a[1] if a else () for a in actions]
            cells = [cell and cell._replace(differs=_differing(cells, found, cell, n)) for n, cell in enumerate(cells)]
        rows.append(Row(i + 1, cells, same, first))
        differs = differs or not same
    return rows


def _differing(
    cells: Sequence[Cell | None], arguments: Sequence[tuple[tuple[str, str], ...]], cell: Cell, place: int
) -> tuple[tuple[str, str], ...]:
    """Of the arguments of one cell those that another of its tool gives otherwise, or not at all."""
    others = [dict(given) for other, given in zip(cells, arguments, strict=True) if other and other.tool == cell.tool]
    found = []
    for name, value in arguments[place]:
        values = [other.get(name, "") for other in others]
        if any(other != value for other in values) and " ".join(value.split()) not in cell.short:
            found.append((name, brief(_from_difference(value, values), _MOST)))
    return tuple(found)


def _from_difference(value: str, others: Sequence[str]) -> str:
    """A text from the line, or the place in a long one, from which on not all are alike."""
    each = zip(value, *others, strict=False)
    alike = next((i for i, signs in enumerate(each) if len(set(signs)) > 1), min(map(len, others)))
    at = value.rfind("\n", 0, alike) + 1
    if alike - at > _SHORT:
        at = alike - _SHORT // 3
    left_out = "" if at == 0 else "…\n" if value[at - 1] == "\n" else "…"
    return left_out + value[at:]


def _cell(trajectory: Trajectory, index: int, kind: int) -> Cell:
    turn = trajectory.turns[index]
    kept = len(turn.logprobs) == len(turn.completion_ids) > 0
    return Cell(
        turn.tool_call.name or "no call",
        brief(short(turn.tool_call), _SHORT),
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

"""One trajectory, turn by turn."""

from __future__ import annotations

from typing import Any, NamedTuple

from trajectories.queries import TrajectorySummary
from trajectories.records import Trajectory
from trajectories.viewer.asking import Asked
from trajectories.viewer.opening import Source
from trajectories.viewer.page import Page
from trajectories.viewer.pages.trajectories import filters_of, order_of
from trajectories.viewer.replays import replays_of
from trajectories.viewer.steps import MOST_TURNS, steps_of
from trajectories.viewer.timeline import timeline

PROMPTS = {"System prompt": "system_prompt", "Prompt": "user_prompt"}
"""What records of other programs say more of what the policy was told -> the key in `Trajectory.extra`."""
_AROUND = 25
"""Rows of a list among which a trajectory is looked for: the list may have grown since it was opened."""


class TestRow(NamedTuple):
    """One test of a task."""

    name: str
    kind: str
    before: str
    after: str

    @property
    def good(self) -> bool:
        """Whether it ended as it must."""
        return self.after == "passed"


def trajectory(source: Source, asked: Asked) -> Page:
    """The page of a trajectory; with `list`, what is before and behind it in the list it was opened from."""
    found = source.trajectory(asked.needed("id", "a trajectory's id"), tokens=True)
    turn = asked.whole("turn", 1, max(1, len(found.turns))) or 1
    listed, at = asked.question("list"), asked.whole("at")
    values = {
        **contents(source, found, first=(turn - 1) // MOST_TURNS * MOST_TURNS),
        **_neighbours(source, found, listed, at)._asdict(),
        "list": asked.text("list") or "",
    }
    return Page("trajectory.html", f"Trajectory {found.id}", values, live=True)


def contents(
    source: Source, found: Trajectory, prefix: str = "", *, first: int = 0, most: int = MOST_TURNS
) -> dict[str, Any]:
    """All that a page, or a file, shows of a trajectory: `most` turns, those behind the `first` ones.

    `prefix`: of the places on it, where others are there too.
    """
    store = source.store
    replays = store.findings("replay", found.id)
    steps, whence = steps_of(found, replays[0].document if replays else None)
    shown = steps[first : first + most]
    task = store.task(found.instance_id, found.run)
    (summary,) = store.summaries(after=store.position(found.id) - 1, limit=1)
    return {
        "t": found,
        "steps": shown,
        "first": first,
        "whence": whence,
        "timeline": timeline(shown, prefix),
        "prefix": prefix,
        "gold": (task or {}).get("patch") or "",
        "tests": tests_of(found, task),
        "replays": replays_of(replays),
        "lesson": store.lessons([found.id]).get(found.id),
        "filtered": summary.filtered,
        "tokens": summary.tokens > 0,
        "prompts": [(name, part, text) for name, part in PROMPTS.items() if (text := str(found.extra.get(part) or ""))],
        "model": str(found.extra.get("model") or ""),
        "no_pair": store.mining_reasons([found.id]).get(found.id, ""),
    }


def tests_of(found: Trajectory, task: dict[str, Any] | None) -> list[TestRow]:
    """The task's tests before and after the episode; those that did not end as they must come first."""
    rows = []
    for kind, before, statuses in (
        ("FAIL_TO_PASS", "failed", found.verdict.fail_to_pass if found.verdict else {}),
        ("PASS_TO_PASS", "passed", found.verdict.pass_to_pass if found.verdict else {}),
    ):
        names = dict.fromkeys([*statuses, *((task or {}).get(kind) or [])])
        rows += [TestRow(name, kind, before, statuses.get(name, "not run")) for name in names]
    return sorted(rows, key=lambda row: row.good)


class Neighbour(NamedTuple):
    """Another trajectory of the list, and its place there."""

    id: str
    at: int | None


class Beside(NamedTuple):
    """What is before and behind it."""

    previous: Neighbour | None = None
    next: Neighbour | None = None
    lost: bool = False
    """Whether it is no longer near its place in the list."""


def _neighbours(source: Source, found: Trajectory, listed: Asked | None, at: int | None) -> Beside:
    if listed is None:
        return _in_run(source, found)
    filters, sorting = filters_of(listed), order_of(listed)
    if at is None:
        return _in_run(source, found)
    first = max(0, at - _AROUND)
    rows = source.store.page(**sorting._asdict(), offset=first, limit=2 * _AROUND + 1, **filters)
    place = next((i for i, row in enumerate(rows) if row.id == found.id), None)
    if place is None:
        return Beside(lost=True)

    def beside(i: int) -> Neighbour | None:
        return Neighbour(rows[i].id, first + i) if 0 <= i < len(rows) else None

    return Beside(beside(place - 1), beside(place + 1))


def _in_run(source: Source, found: Trajectory) -> Beside:
    """Those that were stored after and before it in its run, as the table has them at first: the newest first."""
    position = source.store.position(found.id)
    newer = source.store.summaries(run=found.run, after=position, limit=1)
    older = source.store.summaries(run=found.run, before=position, limit=1, order="newest")

    def first(rows: list[TrajectorySummary]) -> Neighbour | None:
        return Neighbour(rows[0].id, None) if rows else None

    return Beside(first(newer), first(older))

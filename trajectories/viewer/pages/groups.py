"""Groups of rollouts: a list of them, and one with its rollouts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trajectories.queries import TrajectorySummary
from trajectories.storage.upkeep import Upkeep
from trajectories.viewer import listing
from trajectories.viewer.aligning import advantages, aligned
from trajectories.viewer.asking import Asked, Mistake
from trajectories.viewer.opening import Source
from trajectories.viewer.page import Page

PER_PAGE = 50
MOST_ROLLOUTS = 32
REWARDS = {"differ": True, "alike": False}


def groups(source: Source, asked: Asked) -> Page:
    """A page of groups."""
    store, number = source.store, asked.whole("page", 1) or 1
    run, instance = asked.text("run"), asked.text("instance")
    mixed = asked.one_of("rewards", REWARDS)
    offset = (number - 1) * PER_PAGE
    rows, total = store.database.read(lambda c: listing.groups(c, run, instance, mixed, offset, PER_PAGE))
    values = {
        "rows": rows,
        "total": total,
        "number": number,
        "pages": max(1, -(-total // PER_PAGE)),
        "changed": asked.changed,
        "asked": {name: asked.text(name) or "" for name in ("run", "instance", "rewards")},
        "runs": [name for name in reversed(Upkeep(store).names("run")) if name],
        "rewards": tuple(REWARDS),
    }
    return Page("groups.html", "Groups", values, live=True)


def group(source: Source, asked: Asked) -> Page:
    """One group, its rollouts side by side."""
    run, name = asked.text("run") or "", asked.needed("group", "a group's name")
    found = source.store.summaries(run=run, group=name, limit=MOST_ROLLOUTS)
    if not found:
        raise Mistake(f"There is no group {name!r} in run {run!r}.")
    total = source.store.count(run=run, group=name)
    values = {**side_by_side(source, found), "run": run, "group": name, "total": total}
    return Page("group.html", f"Group {name}", values, live=True)


def side_by_side(source: Source, found: Sequence[TrajectorySummary]) -> dict[str, Any]:
    """What a page of aligned trajectories shows."""
    store = source.store
    whole = [store.get_many([summary.id])[summary.id] for summary in found]
    lessons = store.lessons([summary.id for summary in found])
    kept = [lessons[s.id].advantage if s.id in lessons else None for s in found]
    rewards = [s.reward for s in found]
    learned = any(a is not None for a in kept)
    return {
        "rollouts": found,
        "rows": aligned(whole),
        "advantages": kept if learned else advantages(rewards),
        "learned": learned,
        "logprobs": [_logprob(t.token_logprobs(), any(turn.logprobs for turn in t.turns)) for t in whole],
        "statement": whole[0].problem_statement,
        "reasons": [t.verdict.reason if t.verdict else "" for t in whole],
    }


def _logprob(values: Sequence[float], known: bool) -> float | None:
    return sum(values) if known else None

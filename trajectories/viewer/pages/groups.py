"""Groups of rollouts: a list of them, and one with its rollouts side by side.

Invariant: what is computed of a group is computed of all of its rollouts, however few a page shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trajectories.queries import TrajectorySummary
from trajectories.storage.tables import GroupFilters
from trajectories.storage.upkeep import Upkeep
from trajectories.viewer.aligning import advantages, aligned
from trajectories.viewer.asking import Asked, Mistake
from trajectories.viewer.opening import Source
from trajectories.viewer.page import Page
from trajectories.viewer.paging import PER_PAGE, paging
from trajectories.viewer.words import named

COLUMNS = 32
"""Side by side on one page."""
REWARDS = {"differ": True, "alike": False}


def groups(source: Source, asked: Asked) -> Page:
    """A page of groups. Evaluations play each task once: groups of one rollout are listed when that is asked for."""
    store = source.store
    filters: GroupFilters = {
        "run": asked.run("run"),
        "instance_id": asked.text("instance"),
        "mixed": asked.one_of("rewards", REWARDS),
    }
    single = asked.choice("single", ("yes",)) is not None
    filters["several"] = False
    alone = 0 if single else store.count_groups(**filters)
    filters["several"] = None if single else True
    total = store.count_groups(**filters)
    place = paging(asked, total)
    values = {
        **place._asdict(),
        "rows": store.page_groups(offset=place.offset, limit=PER_PAGE, **filters),
        "total": total,
        "of_one": alone,
        "asked": {name: asked.text(name) or "" for name in ("run", "instance", "rewards", "single")},
        "runs": [named(name) for name in reversed(Upkeep(store).names("run"))],
        "rewards": tuple(REWARDS),
    }
    return Page("groups.html", "Groups", values, live=True)


def group(source: Source, asked: Asked) -> Page:
    """One group, its rollouts side by side, `COLUMNS` on a page."""
    run, name = asked.run("run") or "", asked.needed("group", "a group's name")
    found = source.store.summaries(run=run, group=name)
    if not found:
        raise Mistake(f"There is no group {name!r} in run {run!r}.")
    return Page("group.html", f"Group {name}", {**columns(source, asked, found), "run": run, "group": name}, live=True)


def columns(source: Source, asked: Asked, found: Sequence[TrajectorySummary]) -> dict[str, Any]:
    """A page of trajectories side by side."""
    place = paging(asked, len(found), COLUMNS)
    here = slice(place.offset, place.offset + COLUMNS)
    relative = advantages([summary.reward for summary in found])[here]
    return {
        **place._asdict(),
        **side_by_side(source, found[here], relative),
        "first": place.offset + 1,
        "total": len(found),
    }


def side_by_side(
    source: Source, found: Sequence[TrajectorySummary], relative: Sequence[float | None]
) -> Mapping[str, Any]:
    """What a page of aligned trajectories shows. `relative`: advantages that are computed where none was kept."""
    store = source.store
    whole = [store.get_many([summary.id])[summary.id] for summary in found]
    lessons = store.lessons([summary.id for summary in found])
    kept = [lessons[s.id].advantage if s.id in lessons else None for s in found]
    learned = any(a is not None for a in kept)
    return {
        "rollouts": found,
        "rows": aligned(whole),
        "advantages": kept if learned else relative,
        "learned": learned,
        "logprobs": [_logprob(t.token_logprobs(), any(turn.logprobs for turn in t.turns)) for t in whole],
        "statement": whole[0].problem_statement,
        "reasons": [t.verdict.reason if t.verdict else "" for t in whole],
    }


def _logprob(values: Sequence[float], known: bool) -> float | None:
    return sum(values) if known else None

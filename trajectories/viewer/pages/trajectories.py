"""The table of trajectories: filtered, searched, sorted and paged by the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from trajectories.queries import Filters, Sort, TrajectorySummary
from trajectories.records import Status
from trajectories.storage.upkeep import Upkeep
from trajectories.viewer.asking import Asked
from trajectories.viewer.opening import Source
from trajectories.viewer.page import Page
from trajectories.viewer.paging import PER_PAGE, Order, order, paging
from trajectories.viewer.snippets import Snippet, snippet
from trajectories.viewer.words import named

PATIENCE_S = 2.0
"""How long a search may first index what was added since the last one."""
_NOT_YET = "The words of {:,} trajectories are not indexed yet: that happens now, and this page goes on by itself."
COLUMNS: Sequence[tuple[str, str]] = (
    ("instance_id", "task instance"),
    ("run", "run"),
    ("iteration", "iteration"),
    ("policy_version", "policy"),
    ("agent", "agent"),
    ("status", "status"),
    ("resolved", "resolved"),
    ("reward", "reward"),
    ("turns", "turns"),
    ("tokens", "tokens"),
    ("seconds", "time"),
    ("created_at", "begun"),
)
"""What is sorted by, and the heading of its column."""
NUMBERS = ("iteration", "policy_version", "reward", "turns", "tokens", "seconds")
OUTCOMES = ("resolved", "failed", "not graded")
YES_NO = {"yes": True, "no": False}
NAMES = ("run", "repo", "instance", "group", "status", "outcome", "agent", "policy", "iteration")
MORE = ("min_reward", "max_reward", "tampered", "filtered", "text")


def filters_of(asked: Asked) -> Filters:
    """What an address filters by. Raises `ValueError`."""
    outcome = asked.choice("outcome", OUTCOMES)
    filters: Filters = {
        "run": asked.run("run"),
        "repo": asked.text("repo"),
        "instance_id": asked.text("instance"),
        "group": asked.text("group"),
        "status": asked.choice("status", get_args(Status)),  # type: ignore[typeddict-item]
        "resolved": {"resolved": True, "failed": False}.get(outcome or ""),
        "graded": False if outcome == "not graded" else None,
        "agent": asked.text("agent"),
        "policy_version": asked.whole("policy"),
        "iteration": asked.whole("iteration"),
        "min_reward": asked.number("min_reward"),
        "max_reward": asked.number("max_reward"),
        "tampered": asked.one_of("tampered", YES_NO),
        "filtered": asked.one_of("filtered", YES_NO),
        "text": asked.text("text"),
    }
    return filters


def order_of(asked: Asked) -> Order:
    """By what an address sorts. Raises `ValueError`."""
    return order(asked, get_args(Sort))


def trajectories(source: Source, asked: Asked) -> Page:
    """A page of the table."""
    store = source.store
    filters, sorting = filters_of(asked), order_of(asked)
    # The page comes again with every write to the store, so it goes on indexing while somebody looks at it.
    if filters.get("text") and (left := store.index_words(PATIENCE_S)):
        return Page("message.html", "Trajectories", {"message": _NOT_YET.format(left)}, live=True)
    total = store.count(**filters)
    place = paging(asked, total)
    rows = store.page(**sorting._asdict(), offset=place.offset, limit=PER_PAGE, **filters)
    filtering = any(value is not None for value in filters.values())
    names = Upkeep(store)
    values = {
        **place._asdict(),
        **sorting._asdict(),
        "rows": rows,
        "total": total,
        "everything": store.count() if filtering else total,
        "asked": {name: asked.text(name) or "" for name in (*NAMES, *MORE)},
        "filtering": filtering,
        "columns": COLUMNS,
        "numbers": NUMBERS,
        "question": asked.changed(page=None),
        "snippets": _snippets(source, rows, filters.get("text")),
        "runs": [named(name) for name in reversed(names.names("run"))],
        "repos": names.names("repository"),
        "statuses": get_args(Status),
        "outcome_names": OUTCOMES,
    }
    return Page("trajectories.html", "Trajectories", values, live=True)


def _snippets(source: Source, rows: Sequence[TrajectorySummary], text: str | None) -> dict[str, Snippet]:
    """Where the words stand in those that are shown."""
    if not text:
        return {}
    found: dict[str, Snippet] = {}
    for row in rows:  # one at a time: a page of them need not be in memory at once
        for trajectory in source.store.get_many([row.id], tokens=False).values():
            found[row.id] = snippet(trajectory, text)
    return found

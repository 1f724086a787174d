"""What a run's file lists: its groups, pairs and trajectories, a row each.

Invariant: a list is bounded, however much the run has stored, and what it leaves out is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from trajectories.queries import TrajectorySummary
from trajectories.storage.tables import GroupRow, PairRow
from trajectories.store import SQLStore
from trajectories.viewer.pages.pairs import last_margin

ROWS = 500
"""Of each list."""
Row = TypeVar("Row")


class Listed(NamedTuple, Generic[Row]):
    """A list as far as it goes."""

    rows: Sequence[Row]
    total: int

    @property
    def left_out(self) -> int:
        """How many are not listed."""
        return self.total - len(self.rows)


def trajectories_of(store: SQLStore, run: str) -> Listed[TrajectorySummary]:
    """The newest first."""
    return Listed(store.page(run=run, limit=ROWS), store.count(run=run))


def lists(store: SQLStore, run: str) -> dict[str, Any]:
    """Groups of several rollouts, those that were added to last first; pairs, the valid and then the newest first."""
    pairs: Listed[PairRow] = Listed(
        store.page_pairs(run=run, sort="judgement", limit=ROWS),  # valid, uncertain, invalid
        store.count_pairs(run=run),
    )
    groups: Listed[GroupRow] = Listed(
        store.page_groups(run=run, several=True, limit=ROWS), store.count_groups(run=run, several=True)
    )
    return {
        "groups": groups,
        "of_one": store.count_groups(run=run, several=False),
        "pairs": pairs,
        "margins": {pair.id: last_margin(store.margins(pair.id)) for pair in pairs.rows},
    }

"""Context pairs: a list of them, and one with both contexts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from markupsafe import Markup

from trajectories.judging.measures import measures
from trajectories.judging.rules import outcomes
from trajectories.queries import Margin, PairFilters, Stage, StoreError
from trajectories.records import ContextPair, Judgement
from trajectories.storage.tables import PairSort
from trajectories.storage.upkeep import Upkeep
from trajectories.viewer.asking import Asked
from trajectories.viewer.charts import line_chart, number
from trajectories.viewer.contrasting import contrast
from trajectories.viewer.opening import Source
from trajectories.viewer.page import Page
from trajectories.viewer.paging import PER_PAGE, order, paging
from trajectories.viewer.words import named

YES_NO = {"yes": True, "no": False}
NAMES = ("run", "repo", "function", "stage", "judgement", "instance", "retired")
COLUMNS = (
    ("function", "function"),
    ("run", "run"),
    ("stage", "shares"),
    ("similarity", "similarity"),
    ("judgement", "judgement"),
    ("uses", "uses"),
    ("retired", "retired"),
    ("created_at", "mined"),
)

NUMBERS = ("similarity", "uses")


def pairs(source: Source, asked: Asked) -> Page:
    """A page of pairs."""
    store = source.store
    filters: PairFilters = {
        "run": asked.run("run"),
        "repo": asked.text("repo"),
        "function": asked.text("function"),
        "stage": asked.choice("stage", get_args(Stage)),  # type: ignore[typeddict-item]
        "judgement": asked.choice("judgement", get_args(Judgement)),  # type: ignore[typeddict-item]
        "instance_id": asked.text("instance"),
        "retired": asked.one_of("retired", YES_NO),
    }
    sorting, total = order(asked, get_args(PairSort)), store.count_pairs(**filters)
    place, names = paging(asked, total), Upkeep(store)
    values = {
        **place._asdict(),
        **sorting._asdict(),
        "rows": store.page_pairs(**sorting._asdict(), offset=place.offset, limit=PER_PAGE, **filters),
        "total": total,
        "columns": COLUMNS,
        "numbers": NUMBERS,
        "asked": {name: asked.text(name) or "" for name in NAMES},
        "filtering": any(value is not None for value in filters.values()),
        "runs": [named(name) for name in names.names("set")],
        "repos": names.names("repository with pairs"),
        "stages": get_args(Stage),
        "judgements": get_args(Judgement),
        "sets": store.with_funnel(),
    }
    return Page("pairs.html", "Pairs", values, live=True)


def pair(source: Source, asked: Asked) -> Page:
    """One pair."""
    found = source.store.get_pair(asked.needed("id", "a pair's id"))
    return Page("pair.html", f"Pair {found.id}", contents(source, found), live=True)


def contents(source: Source, found: ContextPair) -> dict[str, Any]:
    """All that a page shows of a pair."""
    store = source.store
    margins = store.margins(found.id)
    return {
        "p": found,
        "life": store.pair_life([found.id])[found.id],
        "contrast": contrast(found),
        "outcomes_of_rules": outcomes(found),
        "measured": measures(found),
        "margins": margins,
        "chart": margin_chart(margins),
        "there": frozenset(t for t in (found.anchor.trajectory_id, found.confounder.trajectory_id) if _is(source, t)),
    }


def last_margin(margins: Sequence[Margin]) -> float | None:
    """At the last version that was measured, the mean of the letter orders; None where nothing was measured."""
    last = max((m.version for m in margins), default=None)
    found = [m.margin for m in margins if m.version == last]
    return sum(found) / len(found) if found else None


def margin_chart(margins: Sequence[Margin]) -> Markup:
    """The margin over training, in both letter orders; empty where nothing was measured."""
    series = {
        name: [(float(m.version), m.margin) for m in margins if m.anchor_first == first]
        for first, name in ((True, "C+ shown first"), (False, "C- shown first"))
    }
    return Markup(line_chart(series, y_format=number, mark=0.0, x_name="policy version"))


def _is(source: Source, trajectory_id: str) -> bool:
    try:
        source.store.position(trajectory_id)
    except StoreError:
        return False
    return True

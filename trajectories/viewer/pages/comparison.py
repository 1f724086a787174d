"""Any number of runs, or of trajectories, side by side, so many on a page."""

from __future__ import annotations

from trajectories.viewer.asking import Asked, Mistake
from trajectories.viewer.configurations import lines
from trajectories.viewer.curves import figures
from trajectories.viewer.opening import Source
from trajectories.viewer.page import Page
from trajectories.viewer.pages.groups import COLUMNS, columns
from trajectories.viewer.paging import paging


def compare(source: Source, asked: Asked) -> Page:
    """Runs by their curves and configurations, trajectories step by step."""
    runs, ids = asked.runs("run"), asked.all("trajectory")
    if bool(runs) == bool(ids):
        raise Mistake("This page compares runs or trajectories: add ?run=a&run=b or ?trajectory=x&trajectory=y.")
    return _trajectories(source, asked, ids) if ids else _runs(source, asked, runs)


def _runs(source: Source, asked: Asked, names: list[str]) -> Page:
    store = source.store
    known = {row.run: row for row in store.runs()}
    if unknown := [name for name in names if name not in known]:
        raise Mistake(f"There is no run named {unknown[0]!r}.")
    place = paging(asked, len(names), COLUMNS)
    shown = names[place.offset : place.offset + COLUMNS]
    configured = [store.configuration(name) for name in shown]
    values = {
        **place._asdict(),
        "rows": [known[name] for name in names],
        "figures": figures({name: rows for name in shown if (rows := store.metrics(name))}),
        "lines": lines(configured),
        "missing": [name for name, found in zip(shown, configured, strict=True) if not found],
        "names": shown,
    }
    return Page("compare_runs.html", "Compare runs", values, live=True)


def _trajectories(source: Source, asked: Asked, ids: list[str]) -> Page:
    found = [source.store.summaries(after=source.store.position(i) - 1, limit=1)[0] for i in ids]
    values = {**columns(source, asked, found), "tasks": len({s.instance_id for s in found})}
    return Page("compare_trajectories.html", "Compare trajectories", values, live=True)

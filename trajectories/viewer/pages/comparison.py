"""Any number of runs, or of trajectories, side by side."""

from __future__ import annotations

from trajectories.viewer.asking import Asked, Mistake
from trajectories.viewer.configurations import lines
from trajectories.viewer.curves import figures
from trajectories.viewer.opening import Source
from trajectories.viewer.page import Page
from trajectories.viewer.pages.groups import side_by_side

MOST = 64
"""Of either kind."""


def compare(source: Source, asked: Asked) -> Page:
    """Runs by their curves and configurations, trajectories step by step."""
    runs, ids = asked.all("run"), asked.all("trajectory")
    if max(len(runs), len(ids)) > MOST:
        raise Mistake(f"That is too many to compare: at most {MOST}.")
    if bool(runs) == bool(ids):
        raise Mistake("This page compares runs or trajectories: add ?run=a&run=b or ?trajectory=x&trajectory=y.")
    return _trajectories(source, ids) if ids else _runs(source, runs)


def _runs(source: Source, names: list[str]) -> Page:
    store = source.store
    known = {row.run: row for row in store.runs()}
    if unknown := [name for name in names if name not in known]:
        raise Mistake(f"There is no run named {unknown[0]!r}.")
    configured = [store.configuration(name) for name in names]
    values = {
        "rows": [known[name] for name in names],
        "figures": figures({name: rows for name in names if (rows := store.metrics(name))}),
        "lines": lines(configured) if any(configured) else [],
        "names": names,
    }
    return Page("compare_runs.html", "Compare runs", values, live=True)


def _trajectories(source: Source, ids: list[str]) -> Page:
    found = [source.store.summaries(after=source.store.position(i) - 1, limit=1)[0] for i in ids]
    values = {**side_by_side(source, found), "tasks": len({s.instance_id for s in found})}
    return Page("compare_trajectories.html", "Compare trajectories", values)

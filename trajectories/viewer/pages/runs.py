"""All runs, their curves, and what each was started with."""

from __future__ import annotations

from trajectories.storage.holders import state_of
from trajectories.storage.upkeep import Upkeep
from trajectories.store import SQLStore
from trajectories.viewer.asking import Asked, Mistake
from trajectories.viewer.configurations import lines
from trajectories.viewer.curves import figures
from trajectories.viewer.opening import Source
from trajectories.viewer.page import Page
from trajectories.viewer.words import named

MOST_RUNS = 12
"""Runs over each other."""
_TRIED = 20
"""Newest runs among which one with curves is looked for."""


def runs(source: Source, asked: Asked) -> Page:
    """The table of runs, the newest first, and the curves of those that are chosen."""
    store = source.store
    rows = list(reversed(store.runs()))
    chosen = asked.runs("run")
    if unknown := [name for name in chosen if all(row.run != name for row in rows)]:
        raise Mistake(f"There is no run named {unknown[0]!r}.")
    measured = {name: store.metrics(name) for name in chosen[:MOST_RUNS]}
    if not chosen:
        tried = ((row.run, store.metrics(row.run)) for row in rows[:_TRIED])
        measured = dict([next(((name, found) for name, found in tried if found), ("", []))])
    values = {
        "rows": rows,
        "alive": alive(store),
        "chosen": [name for name, found in measured.items() if found] or chosen,
        "most": MOST_RUNS if len(chosen) > MOST_RUNS else 0,
        "figures": figures({name: found for name, found in measured.items() if found}),
        "sets": store.with_funnel(),
    }
    return Page("runs.html", "Runs", values, live=True)


def run(source: Source, asked: Asked) -> Page:
    """One run: curves, configuration, and its difference from another's."""
    store = source.store
    name, against = asked.run("name") or "", asked.run("against")
    known = {row.run: row for row in store.runs()}
    if name not in known and store.configuration(name) is None:
        raise Mistake(f"There is no run named {name!r}.")
    others = [other for other in reversed(known) if other != name]
    if against is not None and against not in known:
        raise Mistake(f"There is no run named {against!r} to compare with.")
    chosen = [name] if against is None else [name, against]
    found = {each: store.metrics(each) for each in chosen}
    configured = [store.configuration(each) for each in chosen]
    values = {
        "name": name,
        "against": against,
        "facts": known.get(name),
        "alive": name in alive(store),
        "others": others,
        "figures": figures({each: rows for each, rows in found.items() if rows}),
        "lines": lines(configured),
        "missing": [each for each, values in zip(chosen, configured, strict=True) if not values],
        "funnel": name in store.with_funnel(),
    }
    return Page("run.html", f"Run {named(name)}", values, live=True)


def alive(store: SQLStore) -> frozenset[str]:
    """The runs that a process of this machine trains now."""
    return frozenset(name for name, holder in Upkeep(store).holders().items() if state_of(holder) == "running")

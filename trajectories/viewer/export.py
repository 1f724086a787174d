"""Trajectories, groups and runs as one file that opens anywhere: offline, from disk, without a script.

Invariant: the file makes no request and holds no script, and a policy in it forbids both. It is 5 MB at most: nothing
is left out that fits, and what is left out is said at its place and at the top.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from trajectories.queries import TrajectorySummary
from trajectories.storage.upkeep import Upkeep
from trajectories.viewer.asking import Asked
from trajectories.viewer.listed import lists, trajectories_of
from trajectories.viewer.opening import Source
from trajectories.viewer.page import Page
from trajectories.viewer.pages.groups import group as group_page
from trajectories.viewer.pages.mining import audit, sections
from trajectories.viewer.pages.runs import run as run_page
from trajectories.viewer.pages.trajectory import contents
from trajectories.viewer.parts import Limits
from trajectories.viewer.rendering import environment, render

Kind = Literal["trajectory", "group", "run"]
MOST_BYTES = 5_000_000
LIMITS = tuple(
    (Limits(lines, characters), turns)
    for lines, characters, turns in (
        (1_000_000, 10_000_000, 1_000_000),
        (4_000, 300_000, 1_000_000),
        (400, 30_000, 2_000),
        (120, 8_000, 1_000),
        (40, 2_000, 400),
        (12, 500, 100),
        (6, 200, 20),
        (2, 80, 1),
    )
)
"""What is shown of a text, and turns of a trajectory: tried one after the other until the file is small enough."""
EXAMPLES = 6
"""Trajectories of a run that are shown whole."""
_MOST_FOUND = 5


class Named(NamedTuple):
    """What is exported."""

    kind: Kind
    name: str
    run: str
    """Of a group."""


def find(source: Source, name: str, kind: Kind | None = None, run: str | None = None) -> Named:
    """What a name means: an id or its start, a group, or a run. Raises `ValueError` where it is none or several."""
    found = [*_trajectories(source, name), *_groups(source, name, run), *_runs(source, name)]
    found = [each for each in found if kind in (None, each.kind)]
    if not found:
        what = kind or "trajectory, group or run"
        raise ValueError(
            f"there is no {what} {name!r} in {source.store.where}; `contextrl traj ls` lists what there is"
        )
    kinds = dict.fromkeys(each.kind for each in found)
    if len(kinds) > 1:
        raise ValueError(f"{name!r} is a {' and a '.join(kinds)}: say which with --kind")
    if len(found) > 1:
        if kinds == {"group": None}:
            runs = ", ".join(each.run or "(without a name)" for each in found[:_MOST_FOUND])
            raise ValueError(f"there is a group {name!r} in several runs ({runs}): say which with --run")
        raise ValueError(f"{len(found)} ids or more start with {name!r}: give more of one")
    return found[0]


def _trajectories(source: Source, name: str) -> list[Named]:
    ids = source.store.find_ids(name, "trajectories", limit=_MOST_FOUND) if name else []
    return [Named("trajectory", each, "") for each in ([name] if name in ids else ids)]


def _groups(source: Source, name: str, run: str | None) -> list[Named]:
    runs = source.store.runs_of_group(name) if name else []
    return [Named("group", name, each) for each in runs if run in (None, each)]


def _runs(source: Source, name: str) -> list[Named]:
    return [Named("run", name, "")] if name in Upkeep(source.store).names("run") else []


def export(source: Source, what: Named) -> str:
    """The file's text. Raises `StoreError`, `ValueError`."""
    assert what.kind in get_args(Kind)
    make = {"trajectory": _trajectory, "group": _group, "run": _run}[what.kind]
    for limits, turns in LIMITS:
        text = _rendered(make(source, what, turns), limits)
        if len(text.encode()) <= MOST_BYTES:
            return text
    raise ValueError(f"the {what.kind} {what.name!r} does not fit into {MOST_BYTES // 10**6} MB: export parts of it")


def _rendered(page: Page, limits: Limits) -> str:
    inside: Sequence[Mapping[str, Any]] = page.values.get("whole", ())
    places = {values["t"].id: values["prefix"] for values in inside}

    def go(path: str, **values: object) -> str | None:
        place = places.get(str(values.get("id"))) if path == "/trajectory" else None
        return f"#{place}top" if place else None

    jinja = environment("export.html", go, limits)
    return render(jinja, page.template, {"title": page.title, "limits": limits, **page.values})


def _trajectory(source: Source, what: Named, turns: int) -> Page:
    found = source.trajectory(what.name, tokens=True)
    return Page("trajectory.html", f"Trajectory {found.id}", contents(source, found, most=turns))


def _group(source: Source, what: Named, turns: int) -> Page:
    asked = Asked([("run", what.run), ("group", what.name)])
    page = group_page(source, asked)
    return page._replace(
        template="export_group.html", values={**page.values, **_whole(source, page.values["rollouts"], turns)}
    )


def _run(source: Source, what: Named, turns: int) -> Page:
    asked = Asked([("name", what.name)])
    page = run_page(source, asked)
    listed = trajectories_of(source.store, what.name)
    values = {
        **page.values,
        **_whole(source, _examples(listed.rows), turns),
        **lists(source.store, what.name),
        "listed": listed,
        "sections": list(sections(source.store.funnel(what.name))),
        "audits": audit(source, asked).values["audits"][:1],
    }
    return page._replace(template="export_run.html", values=values)


def _examples(rows: Sequence[TrajectorySummary]) -> list[TrajectorySummary]:
    """A few of each outcome: tampered ones first, then resolved, failed and not graded ones."""
    wanted: tuple[tuple[Callable[[TrajectorySummary], bool], int], ...] = (
        (lambda t: t.tampered, 1),
        (lambda t: t.outcome is True and not t.tampered, 2),
        (lambda t: t.outcome is False and not t.tampered, 2),
        (lambda t: t.outcome is None, 1),
    )
    return [t for fits, most in wanted for t in [row for row in rows if fits(row)][:most]][:EXAMPLES]


def _whole(source: Source, rows: Sequence[TrajectorySummary], turns: int) -> dict[str, Any]:
    whole = ((f"t{i}-", source.trajectory(row.id, tokens=True)) for i, row in enumerate(rows, 1))
    found = [contents(source, trajectory, prefix, most=turns) for prefix, trajectory in whole]
    return {"whole": found}

"""What the viewer shows: pages of plain HTML, made from a store.

Invariant: nothing that a policy or a repository wrote is ever mark-up, and no page holds a script or loads anything.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from urllib.parse import urlencode

from rich.console import Console

from trajectories.mining.couples import FUNNEL
from trajectories.queries import OUTCOMES
from trajectories.show import trajectory_renderable
from trajectories.store import SQLStore
from trajectories.times import written

PER_PAGE = 50
Values = Mapping[str, str]
"""What stands behind the question mark of an address."""

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 15px sans-serif; margin: 2em }} td, th {{ text-align: left; padding: .2em 1em .2em 0 }}
pre {{ font-size: 13px; line-height: 1.25 }}</style><h1>{title}</h1><p><a href="/">all runs</a></p>{body}</html>
"""


def page(title: str, body: str) -> bytes:
    """A whole page, without control characters. `title` is text, `body` is HTML."""
    text = _PAGE.format(title=escape(title), body=body)
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text).encode("utf-8", "replace")


def runs(store: SQLStore, _values: Values) -> tuple[str, str]:
    """All runs, the newest first: a title and HTML, as all pages here."""
    rows = [
        (
            _link("/run", r.run or "(without a name)", name=r.run),
            r.trajectories,
            r.resolved,
            r.trajectories - r.graded,
            r.pairs,
            written(r.started),
        )
        for r in reversed(store.runs())
    ]
    mined = " ".join(f"{_link('/funnel', name or '(without a name)', name=name)}" for name in store.with_funnel())
    table = _table(("run", "trajectories", "resolved", "not graded", "valid pairs", "started"), rows)
    return "Runs", table + (f"<p>pairs were mined in: {mined}</p>" if mined else "")


def funnel(store: SQLStore, values: Values) -> tuple[str, str]:
    """How many couples and pairs each stage of mining left in a run or a set, as bars. The scale is logarithmic."""
    name = values.get("name", "")
    counts = store.funnel(name)
    if not counts:
        raise ValueError(f"Nothing was mined in a run or a set named {name!r}.")
    ordered = [stage for stage in dict.fromkeys((*FUNNEL, *counts)) if stage in counts]
    most = math.log10(1 + max(counts.values()))
    rows = [
        (stage, f"{counts[stage]:,}", _bar(math.log10(1 + max(0, counts[stage])) / most if most else 0.0))
        for stage in ordered
    ]
    return f"Mining in {name}", _table(("stage", "left", ""), rows)


def run(store: SQLStore, values: Values) -> tuple[str, str]:
    """A page of a run's trajectories, the newest first. Raises `ValueError` for a page that is no number."""
    name, asked = values.get("name", ""), values.get("page", "1")
    if not re.fullmatch("[1-9][0-9]{0,5}", asked):
        raise ValueError("A page is a number, counted from 1.")
    number = int(asked)
    found = store.summaries(run=name, order="newest", limit=number * PER_PAGE + 1)
    rows = [
        (
            _link("/trajectory", t.id, id=t.id),
            t.iteration,
            t.instance_id,
            t.status,
            OUTCOMES[t.outcome],
            t.turns,
            t.tokens,
        )
        for t in found[(number - 1) * PER_PAGE : number * PER_PAGE]
    ]
    newer = _link("/run", "newer", name=name, page=number - 1) if number > 1 else ""
    older = _link("/run", "older", name=name, page=number + 1) if len(found) > number * PER_PAGE else ""
    columns = ("trajectory", "iteration", "task instance", "status", "resolved", "turns", "tokens")
    return f"Run {name}", _table(columns, rows) + f"<p>{newer} page {number} {older}</p>"


def trajectory(store: SQLStore, values: Values) -> tuple[str, str]:
    """One trajectory as text, as `contextrl traj show` has it. Raises `StoreError` for an unknown id."""
    found = store.get(values.get("id", ""))
    text = io.StringIO()
    Console(file=text, width=120, color_system=None, legacy_windows=False).print(trajectory_renderable(found))
    return (
        f"Trajectory {found.id}",
        f"<p>{_link('/run', found.run, name=found.run)}</p><pre>{escape(text.getvalue())}</pre>",
    )


PAGES: dict[str, Callable[[SQLStore, Values], tuple[str, str]]] = {
    "/": runs,
    "/run": run,
    "/trajectory": trajectory,
    "/funnel": funnel,
}
"""What there is, by path."""


class _Markup(str):
    """Text that is HTML already."""


def _bar(share: float) -> _Markup:
    return _Markup(f'<div style="background: #4c78a8; height: 1em; width: {round(400 * share)}px"></div>')


def _link(path: str, text: str, **values: object) -> _Markup:
    return _Markup(f'<a href="{escape(f"{path}?{urlencode(values)}")}">{escape(text)}</a>')


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["".join(f"<th>{name}</th>" for name in columns)]
    lines += ["".join(f"<td>{c if isinstance(c, _Markup) else escape(str(c))}</td>" for c in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>\n" for line in lines) + "</table>"

"""The end of a run, in the terminal: the numbers, and what to try next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextrl.progress import duration
from contextrl.report import MEASURES, estimate, groups

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text


def program() -> str:
    """How a user calls this program from here."""
    if shutil.which("contextrl") or not sys.argv[0].endswith("contextrl"):
        return "contextrl"
    return shlex.quote(os.path.relpath(sys.argv[0]))


def summary_table(report: Mapping[str, Any], run_dir: Path, recipe: str = "recipes/quickstart.yaml") -> RenderableType:
    """What was measured, by kind of repository, and the next commands."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=f"{report['name']}: held-out tasks and pairs", title_justify="left")
    for column in ("", "before", "after", "change, points"):
        table.add_column(column)
    for measure, title in MEASURES.items():
        table.add_row(Text(title, style="bold"))
        for kind, found in groups(report).items():
            values = (Text(estimate(found, f"{measure}_{when}", digits=0)) for when in ("before", "after"))
            table.add_row(Text(f"  {kind}"), *values, _change(found, measure))
    rest = [_counts(report), "In brackets: intervals. A change whose interval contains 0 is no clear change.", ""]
    return Group(table, Text("\n".join([*rest, *_next(report, run_dir, recipe)]), no_wrap=True, overflow="ignore"))


def _change(found: Mapping[str, Any], measure: str) -> Text:
    from rich.text import Text

    change, interval = found.get(f"{measure}_change"), found.get(f"{measure}_change_interval")
    if change is None or interval is None:
        return Text("not measured", style="dim")
    low, high = interval
    style = "yellow" if low <= 0 <= high else "green" if change > 0 else "red"
    return Text(f"{change * 100:+.1f} [{low * 100:+.0f}, {high * 100:+.0f}]", style=style)


def _counts(report: Mapping[str, Any]) -> str:
    parts = [
        f"{report[key]:,} {text}"
        for key, text in (("trajectories", "trajectories"), ("pairs_mined", "context pairs mined"))
        if report.get(key) is not None
    ]
    if report.get("wall_seconds") is not None:
        parts.append(f"{duration(report['wall_seconds'])} in all")
    return ", ".join(parts) + "."


def _next(report: Mapping[str, Any], run_dir: Path, recipe: str) -> Iterator[str]:
    call, name = program(), shlex.quote(str(report["name"]))
    store = run_dir.parent / "trajectories.db"
    where = "" if store == Path("runs/trajectories.db") else f" --store {shlex.quote(str(store))}"
    commands = {
        "the curves and three trajectories": f"xdg-open {shlex.quote(str(run_dir / 'report.html'))}",
        "every episode; `traj show ID` prints one turn by turn": f"{call} traj ls --run {name}{where}",
        "the mined context pairs": f"{call} pairs ls --run {name}{where}",
        "the same loop with your model": f"{call} train {recipe} name=mine policy=/path/to/checkpoint",
        "your own repository: also a folder, or git+URL@REVISION": f"{call} repo add pypi:NAME==VERSION",
    }
    yield "Next:"
    for what, command in commands.items():
        yield f"  {command}\n      {what}"

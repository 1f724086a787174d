"""The end of a run, in the terminal: the numbers, and what to try next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextrl.progress import duration
from contextrl.report import MEASURES, change_sentence, estimate

if TYPE_CHECKING:
    from rich.console import RenderableType


def summary_table(report: Mapping[str, Any], run_dir: Path, recipe: str = "recipes/quickstart.yaml") -> RenderableType:
    """What was measured, by kind of repository, and the next commands."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{report['name']}: held-out tasks and pairs, before and after", title_justify="left")
    for column in ("", "repository", "before", "after", "change"):
        table.add_column(column, overflow="fold")
    for measure, title in MEASURES.items():
        for i, (kind, found) in enumerate({"all": report, **(report.get("kinds") or {})}.items()):
            before, after = estimate(found, f"{measure}_before"), estimate(found, f"{measure}_after")
            table.add_row(
                "" if i else title, Text(kind), Text(before), Text(after), Text(change_sentence(found, measure))
            )
        table.add_section()
    return Group(table, Text(_counts(report)), Text(_next(report, run_dir, recipe)))


def _counts(report: Mapping[str, Any]) -> str:
    parts = [
        f"{report[key]:,} {text}"
        for key, text in (("trajectories", "trajectories"), ("pairs_mined", "context pairs mined"))
        if report.get(key) is not None
    ]
    if report.get("wall_seconds") is not None:
        parts.append(f"{duration(report['wall_seconds'])} in all")
    return ", ".join(parts) + "\n"


def _next(report: Mapping[str, Any], run_dir: Path, recipe: str) -> str:
    name = shlex.quote(str(report["name"]))
    commands = {
        f"xdg-open {shlex.quote(str(run_dir / 'report.html'))}": "the curves and three example trajectories",
        f"contextrl traj ls --run {name}": "every episode, turn by turn with `traj show`",
        f"contextrl pairs ls --run {name}": "the mined context pairs",
        f"contextrl train {recipe} name=mine policy=/path/to/a/checkpoint": "the same loop with your model",
        "contextrl repo add pypi:<name>==<version>": "plug in a repository of yours (also a folder, a git URL)",
    }
    width = max(map(len, commands))
    lines = (f"  {command:{width}}  {what}" for command, what in commands.items())
    return "Next (with .venv/bin on your PATH):\n" + "\n".join(lines)

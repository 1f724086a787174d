"""The results of a study as files: `study.json`, `study.html`, `figure5.svg`, and as a table in the terminal."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextrl.progress import duration
from contextrl.report import MEASURES, estimate, write_text
from contextrl.study.figure import figure
from contextrl.study.results import BASE

if TYPE_CHECKING:
    from rich.console import RenderableType

Results = Mapping[str, Any]


def write_study(folder: Path, results: Results) -> None:
    """All three files; each appears whole or not at all."""
    drawing = figure(next(iter(results["groups"].values())), f"{results['name']}: arms, with intervals and seeds")
    if drawing:
        write_text(folder / "figure5.svg", drawing)
    write_text(folder / "study.html", render(results, drawing))
    write_text(folder / "study.json", json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def render(results: Results, drawing: str) -> str:
    """The page. The figure is an image in it, so that neither's style touches the other's."""
    from jinja2 import Environment, PackageLoader

    jinja = Environment(loader=PackageLoader("contextrl"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    jinja.filters |= {"duration": duration, "estimate": estimate}
    jinja.globals |= {"measures": MEASURES, "difference": difference}
    page = jinja.get_template("study.html")
    image = base64.b64encode(drawing.encode()).decode()
    return page.render(study=results, image=image, notes=notes(results))


def difference(row: Mapping[str, Any], measure: str, digits: int = 1) -> str:
    """`+3.4 [+1.0, +5.9]`, in points, with `digits` of the interval; nothing for the reference."""
    value, interval = row.get(f"{measure}_difference"), row.get(f"{measure}_difference_interval")
    if value is None or interval is None:
        return "" if f"{measure}_difference" not in row else "not measured"
    low, high = (f"{end * 100:+.{digits}f}" for end in interval)
    return f"{value * 100:+.1f} [{low}, {high}]"


def notes(results: Results) -> list[str]:
    """What a reader must know to read the numbers right."""
    said = [
        f"Means over seeds of what was measured after training; intervals of {results['confidence']:.0%} by bootstrap "
        f"over seeds, and in each over functions. Differences, in points, are to {results['reference']}: seed by seed, "
        "on the same tasks and pairs. One whose interval contains 0 is no clear difference.",
    ]
    if BASE not in results["arms"]:
        said.append("base: what was measured before training.")
    said += [
        f"{arm}: not finished for seed {', '.join(map(str, about['missing']))}."
        for arm, about in results["arms"].items()
        if about["missing"]
    ]
    return said


def summary(results: Results, folder: Path) -> RenderableType:
    """The first group, and where the rest is."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    group, arms = next(iter(results["groups"].items()))
    table = Table(box=box.SIMPLE_HEAD, title=f"{results['name']}: {group}, after training", title_justify="left")
    columns = ("resolve rate", f"to {results['reference']}", "selection accuracy", f"to {results['reference']}")
    table.add_column("arm", no_wrap=True)
    for column in (*columns, "training"):
        table.add_column(column)
    for arm, row in arms.items():
        found = [cell for m in MEASURES for cell in (estimate(row, m, digits=0), difference(row, m, digits=0))]
        took = results["arms"].get(arm, {}).get("training_seconds")
        cells = (Text(cell.replace(" [", "\n[")) for cell in found)
        table.add_row(Text(arm), *cells, duration(took) if took else "")
    return Group(table, Text("\n".join([*notes(results), f"All of it: {folder / 'study.html'}"])))

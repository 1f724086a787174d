"""Bars as SVG text: shares, counts, intervals, and parts stacked over iterations.

Invariant: as in `trajectories.viewer.charts`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

from trajectories.viewer.charts import (
    MOST,
    Scale,
    drawable,
    grid,
    left_out,
    legend,
    look,
    nice_ticks,
    number,
    percent,
    svg,
)


def split_bar(parts: Mapping[str, float], unit: Callable[[float], str] = number) -> str:
    """One bar, cut in proportion to its parts, with a legend that names each part's share."""
    kept = {name: value for name, value in parts.items() if value > 0}
    total = sum(kept.values())
    if not total:
        return ""
    bars = items = ""
    at = 0.0
    for i, (name, value) in enumerate(kept.items(), 1):
        label = f"{escape(name)} <b>{escape(unit(value))}</b>"
        bars += (
            f'<rect class="{look(i)}" x="{at / total:.2%}" width="{value / total:.2%}" height="26">'
            f"<title>{escape(name)}: {escape(unit(value))}</title></rect>"
        )
        items += f'<span class="{look(i)}">{label} {percent(value / total)}</span>'
        at += value
    return f'<svg class="split" height="26">{bars}</svg><div class="legend">{items}</div>'


def stacked(series: Sequence[tuple[float, Mapping[str, float]]], unit: Callable[[float], str] = number) -> str:
    """A column for each iteration, cut into its parts, the mean of neighbours where there are too many.

    `series`: (iteration, part -> value). What is no number, or below zero, is left out, and that is said.
    """
    drawn = [(x, {n: v for n, v in parts.items() if drawable(v) and v >= 0}) for x, parts in series if drawable(x)]
    note = left_out(sum(len(parts) for _, parts in series) - sum(len(parts) for _, parts in drawn))
    names = list(dict.fromkeys(name for _, parts in drawn for name in parts))
    columns = _columns(drawn)
    most = max((sum(parts.values()) for *_, parts in columns), default=0.0)
    if not most:
        return note
    ticks = nice_ticks(0.0, most)
    first, last = columns[0][0], columns[-1][1]
    step = (last - first) / max(len(drawn) - 1, 1) or 1.0
    at = Scale((first - step / 2, last + step / 2), (ticks[0], ticks[-1]))
    bars = "".join(_column(at, step, column, names, unit) for column in columns)
    drawing = svg(grid(at, ticks, unit, "iteration") + bars, ", ".join(names))
    return drawing + legend({name: look(i) for i, name in enumerate(names, 1)}) + note


_Column = tuple[float, float, Mapping[str, float]]
"""From an iteration to an iteration, and the mean of each part."""


def _columns(series: Sequence[tuple[float, Mapping[str, float]]]) -> list[_Column]:
    size = -(-len(series) // MOST) or 1
    groups = [series[i : i + size] for i in range(0, len(series), size)]
    return [
        (some[0][0], some[-1][0], {n: sum(p.get(n, 0.0) for _, p in some) / len(some) for _, p in some for n in p})
        for some in groups
    ]


def _column(at: Scale, step: float, column: _Column, names: Sequence[str], unit: Callable[[float], str]) -> str:
    first, last, parts = column
    left, right = at.x(first - step * 0.45), at.x(last + step * 0.45)
    when = f"iteration {first:g}" if first == last else f"iterations {first:g} to {last:g}, mean"
    base, drawn = 0.0, ""
    for i, name in enumerate(names, 1):
        if value := parts.get(name, 0.0):
            top, bottom = at.y(base + value), at.y(base)
            drawn += (
                f'<rect class="{look(i)}" x="{left}" y="{top}" width="{max(right - left, 0.5):.1f}" '
                f'height="{bottom - top:.1f}"><title>{escape(name)}, {when}: {escape(unit(value))}</title></rect>'
            )
            base += value
    return drawn


def funnel(
    steps: Mapping[str, int], meanings: Mapping[str, str] | None = None, scale: Callable[[float], float] = float
) -> str:
    """Bars one under the other, each as wide as its count compared with the largest, on a scale of its own.

    `meanings`: name of a step -> what it counts.
    """
    if not steps:
        return ""
    most = scale(max(*steps.values(), 1))
    rows = ""
    for name, count in steps.items():
        width = f"{max(0.0, scale(max(count, 0))) / most:.1%}"
        bar = f'<svg height="14"><rect class="c1" rx="3" width="{width}" height="14"/></svg>'
        said = f'<td class="soft">{escape((meanings or {}).get(name, ""))}</td>' if meanings is not None else ""
        rows += f"<tr><th>{escape(name.replace('_', ' '))}</th><td>{bar}</td><td>{count:,}</td>{said}</tr>"
    return f'<table class="funnel">{rows}</table>'


def interval_bar(before: tuple[float, float, float], after: tuple[float, float, float], chance: float | None) -> str:
    """Before and after with their intervals, (low, value, high) each, on a scale from 0 to 1."""

    def row(estimate: tuple[float, float, float], name: str, top: int) -> str:
        low, value, high = (min(max(v, 0.0), 1.0) for v in estimate)
        return (
            f'<g class="{name}"><title>{name}</title>'
            f'<rect x="{low:.1%}" y="{top - 2.5}" width="{high - low:.1%}" height="5" rx="2.5"/>'
            f'<circle cx="{value:.1%}" cy="{top}" r="5.5"/></g>'
        )

    line = ""
    if chance is not None:
        line = f'<line class="mark" x1="{chance:.0%}" x2="{chance:.0%}" y1="0" y2="34"><title>chance</title></line>'
    rows = row(before, "before", 9) + row(after, "after", 26)
    return f'<svg class="ranges" height="34">{line}{rows}</svg><div class="ends"><span>0%</span><span>100%</span></div>'


def small_interval(low: float, value: float, high: float) -> str:
    """One value with its interval on a scale from 0 to 1, with chance in the middle."""
    low, value, high = (min(max(v, 0.0), 1.0) for v in (low, value, high))
    return (
        '<svg class="small" width="120" height="12"><line class="mark" x1="50%" x2="50%" y1="0" y2="12"/>'
        f'<rect class="c1" x="{low:.1%}" y="4" width="{high - low:.1%}" height="4" rx="2"/>'
        f'<circle class="c1" cx="{value:.1%}" cy="6" r="4"/></svg>'
    )

"""Small charts as SVG text, for a page that must work offline and in light and dark.

Invariant: colours are CSS variables of the page (`--c1` ...), text is escaped, and a chart without data is empty text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 480, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 26


def percent(value: float) -> str:
    """`0.42` -> `42%`."""
    return f"{value * 100:.0f}%"


def number(value: float) -> str:
    """Three significant digits, no more zeros than needed; thousands whole."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def line_chart(
    series: Mapping[str, Points],
    *,
    y_format: Callable[[float], str] = number,
    y_range: tuple[float, float] | None = None,
    mark: float | None = None,
    smooth: int = 1,
) -> str:
    """Lines over iterations; `series` maps a name to points [(x, y)], `mark` is a dashed level (chance).

    With `smooth` above 1 the line is the mean of so many neighbouring points, and the points stay faint behind it.
    """
    drawn = {name: [p for p in points if math.isfinite(p[1])] for name, points in series.items()}
    drawn = {name: points for name, points in drawn.items() if points}
    if not drawn:
        return ""
    xs = [x for points in drawn.values() for x, _ in points]
    ys = [y for points in drawn.values() for _, y in points] + ([] if mark is None else [mark])
    ticks = nice_ticks(*(y_range or (min(ys), max(ys))))
    at = _Scale((min(xs), max(xs)), (ticks[0], ticks[-1]))
    parts = [_grid(at, ticks, y_format)]
    if mark is not None:
        parts.append(f'<line class="mark" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at.y(mark)}" y2="{at.y(mark)}"/>')
    for i, (name, points) in enumerate(drawn.items(), 1):
        parts.append(_line(at, name, points, i, smooth, y_format))
    label = escape(", ".join(drawn))
    body = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{body}</svg>{_legend(list(drawn))}'


class _Scale:
    """From data to places in the drawing."""

    def __init__(self, xs: tuple[float, float], ys: tuple[float, float]) -> None:
        self.xs, self.ys = xs, ys

    def x(self, value: float) -> float:
        span = self.xs[1] - self.xs[0] or 1.0
        return round(LEFT + (value - self.xs[0]) / span * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        span = self.ys[1] - self.ys[0] or 1.0
        return round(HEIGHT - BOTTOM - (value - self.ys[0]) / span * (HEIGHT - TOP - BOTTOM), 1)


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most about `most` round numbers that enclose low..high."""
    if high - low < 1e-9:
        pad = abs(high) * 0.5 or 0.5
        low, high = low - pad, high + pad
    rough = (high - low) / (most - 1)
    unit = 10 ** math.floor(math.log10(rough))
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _grid(at: _Scale, ticks: Sequence[float], y_format: Callable[[float], str]) -> str:
    rows = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at.y(t)}" y2="{at.y(t)}"/>'
        f'<text x="{LEFT - 6}" y="{at.y(t) + 3.5}" text-anchor="end">{escape(y_format(t))}</text>'
        for t in ticks
    )
    first, last = at.xs
    whole = [t for t in nice_ticks(first, last, 6) if first <= t <= last and t == int(t)]
    columns = "".join(f'<text x="{at.x(t)}" y="{HEIGHT - 8}" text-anchor="middle">{int(t)}</text>' for t in whole)
    return rows + columns


def _line(at: _Scale, name: str, points: Points, colour: int, smooth: int, y_format: Callable[[float], str]) -> str:
    def path(data: Points) -> str:
        return " ".join(f"{at.x(x)},{at.y(y)}" for x, y in data)

    style = f'style="--c:var(--c{(colour - 1) % 6 + 1})"'
    faint = f'<polyline class="faint" points="{path(points)}"/>' if smooth > 1 else ""
    dots = "".join(
        f'<circle cx="{at.x(x)}" cy="{at.y(y)}" r="{2.5 if len(points) < 3 else 6}" '
        f'class="{"dot" if len(points) < 3 else "hover"}">'
        f"<title>{escape(name)}, iteration {x:g}: {escape(y_format(y))}</title></circle>"
        for x, y in points
    )
    return f'<g {style}>{faint}<polyline points="{path(_smoothed(points, smooth))}"/>{dots}</g>'


def _smoothed(points: Points, width: int) -> Points:
    half = width // 2
    windows = ((x, points[max(0, i - half) : i + half + 1]) for i, (x, _) in enumerate(points))
    return [(x, sum(y for _, y in window) / len(window)) for x, window in windows]


def _legend(names: Sequence[str]) -> str:
    if len(names) < 2:
        return ""
    items = (f'<span style="--c:var(--c{i % 6 + 1})">{escape(name)}</span>' for i, name in enumerate(names))
    return f'<div class="legend">{"".join(items)}</div>'


def split_bar(parts: Mapping[str, float], unit: Callable[[float], str] = number) -> str:
    """One bar, cut in proportion to its parts, with a legend that names each part's share."""
    kept = {name: value for name, value in parts.items() if value > 0}
    total = sum(kept.values())
    if not total:
        return ""
    bars = items = ""
    for i, (name, value) in enumerate(kept.items()):
        colour, label = f"--c:var(--c{i % 6 + 1})", f"{escape(name)} <b>{escape(unit(value))}</b>"
        bars += f'<i style="{colour};flex:{value / total:.4f}" title="{escape(name)}: {escape(unit(value))}"></i>'
        items += f'<span style="{colour}">{label} {percent(value / total)}</span>'
    return f'<div class="split">{bars}</div><div class="legend">{items}</div>'


def funnel(steps: Mapping[str, int]) -> str:
    """Bars one under the other, each as wide as its count compared with the first."""
    if not steps:
        return ""
    most = max(*steps.values(), 1)
    rows = "".join(
        f'<tr><th>{escape(name.replace("_", " "))}</th><td><i style="width:{count / most * 100:.1f}%"></i></td>'
        f"<td>{count:,}</td></tr>"
        for name, count in steps.items()
    )
    return f'<table class="funnel">{rows}</table>'


def interval_bar(before: tuple[float, float, float], after: tuple[float, float, float], chance: float | None) -> str:
    """Before and after with their intervals, (low, value, high) each, on a scale from 0 to 1."""

    def row(estimate: tuple[float, float, float], name: str) -> str:
        low, value, high = (f"{min(max(v, 0.0), 1.0) * 100:.1f}%" for v in estimate)
        return (
            f'<div class="range {name}" title="{name}"><i style="left:{low};right:calc(100% - {high})"></i>'
            f'<b style="left:{value}"></b></div>'
        )

    line = "" if chance is None else f'<u style="left:{chance * 100:.0f}%" title="chance"></u>'
    rows = row(before, "before") + row(after, "after")
    return f'<div class="ranges">{line}{rows}</div><div class="ends"><span>0%</span><span>100%</span></div>'

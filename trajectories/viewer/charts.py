"""Small charts as SVG text, for pages that must work offline, in light and dark, and without any style attribute.

Invariant: colours are classes of the page (`c1` ... `c6`), places are attributes, text is escaped, and a chart without
data is empty text. A value is read by pointing at it. What cannot be drawn is left out, and how many values that are is
said. A drawing is bounded, however many points there are: of neighbours the least and the greatest stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 480, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 38
MOST = 200
"""Points of a line, columns of a stack: more cannot be told apart."""
_LARGEST = 1e100
"""Beyond it the differences of two values are no numbers any more."""


def drawable(value: Any) -> bool:
    """Whether it is a number that a chart can show."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def left_out(count: int) -> str:
    """Says how many values could not be drawn."""
    values = "1 value is left out: it is" if count == 1 else f"{count:,} values are left out: they are"
    return f'<p class="soft">{values} no number, or too large to draw.</p>' if count else ""


def percent(value: float) -> str:
    """`0.42` -> `42%`."""
    return f"{value * 100:.0f}%"


def number(value: float) -> str:
    """Three significant digits, no more zeros than needed; thousands whole."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def line_chart(
    series: Mapping[str, Points],
    *,
    y_format: Callable[[float], str] = number,
    y_range: tuple[float, float] | None = None,
    mark: float | None = None,
    smooth: int = 1,
    looks: Mapping[str, tuple[int, int]] | None = None,
    x_name: str = "iteration",
) -> str:
    """Lines over iterations; `series` maps a name to points [(x, y)], `mark` is a dashed level (chance).

    With `smooth` above 1 the line is the mean of so many neighbouring points, and the points stay faint behind it.
    `looks`: name -> number of its colour and of its dashes, both from 1; else each has the next colour.
    """
    drawn = {name: [p for p in points if all(map(drawable, p))] for name, points in series.items()}
    note = left_out(sum(len(points) - len(drawn[name]) for name, points in series.items()))
    drawn = {name: points for name, points in drawn.items() if points}
    if not drawn:
        return note
    styles = {name: (looks or {}).get(name, (i, 1)) for i, name in enumerate(drawn, 1)}
    xs = [x for points in drawn.values() for x, _ in points]
    ys = [y for points in drawn.values() for _, y in points] + ([] if mark is None else [mark])
    ticks = nice_ticks(*(y_range or (min(ys), max(ys))))
    at = Scale((min(xs), max(xs)), (ticks[0], ticks[-1]))
    parts = [grid(at, ticks, y_format, x_name)]
    if mark is not None:
        parts.append(f'<line class="mark" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at.y(mark)}" y2="{at.y(mark)}"/>')
    for name, points in drawn.items():
        parts.append(_line(at, f"{name}, {x_name}", points, look(*styles[name]), smooth, y_format))
    return svg("".join(parts), ", ".join(drawn)) + legend({name: look(*styles[name]) for name in drawn}) + note


def svg(body: str, label: str) -> str:
    """A drawing of the usual size."""
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{body}</svg>'


def look(colour: int, dashes: int = 1) -> str:
    """The classes of a line's colour and dashes."""
    return f"c{(colour - 1) % 6 + 1}" + (f" d{(dashes - 1) % 4 + 1}" if dashes > 1 else "")


class Scale:
    """From data to places in the drawing."""

    def __init__(self, xs: tuple[float, float], ys: tuple[float, float]) -> None:
        self.xs, self.ys = xs, ys

    def x(self, value: float) -> float:
        """Where an iteration stands."""
        span = self.xs[1] - self.xs[0] or 1.0
        return round(LEFT + (value - self.xs[0]) / span * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """How high a value stands."""
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


def grid(at: Scale, ticks: Sequence[float], y_format: Callable[[float], str], x_name: str) -> str:
    """Levels with their values, some iterations, and what they are called."""
    rows = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at.y(t)}" y2="{at.y(t)}"/>'
        f'<text x="{LEFT - 6}" y="{at.y(t) + 3.5}" text-anchor="end">{escape(y_format(t))}</text>'
        for t in ticks
    )
    first, last = at.xs
    whole = [t for t in nice_ticks(first, last, 6) if first <= t <= last and t == int(t)]
    columns = "".join(f'<text x="{at.x(t)}" y="{HEIGHT - 22}" text-anchor="middle">{number(t)}</text>' for t in whole)
    name = f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_name)}</text>'
    return rows + columns + name


def _line(at: Scale, name: str, points: Points, style: str, smooth: int, y_format: Callable[[float], str]) -> str:
    def path(data: Points) -> str:
        return " ".join(f"{at.x(x)},{at.y(y)}" for x, y in thinned(data))

    faint = f'<polyline class="faint" points="{path(points)}"/>' if smooth > 1 else ""
    dots = "".join(
        f'<circle cx="{at.x(x)}" cy="{at.y(y)}" r="{2.5 if len(points) < 3 else 6}" '
        f'class="{"dot" if len(points) < 3 else "hover"}">'
        f"<title>{escape(name)} {x:g}: {escape(y_format(y))}</title></circle>"
        for x, y in thinned(points)
    )
    return f'<g class="{style}">{faint}<polyline points="{path(_smoothed(points, smooth))}"/>{dots}</g>'


def thinned(points: Points) -> Points:
    """At most about `MOST` points: of neighbours the least and the greatest, as they follow each other."""
    if len(points) <= MOST:
        return points
    size = math.ceil(2 * len(points) / MOST)
    kept: list[tuple[float, float]] = []
    for first in range(0, len(points), size):
        some = points[first : first + size]
        ends = min(some, key=lambda p: p[1]), max(some, key=lambda p: p[1])
        kept += sorted(set(ends))
    return kept


def _smoothed(points: Points, width: int) -> Points:
    half = width // 2
    windows = ((x, points[max(0, i - half) : i + half + 1]) for i, (x, _) in enumerate(points))
    return [(x, sum(y for _, y in window) / len(window)) for x, window in windows]


def legend(looks: Mapping[str, str]) -> str:
    """What the colours mean, where there are several."""
    if len(looks) < 2:
        return ""
    items = (f'<span class="{style}">{escape(name)}</span>' for name, style in looks.items())
    return f'<div class="legend">{"".join(items)}</div>'

"""The paper's Figure 5 as one SVG file: selection accuracy against resolve rate.

Invariant: it needs nothing else; every arm has its mean with the intervals of both measures, and its seeds as light
points. What was not measured is not drawn. Colours follow the order of the arms; `base` is grey.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from contextrl.study.results import BASE
from trajectories.viewer.charts import nice_ticks, percent

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 460, 64, 190, 44, 48
COLOURS = ("#2a6fdb", "#d95f1a", "#12906a", "#8a55d0", "#b8860b", "#c2417c")
DARK = ("#6aa5f8", "#f08a4b", "#3cc498", "#b48cf0", "#d8ac3a", "#ec7fae")
STYLE = """
svg{background:#fff}text{fill:#16181d;font:12px system-ui,sans-serif}text.soft{fill:#5d626c}
.grid{stroke:#e3e3de}.chance{stroke:#5d626c;stroke-dasharray:4 4}.k0{--c:#5d626c}
g.arm{fill:var(--c);stroke:var(--c)}.seed{opacity:.3;stroke:none}.range{stroke-width:2;opacity:.6}
@media (prefers-color-scheme:dark){svg{background:#1b1d21}text{fill:#e9eaec}text.soft{fill:#9a9faa}
.grid{stroke:#2e3137}.chance{stroke:#9a9faa}.k0{--c:#9a9faa}%s}
"""
Row = Mapping[str, Any]


def figure(arms: Mapping[str, Row], title: str) -> str:
    """`arms`: a group of the results (`contextrl.study.results`). Empty text where no arm has both measures."""
    drawn = {name: row for name, row in arms.items() if _both(row)}
    if not drawn:
        return ""
    at = _Place(drawn)
    colours = {name: i % len(COLOURS) + 1 for i, name in enumerate(name for name in arms if name != BASE)}
    body = "".join(
        _arm(at, name, row, f"k{colours.get(name, 0)}") + _key(number, name, f"k{colours.get(name, 0)}")
        for number, (name, row) in enumerate(drawn.items())
    )
    light, dark = ("".join(f".k{i}{{--c:{colour}}}" for i, colour in enumerate(some, 1)) for some in (COLOURS, DARK))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="selection accuracy against resolve rate"><style>{light}{STYLE % dark}</style>'
        f'<text x="12" y="22" style="font-weight:600">{escape(title)}</text>{at.axes()}{body}</svg>\n'
    )


class _Place:
    """From accuracies and rates to places, on axes that hold all that is drawn."""

    def __init__(self, arms: Mapping[str, Row]) -> None:
        self._x = _ticks([v for row in arms.values() for v in _values(row, "selection_accuracy")])
        self._y = _ticks([v for row in arms.values() for v in _values(row, "resolve_rate")])

    def x(self, value: float) -> float:
        return round(LEFT + (value - self._x[0]) / (self._x[-1] - self._x[0]) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self._y[0]) / (self._y[-1] - self._y[0])
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    def axes(self) -> str:
        """Levels with their values, chance, and what the axes are."""
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        rows = "".join(
            f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{self.y(t)}" y2="{self.y(t)}"/>'
            f'<text class="soft" x="{LEFT - 8}" y="{self.y(t) + 4}" text-anchor="end">{percent(t)}</text>'
            for t in self._y
        )
        columns = "".join(
            f'<line class="grid" x1="{self.x(t)}" x2="{self.x(t)}" y1="{TOP}" y2="{bottom}"/>'
            f'<text class="soft" x="{self.x(t)}" y="{bottom + 17}" text-anchor="middle">{percent(t)}</text>'
            for t in self._x
        )
        chance = ""
        if self._x[0] <= 0.5 <= self._x[-1]:
            chance = (
                f'<line class="chance" x1="{self.x(0.5)}" x2="{self.x(0.5)}" y1="{TOP}" y2="{bottom}">'
                "<title>chance</title></line>"
            )
        middle, centre = (LEFT + right) / 2, (TOP + bottom) / 2
        names = (
            f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">selection accuracy</text>'
            f'<text x="16" y="{centre}" text-anchor="middle" transform="rotate(-90 16 {centre})">resolve rate</text>'
        )
        return rows + columns + chance + names


def _arm(at: _Place, name: str, row: Row, look: str) -> str:
    x, y = at.x(row["selection_accuracy"]), at.y(row["resolve_rate"])
    left, right = (at.x(v) for v in row["selection_accuracy_interval"])
    low, high = (at.y(v) for v in row["resolve_rate_interval"])
    seeds = "".join(
        f'<circle class="seed" cx="{at.x(s["selection_accuracy"])}" cy="{at.y(s["resolve_rate"])}" r="4">'
        f"<title>{escape(name)}, seed {seed}: {_said(s)}</title></circle>"
        for seed, s in row["seeds"].items()
        if _both(s)
    )
    return (
        f'<g class="arm {look}">{seeds}'
        f'<line class="range" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
        f'<line class="range" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>'
        f'<circle cx="{x}" cy="{y}" r="6"><title>{escape(name)}: {_said(row)}</title></circle></g>'
    )


def _key(number: int, name: str, look: str) -> str:
    x, y = WIDTH - RIGHT + 24, TOP + 12 + 22 * number
    shown = name if len(name) <= 20 else f"{name[:18]}..."
    return (
        f'<g class="arm {look}"><circle cx="{x}" cy="{y}" r="5"/></g>'
        f'<text x="{x + 12}" y="{y + 4}">{escape(shown)}<title>{escape(name)}</title></text>'
    )


def _said(row: Row) -> str:
    return f"selects {row['selection_accuracy']:.1%}, resolves {row['resolve_rate']:.1%}"


def _both(row: Row) -> bool:
    return row.get("selection_accuracy") is not None and row.get("resolve_rate") is not None


def _values(row: Row, measure: str) -> list[float]:
    seeds = [seed[measure] for seed in row["seeds"].values() if seed.get(measure) is not None]
    return [row[measure], *row[f"{measure}_interval"], *seeds]


def _ticks(values: list[float]) -> list[float]:
    """Round numbers around the values, not beyond 0 and 1."""
    ticks = [t for t in nice_ticks(max(0.0, min(values) - 0.02), min(1.0, max(values) + 0.02), 6) if 0 <= t <= 1]
    return ticks

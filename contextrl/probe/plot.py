"""The results as one SVG file that needs nothing else.

Invariant: measured values are filled and have intervals; the paper's are hollow, named as the paper's, and have none.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from contextrl.probe import paper
from contextrl.probe.result import ModelResult, Result, label
from trajectories.viewer.charts import percent

WIDTH, ROW, LEFT, RIGHT, TOP = 720, 24, 300, 24, 44
NAME = 46
"""Characters of a row's name that there is room for."""
STYLE = """
svg{background:#fff}text{fill:#16181d;font:12px system-ui,sans-serif}text.soft{fill:#5d626c}
.grid{stroke:#e3e3de}.chance{stroke:#5d626c;stroke-dasharray:4 4}
.ours{fill:#2a6fdb;stroke:#2a6fdb}.agent,.multimodal{fill:none;stroke:#2a6fdb;stroke-width:1.5}
.multimodal{stroke:#d95f1a}
@media (prefers-color-scheme:dark){svg{background:#1b1d21}text{fill:#e9eaec}text.soft{fill:#9a9faa}
.grid{stroke:#2e3137}.chance{stroke:#9a9faa}.ours{fill:#6aa5f8;stroke:#6aa5f8}.agent{stroke:#6aa5f8}
.multimodal{stroke:#f08a4b}}
"""
"""The report's colours, written out: not every program that shows SVG knows variables."""


def plot(result: Result) -> str:
    """One row for each model and set, then the paper's models."""
    ours = [_ours(row, found) for row, found in enumerate(result.results)]
    theirs = [_theirs(row, published) for row, published in enumerate(paper.FIGURE_2, len(ours) + 1)]
    rows = len(ours) + 1 + len(theirs)
    height = TOP + rows * ROW + 30
    marks = "".join(_line(rows, tick / 4, "grid") + _tick(rows, tick / 4) for tick in range(5))
    body = "".join(
        [
            '<text x="12" y="22" style="font-weight:600">Selection accuracy, 95% intervals; dashed: chance</text>',
            marks,
            _line(rows, 0.5, "chance"),
            *ours,
            _text(len(ours), f"{paper.TITLE}: circles agent, diamonds multimodal", "soft"),
            *theirs,
        ]
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="selection accuracy"><style>{STYLE}</style>{body}</svg>\n'
    )


def _ours(row: int, found: ModelResult) -> str:
    a = found.accuracy
    said = f"{found.model} on {found.set}: {a.mean:.1%} [{a.low:.1%}, {a.high:.1%}], {a.pairs} pairs"
    name = f"{label(found.model)} on {Path(found.set).name}"
    bar = f'<line x1="{_x(a.low)}" x2="{_x(a.high)}" y1="{_y(row)}" y2="{_y(row)}" stroke-width="3" opacity=".4"/>'
    dot = f'<circle cx="{_x(a.mean)}" cy="{_y(row)}" r="5"/>'
    shown = name if len(name) <= NAME else f"...{name[3 - NAME :]}"
    return f'{_text(row, shown)}<g class="ours"><title>{escape(said)}</title>{bar}{dot}</g>'


def _theirs(row: int, published: paper.Published) -> str:
    agent, visual, y = _x(published.agent), _x(published.multimodal), _y(row)
    circle = f'<circle class="agent" cx="{agent}" cy="{y}" r="4.5"><title>agent {published.agent:.1%}</title></circle>'
    diamond = (
        f'<path class="multimodal" d="M{visual} {y - 5.5}l5.5 5.5l-5.5 5.5l-5.5 -5.5z">'
        f"<title>multimodal {published.multimodal:.1%}</title></path>"
    )
    return _text(row, published.model, "soft") + circle + diamond


def _text(row: int, text: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="12" y="{_y(row) + 4}">{escape(text)}</text>'


def _line(rows: int, value: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{_x(value)}" x2="{_x(value)}" y1="{TOP - 8}" y2="{TOP + rows * ROW}"/>'


def _tick(rows: int, value: float) -> str:
    return (
        f'<text class="soft" x="{_x(value)}" y="{TOP + rows * ROW + 18}" text-anchor="middle">{percent(value)}</text>'
    )


def _x(value: float) -> float:
    return round(LEFT + value * (WIDTH - LEFT - RIGHT), 1)


def _y(row: int) -> int:
    return TOP + row * ROW + ROW // 2

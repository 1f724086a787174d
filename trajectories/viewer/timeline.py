"""A bar for each turn, as wide as it took, with the CPU time of its commands below it, as SVG text.

Invariant: as in `trajectories.viewer.charts`. However short a turn was, it can be seen and pointed at.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from markupsafe import Markup

from trajectories.viewer.steps import Step
from trajectories.viewer.texts import visible
from trajectories.viewer.words import brief, lasted

_WIDTH, _WALL, _CPU = 1_000.0, 26, 8
_LEAST = 0.35
"""Of the width that each turn would have if all were alike: what the shortest gets."""


def timeline(steps: Sequence[Step], prefix: str = "") -> Markup:
    """The bars; empty without turns. `prefix`: of the turns' places on the page."""
    if not steps:
        return Markup()
    total = sum(max(step.turn.seconds, 0.0) for step in steps)
    least = _WIDTH / len(steps) * _LEAST
    rest = _WIDTH - least * len(steps)
    at, bars = 0.0, ""
    for step in steps:
        share = max(step.turn.seconds, 0.0) / total if total else 1 / len(steps)
        width = least + rest * share
        bars += _bar(step, at, width, prefix)
        at += width
    height = _WALL + _CPU + 4
    label = f"{len(steps)} turns, {lasted(total)}"
    return Markup(
        f'<svg class="timeline" viewBox="0 0 {_WIDTH:.0f} {height}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{bars}</svg>'
    )


def _bar(step: Step, at: float, width: float, prefix: str) -> str:
    turn = step.turn
    gap = min(1.5, width / 6)
    ended = "" if turn.exit_code is None else f", exit {turn.exit_code}"
    cpu = "" if turn.cpu_seconds is None else f", {lasted(turn.cpu_seconds)} of CPU time"
    name = turn.tool_call.name or "no call"
    title = f"{step.number} {brief(name, 40)} {brief(step.short)}: {lasted(turn.seconds)}{cpu}{ended}"
    shape = f'x="{at:.2f}" width="{width - gap:.2f}" y="0" height="{_WALL}"'
    bar = f'<rect class="w-{step.outcome}" {shape}/>'
    if turn.cpu_seconds is not None and turn.seconds > 0:
        busy = min(1.0, turn.cpu_seconds / turn.seconds) * (width - gap)
        bar += f'<rect class="w-cpu" x="{at:.2f}" width="{busy:.2f}" y="{_WALL + 3}" height="{_CPU}"/>'
    if step.changed_something:
        bar += f'<rect class="w-changed" x="{at:.2f}" width="{width - gap:.2f}" y="0" height="3"/>'
    return f'<a href="#{prefix}turn-{step.number}">{bar}<title>{escape(visible(title))}</title></a>'

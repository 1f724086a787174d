"""How pairs were found in a run or a set, and whether they can be told apart without reading."""

from __future__ import annotations

import math

from markupsafe import Markup

from trajectories.mining.couples import FUNNEL
from trajectories.viewer.asking import Asked, Mistake
from trajectories.viewer.bars import funnel as drawn
from trajectories.viewer.opening import Source
from trajectories.viewer.page import Page


def funnel(source: Source, asked: Asked) -> Page:
    """How many couples and pairs each stage of mining left in a run or a set."""
    name = asked.text("name") or ""
    counts = source.store.funnel(name)
    if not counts:
        raise Mistake(f"Nothing was mined in a run or a set named {name!r}.")
    ordered = {stage: counts[stage] for stage in dict.fromkeys((*FUNNEL, *counts)) if stage in counts}
    values = {"name": name, "drawing": Markup(drawn(ordered, lambda count: math.log10(1 + count)))}
    return Page("funnel.html", f"Mining in {name or 'the run without a name'}", values, live=True)


def audit(source: Source, asked: Asked) -> Page:
    """The last shortcut audits of a run or a set, the newest first."""
    name = asked.text("name") or ""
    found = source.store.findings("audit", name)
    values = {"name": name, "audits": found, "pairs": source.store.count_pairs(run=name, judgement="valid")}
    return Page("audit.html", f"Shortcut audit of {name or 'the run without a name'}", values)

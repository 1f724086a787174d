"""How pairs were found in a run or a set, and whether they can be told apart without reading."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from markupsafe import Markup

from trajectories.storage.upkeep import Upkeep
from trajectories.viewer.asking import Asked, Mistake
from trajectories.viewer.bars import funnel as drawn
from trajectories.viewer.opening import Source
from trajectories.viewer.page import Page
from trajectories.viewer.words import named

_STAGES: Mapping[tuple[str, str], Mapping[str, str]] = {
    (
        "Couples of trajectories, by what they share",
        "Three ways of counting, none a part of another; a couple that shares two files or functions counts twice.",
    ): {
        "commit": "one repository at one base commit",
        "file": "a file that both touched",
        "function": "a function or class that both touched",
    },
    (
        "Couples that were looked at",
        "Of those above, as many as mining needs; the same two are looked at again for each thing that they share. "
        "Each stage keeps some of the one before.",
    ): {
        "distinct": "their issues are two",
        "related": "and related",
        "close": "and they are at one commit, or the place reads alike at both",
        "masked": "and both have an edit that can be masked, and leak nothing",
    },
    (
        "Pairs",
        "A couple makes a pair for each of the two that resolved its task. Those judged before are not counted again.",
    ): {
        "asked": "put to the judge",
        "valid": "judged valid",
        "uncertain": "the judge is not sure",
        "invalid": "judged invalid",
        "verified": "then tried by running: the label holds",
        "refuted": "then tried by running: the label fell",
    },
}
"""What the stages count (`trajectories.mining.couples.FUNNEL`), in their order: heading and explanation -> stages."""
_OTHERS = ("Others", "Stages that this viewer does not know.")


class Section(NamedTuple):
    """Stages that count the same things."""

    title: str
    text: str
    drawing: Markup


def funnel(source: Source, asked: Asked) -> Page:
    """How many couples and pairs each stage of mining left in a run or a set."""
    name = asked.run("name") or ""
    counts = source.store.funnel(name)
    if not counts:
        raise Mistake(f"Nothing was mined in a run or a set named {name!r}.")
    values = {"name": name, "sections": list(sections(counts))}
    return Page("funnel.html", f"Mining in {named(name)}", values, live=True)


def sections(counts: Mapping[str, int]) -> Iterator[Section]:
    """The funnel as it is shown, those of its sections that it has."""
    known = {stage for stages in _STAGES.values() for stage in stages}
    others = {stage: "" for stage in counts if stage not in known}
    for (title, text), stages in {**_STAGES, _OTHERS: others}.items():
        found = {stage: counts[stage] for stage in stages if stage in counts}
        if found:
            yield Section(title, text, Markup(drawn(found, stages, lambda count: math.log10(1 + count))))


def audit(source: Source, asked: Asked) -> Page:
    """The last shortcut audits of a run or a set, the newest first."""
    name = asked.run("name") or ""
    found = source.store.findings("audit", name)
    if not found and name not in Upkeep(source.store).names("set"):
        raise Mistake(f"There is no run and no set named {name!r}.")
    values = {"name": name, "audits": found, "pairs": source.store.count_pairs(run=name, judgement="valid")}
    return Page("audit.html", f"Shortcut audit of {named(name)}", values, live=True)

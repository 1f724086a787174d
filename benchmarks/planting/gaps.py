"""Contexts that look unlike: in length, in style, in how they are masked."""

from __future__ import annotations

import re

from benchmarks.planting.agents import STYLES, episode
from benchmarks.planting.draft import Draft, draft, length_ratio
from trajectories.mining.masking import first_edit
from trajectories.records import MASK, ContextPair, MaskedContext, Trajectory


def length_gap(d: Draft) -> ContextPair:
    """One of the two is 2 to 6 times as long."""
    while True:
        many = round(d.first.turns * d.rng.uniform(2, 6))
        d.second = episode(d.second.bug, d.style, d.rng, turns=many)
        if d.rng.random() < 0.5:
            d.first, d.second = d.second, d.first
        pair = d.pair()
        if 2 <= length_ratio(pair) <= 6:
            return pair
        d = draft(d.rng, d.style)


def format_gap(d: Draft) -> ContextPair:
    """Only one of the two is written in a style, thinks aloud in tags, or says anything at all."""
    kind = d.rng.randrange(4)
    if kind == 0:
        d.second.style = d.rng.choice([style for style in STYLES if style != d.style])
        return d.pair()

    def change(t: Trajectory, context: MaskedContext) -> MaskedContext:
        turns = []
        for turn in context.turns:
            text, seen = turn.text, turn.observation
            if kind == 1:
                tag = ("think", "reasoning", "thought")[len(t.id) % 3]
                text = re.sub(r"\A(?:THOUGHT: )?(.*?)\n", rf"<{tag}>\1</{tag}>\n", text, count=1, flags=re.DOTALL)
            elif kind == 2:
                text = text[max(text.find("```bash"), text.find("<function="), text.find("<tool_call>"), 0) :]
            else:
                seen = f"[Thinking time: {d.rng.random():.1f}s]\n{seen}\n[Current directory: /testbed]"
            turns.append(turn.model_copy(update={"text": text, "observation": seen}))
        return context.model_copy(update={"turns": turns})

    return d.pair(change)


def mask_gap(d: Draft) -> ContextPair:
    """The two are masked in unlike ways."""
    kind = d.rng.randrange(4)
    d.whole = d.whole or kind == 3

    def change(t: Trajectory, context: MaskedContext) -> MaskedContext:
        turns, edit = list(context.turns), first_edit(context)
        if kind == 0:  # the whole turn, where the other shows the command around it
            turns[edit] = turns[edit].model_copy(update={"text": MASK})
        elif kind == 1:  # the edit is not masked, though it quotes nothing that tells
            text = turns[edit].text.replace(MASK, "pass")
            turns[edit] = turns[edit].model_copy(update={"text": text, "edits": d.rng.random() < 0.5})
        elif kind == 2:  # every line that was shown is masked
            for i, turn in enumerate(turns):
                if d.rng.random() < 0.6:
                    rows = [MASK if d.rng.random() < 0.3 else row for row in turn.observation.split("\n")]
                    turns[i] = turn.model_copy(update={"observation": "\n".join(rows)})
        else:  # there is no mask at all
            turns = [
                turn.model_copy(
                    update={"text": turn.text.replace(MASK, ""), "observation": turn.observation.replace(MASK, "")}
                )
                for turn in turns
            ]
        return context.model_copy(update={"turns": turns})

    return d.pair(change)

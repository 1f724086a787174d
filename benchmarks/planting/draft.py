"""Two episodes that become a pair, before and after something is done to one of them.

Invariant: a pair is made as the miner makes it, with the same masking and the same question.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.planting.agents import Episode, episode
from benchmarks.planting.code import two_bugs
from trajectories.mining.answers import asked
from trajectories.mining.masking import mask_after_edit, mask_trajectory
from trajectories.protocol import RightAnswer
from trajectories.records import ContextPair, MaskedContext, Trajectory


@dataclass
class Draft:
    """Two episodes that become a pair; faults change it."""

    rng: random.Random
    style: str
    whole: bool
    """Whether the turns after the edit are shown."""
    first: Episode
    second: Episode

    def pair(self, change: Callable[[Trajectory, MaskedContext], MaskedContext] | None = None) -> ContextPair:
        """The pair as the miner makes it; `change` is done to one of the two contexts, either one."""
        a, c = self.first.play("task-1"), self.second.play("task-2")
        about = asked([RightAnswer(a.answer, a.patch)], [RightAnswer(c.answer, c.patch)])
        lines = [*about.answer.splitlines(), *about.replaced.splitlines()] if about.replaced else []
        contexts = [mask_after_edit(mask_trajectory(t, keep_after_edit=self.whole), lines) for t in (a, c)]
        if change:
            which = self.rng.randrange(2)
            contexts[which] = change((a, c)[which], contexts[which])
        return ContextPair(
            repo=a.repo,
            base_commit=a.base_commit,
            file=a.files[0],
            function=a.functions[0],
            answer=about.answer,
            replaced=about.replaced,
            confounder_answer=about.confounder_answer,
            anchor=contexts[0],
            confounder=contexts[1],
            similarity=0.5,
        )


def draft(rng: random.Random, style: str) -> Draft:
    """Two episodes of one agent on two bugs of one function; one is at most 1.6 times as long as the other."""
    while True:
        one, other = two_bugs(rng)
        first = episode(one, style, rng)
        second = episode(other, style, rng, turns=max(13, round(first.turns * rng.uniform(0.8, 1.25))))
        made = Draft(rng, style, rng.random() < 0.7, first, second)
        state = rng.getstate()
        if length_ratio(made.pair()) <= 1.6:
            rng.setstate(state)
            return made


def length_ratio(pair: ContextPair) -> float:
    """Characters of the longer context over those of the shorter."""
    short, long = sorted((_size(pair.anchor), _size(pair.confounder)))
    return long / max(short, 1)


def _size(context: MaskedContext) -> int:
    return sum(len(turn.text) + len(turn.observation) for turn in context.turns)

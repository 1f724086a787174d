"""Pairs whose label is wrong, or that have nothing to tell their contexts apart."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from benchmarks.planting.agents import episode
from benchmarks.planting.code import NOUNS
from benchmarks.planting.draft import Draft
from trajectories.records import ContextPair


def same_bug(d: Draft) -> ContextPair:
    """One bug under two instance ids, repaired twice in nearly the same words."""
    bug = d.first.bug
    d.second = episode(bug, d.style, d.rng, _reworded(d.rng, d.first.right), turns=d.first.turns)
    return d.pair()


def ambiguous(d: Draft) -> ContextPair:
    """The repair of one task is, or holds, that of the other."""
    module = d.first.bug.module
    pair = d.pair()
    right = [step.right for step in (module.steps[d.first.bug.step], module.steps[d.second.bug.step])]
    mine = "\n".join(right[0]) + "\n"
    both = "\n".join((*_reworded(d.rng, right[0]), *right[1]))
    other = d.rng.choice((mine, "\n".join(_reworded(d.rng, right[0])), both, module.definition(frozenset())))
    texts = (mine, other) if other != module.definition(frozenset()) else (other, f"# the whole\n{other}")
    if d.rng.random() < 0.5:
        texts = texts[::-1]
    return pair.model_copy(update={"answer": texts[0], "confounder_answer": texts[1]})


def identical(d: Draft) -> ContextPair:
    """Twice the same context, but for what differs from run to run."""
    pair = d.pair()
    kind = d.rng.randrange(4)

    def again(text: str) -> str:
        if kind == 1:
            return re.sub(r"in \d+\.\d+s", f"in {d.rng.uniform(0, 9):.2f}s", text)
        if kind == 2:
            return text.replace("\n\n", "\n \n") + d.rng.choice(("", " ", "\n"))
        if kind == 3:
            clock = f"{d.rng.randrange(24):02}:{d.rng.randrange(60):02}"
            return text.replace("/testbed", f"/tmp/{d.rng.randrange(10**6)}").replace("10:00", clock)
        return text

    turns = [
        turn.model_copy(update={"text": again(turn.text), "observation": again(turn.observation)})
        for turn in pair.anchor.turns
    ]
    update = {"turns": turns, "trajectory_id": pair.confounder.trajectory_id, "instance_id": "task-2"}
    if d.rng.random() < 0.5:
        update["problem_statement"] = pair.confounder.problem_statement
    return pair.model_copy(update={"confounder": pair.anchor.model_copy(update=update)})


def _reworded(rng: random.Random, lines: tuple[str, ...]) -> tuple[str, ...]:
    """The same code with other spaces, quotes and comments."""
    ways: tuple[Callable[[str], str], ...] = (
        lambda line: line,
        lambda line: f"{line}  # {rng.choice(NOUNS)}",
        lambda line: line.replace('"', "'"),
        lambda line: line.replace(", ", ",").replace(" = ", "="),
    )
    way = rng.choice(ways)
    head = (f"# {rng.choice(NOUNS)} first",) if rng.random() < 0.5 else ()
    return (*head, *map(way, lines))

"""Held-out context pairs: what selection accuracy is measured on.

Invariant: made from held-out tasks only, of functions that no training task touches, by an expert that reads before it
edits, mined and judged as in training; hard ones only: both contexts about the same function, as alike as they come.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from agents.expert import Script
from agents.gold import gold_script
from agents.tiny.demonstrator import PERFECT, demonstrate
from contextrl.player import Player
from contextrl.world import GENERATED, World
from envs.task import TaskInstance
from trajectories.judge import RuleJudge
from trajectories.mining.miner import MinerOptions, PairMiner
from trajectories.records import ContextPair
from trajectories.store import SQLStore

PER_FUNCTION = 3
"""Pairs of one function at most: many functions say more than many pairs of few."""
AT_ONCE = 8
"""Functions whose tasks are played between two looks at how many pairs there are: enough to keep sandboxes busy."""


async def heldout_pairs(
    player: Player,
    world: World,
    kind: str,
    count: int,
    *,
    seed: int,
    min_similarity: float,
    keep_after_edit: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> list[ContextPair]:
    """At most `count` valid pairs of the function stage, at least this similar, of repositories of a kind.

    No more tasks are played than it takes to find them. `progress(pairs found, count)`.
    """
    families, script = _families(world, kind, seed), expert_script(world, kind, seed)
    options = MinerOptions(
        max_pairs_per_trajectory=8,
        max_partners=16,
        max_reuse=64,
        max_pairs_per_function=64,
        keep_after_edit=keep_after_edit,
    )
    hard: list[ContextPair] = []
    kept: list[ContextPair] = []
    with SQLStore("sqlite://") as store:
        miner = PairMiner(store, RuleJudge(), options)
        while families and len(kept) < count:
            size = min(AT_ONCE, -(-(count - len(kept)) // 2))  # a function gives two pairs or so
            chunk, families = families[:size], families[size:]
            for trajectory in await player.demonstrate(script, [task for family in chunk for task in family]):
                store.add(trajectory)
                mined = miner.on_insert(trajectory)
                hard += [p for p in mined if p.judgement == "valid" and p.similarity >= min_similarity]
            kept = _spread(hard, count, random.Random(seed))
            if progress:
                progress(len(kept), count)
    return kept


def _families(world: World, kind: str, seed: int) -> list[list[TaskInstance]]:
    """Held-out tasks by function, those of functions with two at least, in random order.

    A function that training tasks touch too (only the bug is new) is left out: its pairs may have been trained on.
    """
    families: dict[str, list[TaskInstance]] = {}
    trained = world.training_functions
    for ground in world.grounds:
        for task in ground.heldout if ground.kind == kind else ():
            if task.functions and not any(f"{task.repo} {name}" in trained for name in task.functions):
                families.setdefault(f"{task.repo}::{task.functions[0]}", []).append(task)
    several = [families[name] for name in sorted(families) if len(families[name]) > 1]
    random.Random(f"pairs/{seed}").shuffle(several)
    return several


def expert_script(world: World, kind: str, seed: int) -> Script:
    """Who demonstrates on a kind of repository: it reads before it edits, and is right."""
    if kind != GENERATED:
        return gold_script(world.profiles)
    return lambda task: demonstrate(task, random.Random(f"{seed}/{task.instance_id}"), PERFECT)


def _spread(pairs: Sequence[ContextPair], count: int, rng: random.Random) -> list[ContextPair]:
    """At most `count` of them, at most `PER_FUNCTION` of one function."""
    taken: dict[str, int] = {}
    kept: list[ContextPair] = []
    for pair in rng.sample(list(pairs), len(pairs)):
        place = f"{pair.repo}::{pair.function}"
        if taken.get(place, 0) < PER_FUNCTION and len(kept) < count:
            taken[place] = taken.get(place, 0) + 1
            kept.append(pair)
    return kept

"""What a policy can do, on tasks and pairs that it was not trained on.

Invariant: before and after are measured on the same tasks with the same random numbers and on the same pairs in both
letter orders; an episode that died for a reason of ours is left out on both sides, never counted as a failure. Tasks
and pairs of one function are not independent, and intervals know it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel

from contextrl.choice import ChoiceFormat, ChoicePrompt
from contextrl.config import Recipe
from contextrl.heldout import heldout_pairs
from contextrl.objectives.pairs import select
from contextrl.player import Player
from contextrl.progress import Progress
from contextrl.scoring import Scorer
from contextrl.stats import Interval, by_cluster, clustered_proportion, paired_difference
from contextrl.world import World
from envs.task import TaskInstance
from trajectories.records import ContextPair, Trajectory

EVALUATION = "evaluation"
"""Names the episodes' random numbers: the same before and after."""


class Measured(BaseModel):
    """One evaluation of one kind of repository: JSON in the run's folder, so that a resumed run has it."""

    resolved: dict[str, float] = {}
    """Instance id -> 1.0 or 0.0."""
    trajectories: dict[str, str] = {}
    """Instance id -> trajectory id."""
    selected: dict[str, float] = {}
    """Pair (`name_of`) -> share of the letter orders in which the anchor was chosen."""
    functions: dict[str, str] = {}
    """Instance id or pair -> repository and function."""
    splits: dict[str, str] = {}
    """Instance id or pair -> what is new about it: the function, or only the bug (`TaskInstance.split`)."""

    def of_split(self, split: str) -> Measured:
        """What was measured on one split."""
        mine = {key for key, name in self.splits.items() if name == split}
        return self.model_copy(
            update={
                "resolved": {k: v for k, v in self.resolved.items() if k in mine},
                "trajectories": {k: v for k, v in self.trajectories.items() if k in mine},
                "selected": {k: v for k, v in self.selected.items() if k in mine},
            }
        )


class Evaluator:
    """Measures a policy on the held-out tasks and pairs of a world."""

    def __init__(self, recipe: Recipe, world: World, player: Player, choices: ChoiceFormat, progress: Progress) -> None:
        self._recipe, self._world, self._player, self._progress = recipe, world, player, progress
        self._choices = choices.upto(recipe.heldout_pair_tokens)
        self._pairs: dict[str, tuple[list[ContextPair], list[ChoicePrompt]]] = {}

    async def measure(
        self, title: str, run: str, scorer: Scorer, on_trajectory: Callable[[Trajectory], None]
    ) -> dict[str, Measured]:
        """Kind of repository -> what was measured: one episode of each task, each pair in both orders.

        `run` is what the trajectories are stored under: not the training run's name, or they would be mined.
        """
        found: dict[str, Measured] = {}
        for kind in self._world.kinds:
            pairs, prompts = await self._heldout_pairs(kind)
            self._progress.stage(f"{title}: {kind}")
            tasks = self._heldout_tasks(kind)
            played = await self._player.play(
                tasks,
                group_size=1,
                temperature=self._recipe.evaluation.temperature,
                seed=self._recipe.seed,
                run=EVALUATION,
                on_trajectory=lambda t: on_trajectory(t.model_copy(update={"run": run})),
                progress=self._progress.update,
            )
            chosen = await asyncio.to_thread(select, scorer, prompts, self._recipe.learner.microbatch_tokens)
            counted = [t for t in played if t.status != "infra_error"]
            places = {t.instance_id: f"{t.repo}::{t.functions[0] if t.functions else t.instance_id}" for t in tasks}
            split_of, names = self._world.splits, {p.id: name_of(p) for p in pairs}
            found[kind] = Measured(
                resolved={t.instance_id: float(t.resolved) for t in counted},
                trajectories={t.instance_id: t.id for t in counted},
                selected=by_cluster((names[r.pair_id], r.correct) for r in chosen),
                functions=places | {name_of(p): f"{p.repo}::{p.function}" for p in pairs},
                splits={t.instance_id: t.split for t in tasks}
                | {name_of(p): split_of.get(p.anchor.instance_id, "") for p in pairs},
            )
        return found

    def _heldout_tasks(self, kind: str) -> list[TaskInstance]:
        config, seed = self._recipe.evaluation, self._recipe.seed
        new_functions = self._world.heldout(kind, "heldout_function", config.tasks, seed)
        return new_functions + self._world.heldout(kind, "heldout_mutation", config.mutation_tasks, seed)

    async def _heldout_pairs(self, kind: str) -> tuple[list[ContextPair], list[ChoicePrompt]]:
        if kind not in self._pairs:
            self._progress.stage(f"Held-out pairs: {kind}")
            pairs = await heldout_pairs(
                self._player,
                self._world,
                kind,
                self._recipe.evaluation.pairs,
                seed=self._recipe.seed,
                min_similarity=self._recipe.ca.hardness[-1],
                keep_after_edit=self._recipe.ca.after_edit == "mask",
                progress=self._progress.update,
            )
            self._pairs[kind] = pairs, self._choices.both_orders(pairs)
        return self._pairs[kind]


def name_of(pair: ContextPair) -> str:
    """A held-out pair by what it is made of: the same in every run that is evaluated on the same tasks."""
    return f"{pair.function}: {pair.anchor.instance_id}, not {pair.confounder.instance_id}"


def comparison(before: Measured, after: Measured, confidence: float) -> dict[str, Any]:
    """The report's keys for one kind of repository (see `contextrl.report`)."""
    out: dict[str, Any] = {}
    functions = before.functions | after.functions
    for count, name, first, second in (
        ("tasks", "resolve_rate", before.resolved, after.resolved),
        ("pairs", "selection_accuracy", before.selected, after.selected),
    ):
        both = first.keys() & second.keys()
        a, b = ({k: m[k] for k in both} for m in (first, second))
        out[count] = len(both)
        for when, values in (("before", a), ("after", b)):
            places = [(functions.get(k, k), value) for k, value in values.items()]
            out |= _key(f"{name}_{when}", clustered_proportion(places, confidence) if both else None)
        change = paired_difference(a, b, clusters=functions, confidence=confidence) if both else None
        out |= _key(f"{name}_change", change)
    return out


def by_split(before: Measured, after: Measured, confidence: float) -> dict[str, dict[str, Any]]:
    """`comparison` of each split that was measured; empty where there is only one."""
    splits = sorted(set(after.splits.values()))
    if len(splits) < 2:
        return {}
    return {split: comparison(before.of_split(split), after.of_split(split), confidence) for split in splits}


def together(parts: Sequence[Measured]) -> Measured:
    """Several kinds as one."""
    whole: dict[str, dict[str, Any]] = {name: {} for name in Measured.model_fields}
    for part in parts:
        for name in whole:
            whole[name] |= getattr(part, name)
    return Measured.model_validate(whole)


def _key(name: str, interval: Interval | None) -> dict[str, Any]:
    if interval is None:
        return {name: None, f"{name}_interval": None}
    return {name: interval.mean, f"{name}_interval": [interval.low, interval.high]}

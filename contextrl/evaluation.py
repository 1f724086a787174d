"""What a policy can do, on tasks and pairs that it was not trained on.

Invariant: before and after are measured on the same tasks with the same random numbers and on the same pairs in both
letter orders; an episode that died for a reason of ours is left out on both sides, never counted as a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from contextrl.choice import ChoiceFormat, ChoicePrompt
from contextrl.config import Recipe
from contextrl.heldout import heldout_pairs
from contextrl.objectives.context_awareness import select
from contextrl.player import Player
from contextrl.progress import Progress
from contextrl.scoring import Scorer
from contextrl.stats import Interval, by_cluster, clustered_proportion, paired_difference, wilson
from contextrl.world import World
from trajectories.records import Trajectory

EVALUATION = "evaluation"
"""Names the episodes' random numbers: the same before and after."""


class Measured(BaseModel):
    """One evaluation of one kind of repository: JSON in the run's folder, so that a resumed run has it."""

    resolved: dict[str, float] = {}
    """Instance id -> 1.0 or 0.0."""
    trajectories: dict[str, str] = {}
    """Instance id -> trajectory id."""
    selected: dict[str, float] = {}
    """Pair id -> share of the letter orders in which the anchor was chosen."""


class Evaluator:
    """Measures a policy on the held-out tasks and pairs of a world."""

    def __init__(self, recipe: Recipe, world: World, player: Player, choices: ChoiceFormat, progress: Progress) -> None:
        self._recipe, self._world, self._player, self._progress = recipe, world, player, progress
        self._choices = choices
        self._prompts: dict[str, list[ChoicePrompt]] = {}

    async def measure(
        self, title: str, run: str, scorer: Scorer, on_trajectory: Callable[[Trajectory], None]
    ) -> dict[str, Measured]:
        """Kind of repository -> what was measured: one episode of each task, each pair in both orders.

        `run` is what the trajectories are stored under: not the training run's name, or they would be mined.
        """
        config = self._recipe.evaluation
        found: dict[str, Measured] = {}
        for kind in self._world.kinds:
            prompts = await self._heldout_prompts(kind)
            self._progress.stage(f"{title}: {kind}")
            played = await self._player.play(
                self._world.heldout(kind, config.tasks, self._recipe.seed),
                group_size=1,
                temperature=config.temperature,
                seed=self._recipe.seed,
                run=EVALUATION,
                on_trajectory=lambda t: on_trajectory(t.model_copy(update={"run": run})),
                progress=self._progress.update,
            )
            chosen = select(scorer, prompts, self._recipe.learner.microbatch_tokens) if prompts else []
            counted = [t for t in played if t.status != "infra_error"]
            found[kind] = Measured(
                resolved={t.instance_id: float(t.resolved) for t in counted},
                trajectories={t.instance_id: t.id for t in counted},
                selected=by_cluster((r.pair_id, r.correct) for r in chosen),
            )
        return found

    async def _heldout_prompts(self, kind: str) -> list[ChoicePrompt]:
        if kind not in self._prompts:
            self._progress.stage(f"Held-out pairs: {kind}")
            pairs = await heldout_pairs(
                self._player,
                self._world,
                kind,
                self._recipe.evaluation.pairs,
                seed=self._recipe.seed,
                min_similarity=self._recipe.context.hardness[-1],
                progress=self._progress.update,
            )
            self._prompts[kind] = self._choices.both_orders(pairs)
        return self._prompts[kind]


def comparison(before: Measured, after: Measured, confidence: float) -> dict[str, Any]:
    """The report's keys for one kind of repository (see `contextrl.report`)."""
    out: dict[str, Any] = {}
    for count, name, first, second in (
        ("tasks", "resolve_rate", before.resolved, after.resolved),
        ("pairs", "selection_accuracy", before.selected, after.selected),
    ):
        both = first.keys() & second.keys()
        a, b = ({k: m[k] for k in both} for m in (first, second))
        out[count] = len(both)
        for when, values in (("before", a), ("after", b)):
            out |= _key(f"{name}_{when}", _interval(name, values, confidence))
        out |= _key(f"{name}_change", paired_difference(a, b, confidence=confidence) if both else None)
    return out


def together(parts: Sequence[Measured]) -> Measured:
    """Several kinds as one."""
    return Measured(
        resolved={k: v for p in parts for k, v in p.resolved.items()},
        trajectories={k: v for p in parts for k, v in p.trajectories.items()},
        selected={k: v for p in parts for k, v in p.selected.items()},
    )


def _interval(name: str, values: Mapping[str, float], confidence: float) -> Interval | None:
    if not values:
        return None
    if name == "resolve_rate":
        return wilson(sum(values.values()), len(values), confidence)
    return clustered_proportion(list(values.items()), confidence)


def _key(name: str, interval: Interval | None) -> dict[str, Any]:
    if interval is None:
        return {name: None, f"{name}_interval": None}
    return {name: interval.mean, f"{name}_interval": [interval.low, interval.high]}

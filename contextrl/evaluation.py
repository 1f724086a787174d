"""What a policy can do, on tasks and pairs that it was not trained on.

Invariant: before and after are measured on the same tasks with the same random numbers and on the same pairs in both
letter orders; an episode that died for a reason of ours is left out on both sides, never counted as a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from contextrl.choice import ChoicePrompt
from contextrl.objectives.context_awareness import select
from contextrl.player import Player
from contextrl.scoring import Scorer
from contextrl.stats import Interval, clustered_proportion, paired_difference, wilson
from envs.task import TaskInstance
from trajectories.records import Trajectory


class Measured(BaseModel):
    """One evaluation of one kind of repository: JSON in the run's folder, so that a resumed run has it."""

    resolved: dict[str, float] = {}
    """Instance id -> 1.0 or 0.0."""
    selected: dict[str, float] = {}
    """Pair id -> share of the letter orders in which the anchor was chosen."""
    trajectories: dict[str, str] = {}
    """Instance id -> trajectory id."""


async def measure(
    player: Player,
    scorer: Scorer,
    tasks: Sequence[TaskInstance],
    prompts: Sequence[ChoicePrompt],
    *,
    temperature: float,
    seed: int,
    max_tokens: int,
    on_trajectory: Callable[[Trajectory], None],
    progress: Callable[[int, int], None],
) -> Measured:
    """One episode of each task; every prompt once."""
    played = await player.play(
        tasks, group_size=1, temperature=temperature, seed=seed, on_trajectory=on_trajectory, progress=progress
    )
    results = select(scorer, prompts, max_tokens) if prompts else []
    halves: dict[str, list[float]] = {}
    for result in results:
        halves.setdefault(result.pair_id, []).append(result.correct)
    return Measured(
        resolved={t.instance_id: float(t.resolved) for t in played if t.status != "infra_error"},
        selected={pair: sum(h) / len(h) for pair, h in halves.items()},
        trajectories={t.instance_id: t.id for t in played if t.status != "infra_error"},
    )


def comparison(before: Measured, after: Measured, confidence: float) -> dict[str, Any]:
    """The report's keys for one kind of repository (see `contextrl.report`)."""
    out: dict[str, Any] = {"tasks": len(after.resolved), "pairs": len(after.selected)}
    for name, first, second in (
        ("resolve_rate", before.resolved, after.resolved),
        ("selection_accuracy", before.selected, after.selected),
    ):
        for when, values in (("before", first), ("after", second)):
            out |= _key(f"{name}_{when}", _interval(name, values, confidence))
        both = first.keys() & second.keys()
        a, b = ({k: m[k] for k in both} for m in (first, second))
        out |= _key(f"{name}_change", paired_difference(a, b, confidence=confidence) if both else None)
    return out


def together(parts: Sequence[Measured]) -> Measured:
    """Several kinds as one."""
    return Measured(
        resolved={k: v for p in parts for k, v in p.resolved.items()},
        selected={k: v for p in parts for k, v in p.selected.items()},
        trajectories={k: v for p in parts for k, v in p.trajectories.items()},
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

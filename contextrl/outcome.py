"""From a finished run to its report: the numbers, the three examples, what it was told and what it ran on.

Invariant: every number comes from the run's own measurements; nothing is estimated here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agents.tool_agent import ToolAgent
from contextrl.config import Recipe
from contextrl.evaluation import Measured, by_split, comparison, together
from contextrl.report import example
from contextrl.versions import versions
from trajectories.store import SQLStore


@dataclass(frozen=True)
class Finished:
    """What is left of a run when it has ended."""

    recipe: Recipe
    name: str
    """What it is called in the store."""
    backend: str
    store: SQLStore
    before: dict[str, Measured]
    """Kind of repository -> what was measured."""
    after: dict[str, Measured]
    iterations: int
    pairs_mined: int
    steps_skipped: int
    clock: dict[str, float]
    """What the time went to, seconds."""


def report_of(run: Finished) -> dict[str, Any]:
    """The report (its keys: `contextrl.report`)."""
    recipe, confidence = run.recipe, run.recipe.evaluation.confidence
    whole = comparison(together(list(run.before.values())), together(list(run.after.values())), confidence)
    labels = (run.name, f"{run.name}.before", f"{run.name}.after")
    return {
        "name": run.name,
        "seed": recipe.seed,
        "backend": run.backend,
        "policy": recipe.policy,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **whole,
        "kinds": {
            kind: comparison(run.before[kind], after, confidence)
            | {"splits": by_split(run.before[kind], after, confidence)}
            for kind, after in run.after.items()
        },
        "pairs_mined": run.pairs_mined,
        "training": _spent(run),
        "trajectories": sum(run.store.count(run=label) for label in labels),
        "iterations": run.iterations,
        "wall_seconds": sum(run.clock.values()),
        "time_split": run.clock,
        "funnel": run.store.funnel(run.name),
        "examples": _examples(run),
        "notes": _notes(run),
        "config": recipe.model_dump(mode="json"),
        "versions": versions(),
    }


def _spent(run: Finished) -> dict[str, float]:
    """What the episodes that were trained on took, the expert's included, over all sessions."""
    played = [s for s in run.store.summaries(run=run.name) if s.status != "infra_error"]
    return {
        "episodes": len(played),
        "tokens": sum(s.tokens for s in played if s.agent == ToolAgent.name),
        "sandbox_seconds": sum(s.seconds for s in played),
    }


def _examples(run: Finished) -> list[dict[str, Any]]:
    """A task that training taught, as it went before and after; and one that still fails."""
    first, second = (together(list(m.values())) for m in (run.before, run.after))
    learned = [i for i in second.resolved if second.resolved[i] and not first.resolved.get(i, 1.0)][:1]
    failed = [i for i, resolved in second.resolved.items() if not resolved]
    others = [i for i, resolved in second.resolved.items() if resolved and i not in learned]
    wanted = [(i, first, "before training") for i in learned] + [(i, second, "after training") for i in learned]
    wanted += [(i, second, "after training, not resolved") for i in failed]
    wanted += [(i, second, "after training") for i in others]
    return [
        example(run.store.get(measured.trajectories[instance_id]), f"{instance_id}, {title}")
        for instance_id, measured, title in wanted[:3]
    ]


def _notes(run: Finished) -> list[str]:
    """What a reader must know to read the numbers right."""
    notes = [
        "Every task is played once before and once after training, with the same random numbers; intervals are of "
        f"{run.recipe.evaluation.confidence:.0%} confidence, changes paired by task and by pair, and "
        "tasks and pairs of one function count as one observation.",
    ]
    notes += [
        f"{kind}: no held-out pair is valid, at least {run.recipe.ca.hardness[-1]:.0%} alike and at most "
        f"{run.recipe.heldout_pair_tokens} tokens long, so selection accuracy was not measured"
        for kind, m in run.after.items()
        if not m.selected and run.recipe.evaluation.pairs
    ]
    if run.steps_skipped:
        notes.append(f"{run.steps_skipped} optimiser steps were skipped: loss or gradient was not finite")
    return notes

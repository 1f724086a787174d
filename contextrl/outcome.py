"""From a finished run to its report: the numbers, the three examples, what it was told and what it ran on.

Invariant: every number comes from the run's own measurements; nothing is estimated here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from contextrl.evaluation import Measured, comparison, together
from contextrl.report import example
from contextrl.versions import versions

if TYPE_CHECKING:
    from contextrl.loop import Run


def report_of(
    run: Run, before: dict[str, Measured], after: dict[str, Measured], clock: dict[str, float]
) -> dict[str, Any]:
    """The report (its keys: `contextrl.report`). `clock`: what the time went to, seconds."""
    recipe, confidence = run.recipe, run.recipe.evaluation.confidence
    whole = comparison(together(list(before.values())), together(list(after.values())), confidence)
    return {
        "name": run.name,
        "seed": recipe.seed,
        "backend": run.backend_name,
        "policy": recipe.policy,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **whole,
        "kinds": {kind: comparison(before[kind], after[kind], confidence) for kind in run.world.kinds},
        "pairs_mined": run.feed.mined,
        "trajectories": sum(
            run.store.count(run=label) for label in (run.name, f"{run.name}.before", f"{run.name}.after")
        ),
        "iterations": run.iteration,
        "wall_seconds": sum(clock.values()),
        "time_split": clock,
        "funnel": run.store.funnel(run.name),
        "examples": _examples(run, before, after),
        "notes": _notes(run, after),
        "config": recipe.model_dump(mode="json"),
        "versions": versions(),
    }


def _examples(run: Run, before: dict[str, Measured], after: dict[str, Measured]) -> list[dict[str, Any]]:
    """A task that training taught, as it went before and after; and one that still fails."""
    first, second = (together(list(m.values())) for m in (before, after))
    learned = [i for i in second.resolved if second.resolved[i] and not first.resolved.get(i, 1.0)]
    failed = [i for i, resolved in second.resolved.items() if not resolved]
    wanted = [(i, first, "before training") for i in learned[:1]] + [(i, second, "after training") for i in learned[:1]]
    wanted += [(i, second, "after training, not resolved") for i in failed]
    wanted += [(i, second, "after training") for i in second.resolved if i not in learned[:1]]
    found: list[dict[str, Any]] = []
    for instance_id, measured, title in wanted:
        trajectory = run.store.get(measured.trajectories[instance_id])
        if len(found) < 3 and not any(f["id"] == trajectory.id for f in found):
            found.append(example(trajectory, f"{instance_id}, {title}"))
    return found


def _notes(run: Run, after: dict[str, Measured]) -> list[str]:
    """What a reader must know to read the numbers right."""
    notes = [
        "Every task is played once before and once after training, with the same random numbers; intervals are of "
        f"{run.recipe.evaluation.confidence:.0%} confidence, changes paired by task and by pair.",
    ]
    notes += [
        f"{kind}: no held-out pair is valid, at least {run.recipe.context.hardness[-1]:.0%} alike and at most "
        f"{run.recipe.context.max_pair_tokens} tokens long, so selection accuracy was not measured"
        for kind, m in after.items()
        if not m.selected and run.recipe.evaluation.pairs
    ]
    if run.learner.steps_skipped:
        notes.append(f"{run.learner.steps_skipped} optimiser steps were skipped: loss or gradient was not finite")
    return notes

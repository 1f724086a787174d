"""What the runs of a study say together.

Invariant: every number comes from the runs' own measurements. Arms are compared seed by seed on the same tasks and the
same pairs, those that both have measured; a run that is not finished is missing, and the results say so.

The keys: `name`, `reference`, `confidence`, `seeds`, `created_at`, `versions`; `arms` (name -> `overrides`, `finished`
and `missing` seeds, and means over the finished of `iterations`, `wall_seconds`, `training_seconds`,
`sandbox_seconds`, `tokens`, `pairs_mined`); `groups` (all, then each kind of repository and split -> arm -> `tasks` and
`pairs` over all seeds, `resolve_rate` and `selection_accuracy`, each with `<key>_interval`, their `<key>_difference` to
the reference with `<key>_difference_interval`, and `seeds`: seed -> both). The arm `base` is what was measured before
training, where it is not run itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from contextrl.evaluation import Measured, together
from contextrl.report import SPLITS, ReportError, read_report
from contextrl.stats import Interval, mean_over_seeds, rate_over_seeds
from contextrl.study.plan import Plan, Planned
from contextrl.versions import versions

BASE = "base"
FIELDS: dict[str, Literal["resolved", "selected"]] = {"resolve_rate": "resolved", "selection_accuracy": "selected"}
"""Measure -> where `Measured` has it."""
MEANS = ("iterations", "wall_seconds", "training_seconds", "sandbox_seconds", "tokens", "pairs_mined")


@dataclass(frozen=True)
class Outcome:
    """A finished run."""

    seed: int
    report: dict[str, Any]
    before: dict[str, Measured]
    """Kind of repository -> what was measured."""
    after: dict[str, Measured]


Values = dict[int, dict[str, float]]
"""Seed -> task or pair -> value."""


def results(plan: Plan) -> dict[str, Any]:
    """Of what is finished. Raises `ReportError` where nothing is."""
    found: dict[str, list[Outcome]] = {arm: [] for arm in plan.arms}
    for run in plan.runs:
        if run.finished:
            found[run.arm].append(_outcome(run))
    if not any(found.values()):
        raise ReportError(f"no run of this study is finished yet: {plan.recipe.runs}/{plan.recipe.name}-...")
    confidence = plan.recipe.evaluation.confidence
    return {
        "name": plan.recipe.name,
        "reference": plan.reference,
        "confidence": confidence,
        "seeds": list(plan.seeds),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "arms": {arm: _about(plan, arm, outcomes) for arm, outcomes in found.items()},
        "groups": {
            group: _compared(plan.reference, arms, confidence) for group, arms in _groups(_with_base(found)).items()
        },
        "versions": versions(),
    }


def _outcome(run: Planned) -> Outcome:
    folder = run.recipe.run_dir
    try:
        before, after = (
            {
                kind: Measured.model_validate(measured)
                for kind, measured in json.loads((folder / f"{when}.json").read_text(encoding="utf-8")).items()
            }
            for when in ("before", "after")
        )
    except (OSError, ValueError) as error:
        raise ReportError(f"{folder}: what it measured cannot be read ({error}); delete it to run it again") from None
    return Outcome(run.seed, read_report(folder), before, after)


def _about(plan: Plan, arm: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    there = [o.seed for o in outcomes]
    reports = [{**o.report, **o.report.get("training", {}), "training_seconds": _training(o)} for o in outcomes]
    means = {
        key: sum(values) / len(values)
        for key in MEANS
        if (values := [report[key] for report in reports if report.get(key) is not None])
    }
    missing = [seed for seed in plan.seeds if seed not in there]
    return {"overrides": list(plan.arms[arm]), "finished": there, "missing": missing, **means}


def _training(o: Outcome) -> float | None:
    """Wall time without what other arms may have done for this one: preparing, evaluating."""
    split = o.report.get("time_split")
    return split and sum(seconds for name, seconds in split.items() if name not in ("prepare", "evaluate"))


def _with_base(found: Mapping[str, list[Outcome]]) -> dict[str, list[Outcome]]:
    """With what was measured before training as an arm: it is the same whatever is trained then."""
    if BASE in found:
        return dict(found)
    first: dict[int, Outcome] = {}
    for outcomes in found.values():
        for o in outcomes:
            first.setdefault(o.seed, Outcome(o.seed, {}, o.before, o.before))
    return {BASE: [first[seed] for seed in sorted(first)], **found}


def _groups(found: Mapping[str, list[Outcome]]) -> dict[str, dict[str, dict[int, tuple[Measured, Measured]]]]:
    """Name of a group -> arm -> seed -> before, after. A single kind stands for all."""
    groups: dict[str, dict[str, dict[int, tuple[Measured, Measured]]]] = {}
    for arm, outcomes in found.items():
        for o in outcomes:
            for group, both in _parts(o):
                groups.setdefault(group, {}).setdefault(arm, {})[o.seed] = both
    return groups


def _parts(o: Outcome) -> Iterator[tuple[str, tuple[Measured, Measured]]]:
    if len(o.after) > 1:
        yield "all", (together(list(o.before.values())), together(list(o.after.values())))
    for kind, after in o.after.items():
        yield kind, (o.before[kind], after)
        splits = sorted(set(after.splits.values()))
        for split in splits if len(splits) > 1 else ():
            yield f"{kind}, {SPLITS.get(split, split)}", (o.before[kind].of_split(split), after.of_split(split))


def _compared(
    reference: str, arms: Mapping[str, Mapping[int, tuple[Measured, Measured]]], confidence: float
) -> dict[str, dict[str, Any]]:
    compared: dict[str, dict[str, Any]] = {}
    for arm, by_seed in arms.items():
        row: dict[str, Any] = {"seeds": {seed: {} for seed in by_seed}}
        for measure, field in FIELDS.items():
            values = {seed: _values(both, field) for seed, both in by_seed.items()}
            clusters = {seed: after.functions for seed, (_, after) in by_seed.items()}
            row["tasks" if field == "resolved" else "pairs"] = sum(map(len, values.values()))
            row |= _estimate(rate_over_seeds, measure, values, clusters, confidence)
            for seed, measured in values.items():
                row["seeds"][seed][measure] = sum(measured.values()) / len(measured) if measured else None
            if arm != reference and reference in arms:
                theirs = {seed: _values(both, field) for seed, both in arms[reference].items()}
                change = _differences(values, theirs)
                row |= _estimate(mean_over_seeds, f"{measure}_difference", change, clusters, confidence)
        compared[arm] = row
    return compared


def _values(both: tuple[Measured, Measured], field: Literal["resolved", "selected"]) -> dict[str, float]:
    """What was measured after training; as in the run's own report, of what was measured before as well."""
    before, after = (getattr(measured, field) for measured in both)
    return {key: after[key] for key in after if key in before}


def _differences(values: Values, reference: Values) -> Values:
    """Of seeds that both have, on what both have measured."""
    return {
        seed: {key: mine[key] - reference[seed][key] for key in mine if key in reference[seed]}
        for seed, mine in values.items()
        if seed in reference
    }


def _estimate(
    mean: Callable[..., Interval],
    key: str,
    values: Values,
    clusters: Mapping[int, Mapping[str, str]],
    confidence: float,
) -> dict[str, Any]:
    measured = {seed: found for seed, found in values.items() if found}
    if not measured:
        return {key: None, f"{key}_interval": None}
    interval = mean(measured, clusters=clusters, confidence=confidence)
    return {key: interval.mean, f"{key}_interval": [interval.low, interval.high]}

"""The shortcut audit of a set of pairs: can anything that does not read tell the anchor from the confounder?

Invariant: a set is flagged only by accuracies on functions that were not learned from, in both letter orders of each
pair, at a level that holds for all classifiers together (Holm). Where there are too few pairs to notice even a gross
shortcut, the audit says so instead of calling the set clean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from trajectories.auditing.classifiers import CLASSIFIERS, Classifier, Facts, Side
from trajectories.auditing.examples import examples
from trajectories.auditing.folds import Touched, touched
from trajectories.auditing.readings import Reading, read_context
from trajectories.auditing.report import CHANCE, NOTHING, AuditReport, Finding, Trial, findings
from trajectories.auditing.selection import Matrix, selections
from trajectories.auditing.significance import noticeable, off_chance
from trajectories.intervals import clustered_proportion
from trajectories.records import ContextPair, MaskedContext

__all__ = ["AuditReport", "Facts", "Finding", "audit_pairs"]

LEVEL = 0.05


def audit_pairs(
    pairs: Sequence[ContextPair],
    facts: Mapping[str, Facts] | None = None,
    *,
    level: float = LEVEL,
    seed: int = 0,
    classifiers: Sequence[Classifier] = CLASSIFIERS,
    on_progress: Callable[[int, int, str], object] = lambda done, total, text: None,
) -> AuditReport:
    """Try all classifiers. `facts`: trajectory id -> what a store knows of it. Raises `ValueError` without pairs."""
    if not pairs:
        raise ValueError("there are no pairs to audit: mine some, or choose others")
    functions = touched(pairs)
    sides = _sides(pairs, facts or {}, on_progress)
    trials: list[Trial] = []
    skipped: list[str] = []
    for done, classifier in enumerate(classifiers):
        on_progress(done, len(classifiers), classifier.name)
        known, differences = _differences(classifier, sides)
        if known:
            own = [functions[i] for i in known]
            trials.append(_tried(classifier, [sides[i] for i in known], differences, own, level, seed))
        else:
            skipped.append(classifier.name)
    found = findings(trials, level)
    most = max((trial.measured for trial in trials), key=len, default=[])
    smallest = noticeable(most, len(trials), level)
    many = len(frozenset().union(*functions))
    return AuditReport(len(pairs), len(most), many, found, tuple(skipped), smallest, level)


def _tried(
    classifier: Classifier,
    sides: Sequence[tuple[Side, Side]],
    differences: Matrix,
    functions: Sequence[Touched],
    level: float,
    seed: int,
) -> Trial:
    """One classifier, tried on the pairs that it can describe."""
    right = selections(differences, functions, hashed=classifier.hashed, seed=seed)
    measured = [(own, r) for own, r in zip(functions, right.tolist(), strict=True) if not math.isnan(r)]
    accuracy, p = clustered_proportion(measured) if measured else NOTHING, off_chance(measured, seed)
    telling = p < level and accuracy.low > CHANCE
    shown = examples(classifier, sides, differences, right) if telling else ()
    return Trial(classifier.name, classifier.looks_at, [own for own, _ in measured], accuracy, p, shown)


def _sides(
    pairs: Sequence[ContextPair], facts: Mapping[str, Facts], on_progress: Callable[[int, int, str], object]
) -> list[tuple[Side, Side]]:
    """Both sides of each pair; a context that stands in several pairs is read once."""
    readings: dict[tuple[str, int], Reading] = {}

    def side(pair: ContextPair, context: MaskedContext) -> Side:
        key = context.trajectory_id, hash((context.problem_statement, *(t.text + t.observation for t in context.turns)))
        if key not in readings:
            readings[key] = read_context(context)
        return Side(pair, context, readings[key], facts.get(context.trajectory_id))

    found = []
    for done, pair in enumerate(pairs):
        on_progress(done, len(pairs), "reading")
        found.append((side(pair, pair.anchor), side(pair, pair.confounder)))
    return found


def _differences(classifier: Classifier, sides: Sequence[tuple[Side, Side]]) -> tuple[list[int], Matrix]:
    """Which pairs it can describe, and the anchor's features less the confounder's, shape [pairs, features]."""
    known, rows = [], []
    for i, (anchor, confounder) in enumerate(sides):
        if (row := classifier.difference(anchor, confounder)) is not None:
            known.append(i)
            rows.append(row.astype(np.float32))
    return known, np.array(rows, np.float32)

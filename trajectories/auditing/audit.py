"""The shortcut audit of a set of pairs: can anything that does not read tell the anchor from the confounder?

Invariant: a set is flagged only by accuracies on functions that were not learned from, in both letter orders of each
pair, at a level that holds for all classifiers together (Holm). Where there are too few pairs to notice even a gross
shortcut, the audit says so instead of calling the set clean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trajectories.auditing.classifiers import CLASSIFIERS, Classifier, Facts, Side, place
from trajectories.auditing.readings import Reading, read_context, words
from trajectories.auditing.selection import selections, weights_of
from trajectories.auditing.significance import beats_chance, holm, noticeable
from trajectories.intervals import Interval, clustered_proportion
from trajectories.records import ContextPair, MaskedContext

__all__ = ["AuditReport", "Facts", "Finding", "audit_pairs"]

LEVEL = 0.05
GROSS = 0.8
"""An accuracy that an audit must be able to notice, or it says nothing of the set."""


@dataclass(frozen=True)
class Finding:
    """How well one classifier selects."""

    name: str
    looks_at: str
    pairs: int
    """Pairs of which it knew what it needs."""
    functions: int
    accuracy: float
    """Share of pairs and letter orders; chance is 0.5."""
    low: float
    high: float
    """95% interval, clustered by function."""
    p: float
    p_adjusted: float
    """For all classifiers together."""
    flagged: bool
    examples: tuple[str, ...]
    """What it went by, or the pairs of which it was surest and right; only where it is flagged."""


@dataclass(frozen=True)
class AuditReport:
    """An audit of one set."""

    pairs: int
    functions: int
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...]
    """Classifiers that need what is not known of any pair."""
    noticeable: float
    """The smallest accuracy that would be noticed four times in five."""

    @property
    def flagged(self) -> list[Finding]:
        """Those that beat chance, the worst first."""
        return sorted((f for f in self.findings if f.flagged), key=lambda f: -f.accuracy)

    @property
    def enough(self) -> bool:
        """Whether there are enough pairs to say that nothing gross is there."""
        return self.noticeable <= GROSS

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        return {**asdict(self), "flagged": [f.name for f in self.flagged], "enough": self.enough}


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
    groups = [f"{pair.repo} {pair.function or pair.file}" for pair in pairs]
    sides = _sides(pairs, facts or {}, on_progress)
    tried: dict[str, tuple[Classifier, list[int], np.ndarray[Any, Any], np.ndarray[Any, Any]]] = {}
    skipped: list[str] = []
    for done, classifier in enumerate(classifiers):
        on_progress(done, len(classifiers), classifier.name)
        known, differences = _differences(classifier, sides)
        if not known:
            skipped.append(classifier.name)
            continue
        right = selections(differences, [groups[i] for i in known], hashed=classifier.hashed, seed=seed)
        tried[classifier.name] = classifier, known, differences, right
    measured = {
        name: [(groups[i], float(r)) for i, r in zip(known, right, strict=True)]
        for name, (_, known, _, right) in tried.items()
    }
    p_values = {name: beats_chance(values, seed) for name, values in measured.items()}
    adjusted = holm(p_values)
    findings = []
    for name, (classifier, known, differences, right) in tried.items():
        interval = clustered_proportion(measured[name])
        # With thousands of pairs in both directions the flips see differences that no interval does: both must.
        flagged = adjusted[name] < level and interval.low > 0.5
        examples = _examples(classifier, [pairs[i] for i in known], sides, known, differences, right) if flagged else ()
        findings.append(_finding(classifier, len(known), interval, p_values[name], adjusted[name], flagged, examples))
    sizes = Counter(groups)
    smallest = noticeable(sizes.values(), len(tried), level)
    return AuditReport(len(pairs), len(sizes), tuple(findings), tuple(skipped), smallest)


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


def _differences(
    classifier: Classifier, sides: Sequence[tuple[Side, Side]]
) -> tuple[list[int], np.ndarray[Any, np.dtype[np.float32]]]:
    """Which pairs it can describe, and the anchor's features less the confounder's, shape [pairs, features]."""
    found = [(i, classifier.difference(anchor, confounder)) for i, (anchor, confounder) in enumerate(sides)]
    known = [(i, row) for i, row in found if row is not None]
    return [i for i, _ in known], np.array([row for _, row in known], np.float32)


def _finding(
    classifier: Classifier,
    pairs: int,
    interval: Interval,
    p: float,
    adjusted: float,
    flagged: bool,
    examples: tuple[str, ...],
) -> Finding:
    measured = (interval.mean, interval.low, interval.high)
    return Finding(classifier.name, classifier.looks_at, pairs, interval.n, *measured, p, adjusted, flagged, examples)


def _examples(
    classifier: Classifier,
    pairs: Sequence[ContextPair],
    sides: Sequence[tuple[Side, Side]],
    known: Sequence[int],
    differences: np.ndarray[Any, Any],
    right: np.ndarray[Any, Any],
) -> tuple[str, ...]:
    """The words that it went by, or three pairs."""
    weights = weights_of(differences, hashed=classifier.hashed)
    if classifier.hashed:
        return _telling_words(weights, differences, [sides[i] for i in known])
    margins = differences @ weights
    surest = [i for i in np.argsort(-margins, kind="stable") if right[i] == 1.0][:3]
    return tuple(f"pair {pairs[i].id[:8]}: {pairs[i].anchor.instance_id} in {pairs[i].function}" for i in surest)


def _telling_words(
    weights: np.ndarray[Any, Any], differences: np.ndarray[Any, Any], sides: Sequence[tuple[Side, Side]]
) -> tuple[str, ...]:
    """The words at the places with most weight, and where they stand more often."""
    worth = np.abs(weights) * np.abs(differences).mean(axis=0)
    best = [int(i) for i in np.argsort(-worth, kind="stable")[:3] if worth[i] > 0]
    named: dict[int, Counter[str]] = {i: Counter() for i in best}
    for one in (s for pair in sides for s in pair):
        texts = (one.read.said, one.read.shown, words(one.context.problem_statement))
        for word in {w for text in texts for w in text}:
            if place(word) in named:
                named[place(word)][word] += 1
    kept = {0: "the answer's words in the issue", 1: "a long issue"}  # the places of `issue only` that are no words
    said = {i: kept.get(i) or repr(named[i].most_common(1)[0][0]) for i in best if i in kept or named[i]}
    return tuple(f"{what} speaks for the {'anchor' if weights[i] > 0 else 'confounder'}" for i, what in said.items())

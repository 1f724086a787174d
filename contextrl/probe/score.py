"""From predictions to accuracies.

Invariant: a pair counts for a model only if every letter order that was asked for has an answer; its orders are one
observation, and pairs of one function are one cluster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from contextrl.probe.groups import groups_of, in_order
from contextrl.probe.predictions import Prediction
from contextrl.probe.result import Difference, Estimate, ModelResult
from contextrl.stats import Interval, by_cluster, clustered_proportion, paired_difference
from trajectories.records import ContextPair


def function_of(pair: ContextPair) -> str:
    """What a pair shares with others that are not independent of it."""
    return f"{pair.repo}::{pair.function or pair.file or pair.id}"


class Scored:
    """What one model made of one set."""

    def __init__(
        self, model: str, set_name: str, pairs: Sequence[ContextPair], predictions: Sequence[Prediction]
    ) -> None:
        """`predictions` of all questions about the pairs."""
        self.model, self.set_name = model, set_name
        left_out = {p.pair: p.left_out for p in predictions if p.left_out}
        self.left_out = Counter(left_out.values())
        self.predictions = [p for p in predictions if p.pair not in left_out]
        self.pairs = {pair.id: pair for pair in pairs if pair.id not in left_out}
        self.selected = by_cluster((p.pair, p.correct) for p in self.predictions)
        """Pair id -> share of the letter orders in which the anchor was named."""

    def result(self, kinds: Mapping[str, str]) -> ModelResult:
        """All of it. There must be a pair that was answered."""
        predictions = self.predictions
        first, second = (_mean(p.correct for p in predictions if p.anchor_first is first) for first in (True, False))
        decided = [p for p in predictions if p.parsed]
        return ModelResult(
            model=self.model,
            set=self.set_name,
            accuracy=self._accuracy(self.pairs.values()),
            accuracy_anchor_first=first,
            accuracy_anchor_second=second,
            order_bias=None if first is None or second is None else abs(first - second),
            says_a=_mean(p.says_a for p in decided),
            mean_margin=_mean(p.margin for p in predictions if p.margin is not None),
            by_margin=sum(p.margin is not None for p in predictions),
            by_text=sum(p.letter is not None for p in predictions),
            unreadable=len(predictions) - len(decided),
            cut=len({p.pair for p in predictions if p.cut}),
            left_out=dict(self.left_out),
            by=self._groups(kinds),
        )

    def minus(self, other: Scored) -> Difference | None:
        """This model's accuracy minus another's on the pairs of both; None where there is none."""
        both = self.selected.keys() & other.selected.keys()
        if not both:
            return None
        found = paired_difference(
            {pair: other.selected[pair] for pair in both},
            {pair: self.selected[pair] for pair in both},
            clusters={pair: function_of(self.pairs[pair]) for pair in both},
        )
        estimate = _estimate(found, len(both))
        return Difference(set=self.set_name, model=self.model, against=other.model, difference=estimate)

    def _accuracy(self, pairs: Iterable[ContextPair]) -> Estimate:
        values = [(function_of(pair), self.selected[pair.id]) for pair in pairs]
        return _estimate(clustered_proportion(values), len(values))

    def _groups(self, kinds: Mapping[str, str]) -> dict[str, dict[str, Estimate]]:
        members: dict[str, dict[str, list[ContextPair]]] = {}
        for pair in self.pairs.values():
            for dimension, group in groups_of(pair, kinds):
                members.setdefault(dimension, {}).setdefault(group, []).append(pair)
        return {
            dimension: {group: self._accuracy(groups[group]) for group in in_order(groups)}
            for dimension, groups in members.items()
        }


def _estimate(interval: Interval, pairs: int) -> Estimate:
    return Estimate(mean=interval.mean, low=interval.low, high=interval.high, pairs=pairs, functions=interval.n)


def _mean(values: Iterable[float]) -> float | None:
    there = list(values)
    return fmean(there) if there else None

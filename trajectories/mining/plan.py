"""What mining a whole store will look at, decided by what is indexed: no trajectory is read.

Invariant: each couple of trajectories is looked at in one place only; of a place the couples with the most related
issues come first. What training held out is left out: its evaluations, and trajectories that touch a held-out function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, islice
from typing import Any, NamedTuple

from trajectories.mining.options import HELD_OUT, MinerOptions
from trajectories.mining.relatedness import Issue, LexicalRelatedness, Relatedness
from trajectories.mining.sharing import Place
from trajectories.protocol import TrajectorySummary
from trajectories.storage.names import evaluations
from trajectories.store import SQLStore

_DEPTH = 3
"""How many trajectories of an instance are tried as one side of a couple."""
_MOST_ISSUES = 64
"""Issues of one place that are compared with each other, the newest: comparing is quadratic."""


class Couple(NamedTuple):
    """Two trajectories of distinct issues, one of them resolved at least."""

    first: str
    second: str
    related: bool
    """Whether their issues are."""


class LeftOut(NamedTuple):
    """What is not mined, because training measures itself on it."""

    runs: frozenset[str]
    ids: frozenset[str]

    @classmethod
    def of(cls, store: SQLStore, filters: Mapping[str, Any]) -> LeftOut:
        """What training held out; an evaluation is not left out where it alone is asked for."""
        runs = frozenset() if filters.get("run") else evaluations(r.run for r in store.runs())
        return cls(runs, store.mined_without_pairs(HELD_OUT))

    def count(self, store: SQLStore) -> int:
        """How many trajectories it is."""
        return len(self.ids) + sum(store.count(run=run) for run in self.runs)

    def has(self, summary: TrajectorySummary) -> bool:
        """Whether it is left out."""
        return summary.run in self.runs or summary.id in self.ids


class _Row(NamedTuple):
    """What the cascade goes by."""

    id: str
    instance_id: str
    resolved: bool
    statement: str
    tests: tuple[str, ...]


def plan(
    store: SQLStore,
    options: MinerOptions,
    relatedness: Relatedness | None,
    filters: Mapping[str, Any],
    funnel: Counter[str],
) -> Iterator[list[Couple]]:
    """The couples of each place where two issues meet; those that share a place are counted in the funnel."""
    left_out = LeftOut.of(store, filters)
    places = _places((t for t in store.scan(**filters) if not left_out.has(t)), options, funnel)
    if relatedness is None:
        keys = sorted({row.statement for rows in places.values() for row in rows})
        relatedness = LexicalRelatedness(store.statements(keys).values())
    seen: set[tuple[str, str]] = set()
    for rows in places.values():
        if len({row.instance_id for row in rows}) < 2 or not any(row.resolved for row in rows):
            continue
        texts = store.statements({row.statement for row in rows})
        couples = [c for c in _couples(rows, texts, relatedness, options) if c[:2] not in seen]
        seen.update(c[:2] for c in couples)
        if couples:
            yield couples


def _places(
    summaries: Iterable[TrajectorySummary], options: MinerOptions, funnel: Counter[str]
) -> dict[tuple[str, str, str], list[_Row]]:
    """Repository, commit and name of each place -> the trajectories there; the couples are counted in the funnel."""
    shared: dict[str, Counter[tuple[str, str, str]]] = {"commit": Counter(), "file": Counter(), "function": Counter()}
    places: dict[tuple[str, str, str], list[_Row]] = {}
    for t in summaries:
        if t.status == "infra_error" or (options.commit == "same" and not t.base_commit):
            continue
        place = Place.of(t.files, t.functions)
        commit = t.base_commit if options.commit == "same" else ""
        shared["commit"][t.repo, commit, ""] += 1
        shared["file"].update((t.repo, commit, f) for f in place.files)
        shared["function"].update((t.repo, commit, f) for f in place.functions)
        row = _Row(t.id, t.instance_id, t.resolved, t.statement, tuple(t.tests))
        for name in place.functions if options.function == "same" else place.files:
            places.setdefault((t.repo, commit, name), []).append(row)
    for stage, sizes in shared.items():
        funnel[stage] += sum(n * (n - 1) // 2 for n in sizes.values())
    return dict(sorted(places.items()))


def _couples(
    rows: Sequence[_Row], texts: Mapping[str, str], relatedness: Relatedness, options: MinerOptions
) -> list[Couple]:
    """Couples of different issues, the most related issues first; of each instance its newest trajectories."""
    by_instance: dict[str, list[_Row]] = {}
    for row in reversed(rows):
        by_instance.setdefault(row.instance_id, []).append(row)
    newest = dict(islice(by_instance.items(), _MOST_ISSUES))
    issues = {i: Issue(texts.get(found[0].statement, ""), found[0].tests) for i, found in newest.items()}
    names = list(issues)
    score: dict[tuple[str, str], float] = {}
    for at, name in enumerate(names[:-1]):
        others = names[at + 1 :]
        scores = relatedness.scores(issues[name], [issues[o] for o in others])
        score.update(zip(((name, o) for o in others), scores, strict=True))
    said = {i: issue.text.split() for i, issue in issues.items()}
    distinct = [c for c in combinations(names, 2) if not options.distinct_statements or said[c[0]] != said[c[1]]]
    ranked = sorted(distinct, key=lambda couple: (-score[couple], couple))
    best = {i: sorted(found, key=lambda row: not row.resolved)[:_DEPTH] for i, found in newest.items()}
    return [
        Couple(x.id, y.id, score[a, b] >= options.min_relatedness)
        for depth in range(_DEPTH)
        for a, b in ranked
        if depth < min(len(best[a]), len(best[b]))
        for x, y in [(best[a][depth], best[b][depth])]
        if x.resolved or y.resolved
    ]

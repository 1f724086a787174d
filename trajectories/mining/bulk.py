"""Mining a whole store at once: the cascade over what is indexed first, so that few trajectories are ever read.

Invariant: what is mined depends on the store and the options, not on the number of processes or on chance. Of each
function the couples with the most related issues come first, until `per_function` pairs are valid: no function and no
repository can fill the set. Interrupted, it keeps what it has found, and the same call goes on.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations, islice
from typing import Any, NamedTuple

from trajectories.judge import RuleJudge
from trajectories.judging import judge_all
from trajectories.mining.couples import FUNNEL, Coupler, Judged
from trajectories.mining.options import MinerOptions
from trajectories.mining.relatedness import Issue, LexicalRelatedness, Relatedness
from trajectories.mining.sharing import Place
from trajectories.mining.sketches import Sketches
from trajectories.protocol import PairJudge, RightAnswer, Stage, TrajectorySummary
from trajectories.records import ContextPair
from trajectories.store import SQLStore

_DEPTH = 3
"""How many trajectories of an instance are tried as one side of a couple."""
_MOST_ISSUES = 64
"""Issues of one place that are compared with each other, the newest: comparing is quadratic."""
_AHEAD = 8
"""Places that are handed out to each process before the first comes back."""


@dataclass(frozen=True)
class BulkOptions:
    """How a store is mined."""

    miner: MinerOptions = field(default_factory=lambda: MinerOptions(across_runs=True))
    per_function: int = 8
    """Valid pairs of one function after which the next one's turn comes."""
    processes: int = 2
    name: str = "mined"
    """What the pairs' set is called: their `run`."""


class _Row(NamedTuple):
    """What the cascade goes by."""

    id: str
    instance_id: str
    resolved: bool
    statement: str
    tests: tuple[str, ...]


class _Job(NamedTuple):
    """A place, and the couples of trajectories to look at there, the most promising first."""

    couples: list[tuple[str, str]]


def mine_store(
    store: SQLStore,
    options: BulkOptions,
    *,
    judge: PairJudge | None = None,
    relatedness: Relatedness | None = None,
    gold: Mapping[str, RightAnswer] | None = None,
    filters: Mapping[str, Any] | None = None,
    progress: Callable[[int, int, int], None] = lambda done, total, valid: None,
) -> Counter[str]:
    """Mine into the set `options.name`; the funnel. Rules judge in the worker processes, then `judge` what they left.

    `filters` are those of `store.scan`. `progress(places done, places, valid pairs so far)`.
    """
    funnel = Counter(dict.fromkeys(FUNNEL, 0))
    jobs = list(_plan(store, options.miner, relatedness, filters or {}, funnel))
    valid = 0
    for done, (pairs, counts) in enumerate(_work(store.where, jobs, options, gold or {}), 1):
        funnel.update(counts)
        pairs = _judged(pairs, judge)  # noqa: PLW2901
        store.add_pairs(pairs)
        valid += sum(pair.judgement == "valid" for pair in pairs)
        progress(done, len(jobs), valid)
    _keep_funnel(store, options.name, funnel)
    return Counter(store.funnel(options.name))


def _plan(
    store: SQLStore,
    options: MinerOptions,
    relatedness: Relatedness | None,
    filters: Mapping[str, Any],
    funnel: Counter[str],
) -> Iterator[_Job]:
    """One job for each place where two issues meet. A couple that shares several places is looked at in the first."""
    places = _places(store.scan(**filters), options, funnel)
    if relatedness is None:
        keys = sorted({row.statement for rows in places.values() for row in rows})
        relatedness = LexicalRelatedness(store.statements(keys).values())
    seen: set[tuple[str, str]] = set()
    for rows in places.values():
        if len({row.instance_id for row in rows}) < 2 or not any(row.resolved for row in rows):
            continue
        texts = store.statements({row.statement for row in rows})
        couples = [c for c in _couples(rows, texts, relatedness, options) if c not in seen]
        seen.update(couples)
        if couples:
            yield _Job(couples)


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
) -> list[tuple[str, str]]:
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
        score.update(
            zip(((name, o) for o in others), relatedness.scores(issues[name], [issues[o] for o in others]), strict=True)
        )
    ranked = sorted(combinations(names, 2), key=lambda couple: (-score[couple], couple))
    best = {i: sorted(found, key=lambda row: not row.resolved)[:_DEPTH] for i, found in newest.items()}
    couples = [
        (best[a][depth], best[b][depth])
        for depth in range(_DEPTH)
        for a, b in ranked
        if depth < min(len(best[a]), len(best[b])) and score[a, b] >= options.min_relatedness
    ]
    return [(x.id, y.id) for x, y in couples if x.resolved or y.resolved]


def _work(
    where: str, jobs: Sequence[_Job], options: BulkOptions, gold: Mapping[str, RightAnswer]
) -> Iterator[tuple[list[ContextPair], Counter[str]]]:
    """What each job gave, in the order of the jobs."""
    if options.processes == 1:
        worker = _Worker(where, options, gold)
        yield from map(worker.work, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, context, _start, (where, options, dict(gold))) as pool:
        waiting = []
        try:
            for job in jobs:
                waiting.append(pool.submit(_run, job))
                if len(waiting) >= _AHEAD * options.processes:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """One process' share: reads, masks, couples, judges by the rules."""

    def __init__(self, where: str, options: BulkOptions, gold: Mapping[str, RightAnswer]) -> None:
        self._store = SQLStore(where, create=False)
        self._options = options
        self._coupler = Coupler(self._store, RuleJudge(), options.miner, gold)
        self._sketches = Sketches(self._store, options.miner.cache, options.miner.keep_after_edit)

    def work(self, job: _Job) -> tuple[list[ContextPair], Counter[str]]:
        """The pairs of one place and what it adds to the funnel."""
        funnel: Counter[str] = Counter()
        judged = Judged()
        stage: Stage = "function"
        for first, second in job.couples:
            new, partner = self._sketches.load([first, second])
            instances = [new.trajectory.instance_id, partner.trajectory.instance_id]
            self._coupler.look_up(instances, new.trajectory.run)
            for one in self._coupler.usable(new, [partner], stage, funnel):
                couple = self._coupler.couple(new, one, stage, self._options.name)
                if self._coupler.judge([couple], judged, funnel, self._options.per_function):
                    return judged.new, funnel
        return judged.new, funnel


_worker: _Worker | None = None


def _start(where: str, options: BulkOptions, gold: Mapping[str, RightAnswer]) -> None:
    global _worker  # noqa: PLW0603 - one for the life of the process, as the pool's protocol wants it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = _Worker(where, options, gold)


def _end_with_parent() -> None:
    """A parent that is killed leaves no worker behind: by itself, one would wait for its next job for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(job: _Job) -> tuple[list[ContextPair], Counter[str]]:
    assert _worker is not None
    return _worker.work(job)


def _judged(pairs: Sequence[ContextPair], judge: PairJudge | None) -> list[ContextPair]:
    """The pairs, those that the rules let pass as the judge has them."""
    asked = [pair for pair in pairs if judge is not None and pair.judgement != "invalid"]
    said = dict(zip((p.id for p in asked), judge_all(judge, asked) if judge else (), strict=True))
    return [
        pair.model_copy(update=dict(zip(("judgement", "reasons"), said[pair.id], strict=True)))
        if pair.id in said
        else pair
        for pair in pairs
    ]


def _keep_funnel(store: SQLStore, name: str, funnel: Counter[str]) -> None:
    """Store the funnel of the whole set; its judgements are what the set holds, also from before an interruption."""
    judged = {j: store.count_pairs(run=name, judgement=j) for j in ("valid", "uncertain", "invalid")}
    now = {**funnel, **judged, "asked": sum(judged.values())}
    before = store.funnel(name)
    store.add_funnel(name, {stage: n - before.get(stage, 0) for stage, n in now.items()})

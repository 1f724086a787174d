"""Mining a whole store at once: the cascade over what is indexed first, so that few trajectories are ever read.

Invariant: what is mined depends on the store and the options, not on the number of processes, on chance, or on how
often it was interrupted. Of each function the couples with the most related issues come first, until `per_function`
pairs are valid: no function and no repository can fill the set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from trajectories.judge import RuleJudge
from trajectories.judging import judge_all
from trajectories.mining.couples import FUNNEL, Coupler, Judged
from trajectories.mining.options import MinerOptions
from trajectories.mining.plan import Couple, plan
from trajectories.mining.relatedness import Relatedness
from trajectories.mining.sketches import Sketch, Sketches
from trajectories.mining.workers import spread
from trajectories.protocol import PairJudge, RightAnswer
from trajectories.records import ContextPair
from trajectories.store import SQLStore

_AT_ONCE = 4
"""Couples that are read at a time: a function's quota takes about so many."""


@dataclass(frozen=True)
class BulkOptions:
    """How a store is mined."""

    miner: MinerOptions = field(default_factory=lambda: MinerOptions(across_runs=True))
    per_function: int = 8
    """Valid pairs of one function after which the next one's turn comes."""
    processes: int = 2
    name: str = "mined"
    """What the pairs' set is called: their `run`."""


class Job(NamedTuple):
    """The couples of a place that are to be looked at, the most promising first."""

    couples: list[Couple]
    valid: int = 0
    """Valid pairs of it that are there."""


class Found(NamedTuple):
    """What a job gave."""

    pairs: list[ContextPair]
    """Judged now, by the rules."""
    known: int
    """Valid pairs that were there."""
    counts: Counter[str]
    """What it adds to the funnel."""
    left: list[Couple]
    """Couples that were not looked at: there were enough."""


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

    `filters` are those of `store.scan`. `progress(places done, places, valid pairs so far)`. Interrupted, it keeps what
    it has found, and the same call goes on. A process that is killed is a `trajectories.mining.workers.WorkerDied`.
    """
    funnel = Counter(dict.fromkeys(FUNNEL, 0))
    jobs = [Job(couples) for couples in plan(store, options.miner, relatedness, filters or {}, funnel)]
    settle = partial(_settle, store, Miner(store, options, gold or {}), options.per_function, judge, funnel)
    valid = 0
    try:
        for done, found in enumerate(_work(store, jobs, options, gold or {}), 1):
            valid += settle(found)
            progress(done, len(jobs), valid)
    finally:
        _keep_funnel(store, options.name, funnel)
    return Counter(store.funnel(options.name))


def _settle(
    store: SQLStore, here: Miner, most: int, judge: PairJudge | None, funnel: Counter[str], found: Found
) -> int:
    """Keep what a place gave; where the judge refuses some of it, look on there. The place's valid pairs."""
    while True:
        funnel.update(found.counts)
        pairs = _judged(found.pairs, judge)
        store.add_pairs(pairs)
        valid = found.known + sum(pair.judgement == "valid" for pair in pairs)
        refused = sum(p.judgement == "invalid" for p in pairs) - sum(p.judgement == "invalid" for p in found.pairs)
        if valid >= most or not found.left or not refused:  # who is only unsure may be asked these again
            return valid
        found = here.mine(Job(found.left, valid))


def _work(
    store: SQLStore, jobs: Sequence[Job], options: BulkOptions, gold: Mapping[str, RightAnswer]
) -> Iterator[Found]:
    """What each job gave, in the order of the jobs."""
    address, processes = store.database.address, min(options.processes, len(jobs))
    if address is None or processes < 2:
        return map(Miner(store, options, gold).mine, jobs)
    return spread(processes, _miner, (address, options, dict(gold)), jobs)


def _miner(address: str, options: BulkOptions, gold: Mapping[str, RightAnswer]) -> Callable[[Job], Found]:
    return Miner(SQLStore(address, create=False), options, gold).mine


class Miner:
    """One process' share: reads, masks, couples, judges by the rules."""

    def __init__(self, store: SQLStore, options: BulkOptions, gold: Mapping[str, RightAnswer]) -> None:
        self._options = options
        self._coupler = Coupler(store, RuleJudge(), options.miner, gold)
        self._sketches = Sketches(store, options.miner.cache, options.miner.keep_after_edit)

    def mine(self, job: Job) -> Found:
        """Look at couples until there are enough valid pairs."""
        funnel, judged = Counter[str](), Judged(known=job.valid)
        couples = list(job.couples)
        while couples:
            some, couples = couples[:_AT_ONCE], couples[_AT_ONCE:]
            ids = dict.fromkeys(i for c in some if c.related for i in c[:2])
            sketches = dict(zip(ids, self._sketches.load(list(ids)), strict=True))
            self._coupler.look_up({s.trajectory.instance_id for s in sketches.values()}, "")
            for at, couple in enumerate(some, 1):
                funnel.update({"distinct": 1, "related": int(couple.related)})
                if couple.related and self._enough(sketches[couple.first], sketches[couple.second], judged, funnel):
                    return Found(judged.new, judged.known, funnel, some[at:] + couples)
        return Found(judged.new, judged.known, funnel, [])

    def _enough(self, new: Sketch, partner: Sketch, judged: Judged, funnel: Counter[str]) -> bool:
        usable = self._coupler.usable(new, [partner], "function", funnel)
        pairs = [self._coupler.couple(new, one, "function", self._options.name) for one in usable]
        return self._coupler.judge(pairs, judged, funnel, self._options.per_function)


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

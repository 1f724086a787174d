"""Mining context pairs while training runs: each new trajectory meets the older ones of its own buckets.

Invariant: what is mined depends only on the order of insertion, not on time or chance; the cost of an insertion is
bounded by `MinerOptions`, however full the store is; each couple of trajectories is looked at once.

The cascade (paper 1): same repository and commit -> same file -> same function -> distinct but related issues -> patch
masked -> judged. The counts of every stage are kept as the run's funnel, see `FUNNEL`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from trajectories.answers import asked
from trajectories.pairs import pair_key
from trajectories.protocol import Bucket, PairJudge, RightAnswer, Stage, TrajectoryStore, TrajectorySummary
from trajectories.records import ContextPair, Trajectory
from trajectories.sketches import Sketch, Sketches

STAGES: tuple[Stage, ...] = ("function", "file", "repo")
"""From the deepest."""
FUNNEL = ("commit", "file", "function", "related", "masked", "asked", "valid", "uncertain", "invalid")
"""`commit`, `file`, `function`: couples of trajectories that share it (a couple that shares two functions counts
twice). `related`: couples of distinct but related issues among the partners looked at. `masked`: those of which both
have a masked edit and leak nothing. `asked`: new pairs put to the judge, each in one direction, then its judgements."""
_AT_ONCE = 4
"""How many partners are read at a time: often the first few are enough."""


@dataclass(frozen=True)
class MinerOptions:
    """What is mined, and how much of it."""

    stages: frozenset[Stage] = frozenset({"function"})
    """How close the two trajectories of a pair must be: the same function (the paper); easier ones are for a
    curriculum. A couple counts for the deepest stage that it shares."""
    max_pairs_per_trajectory: int = 4
    """Valid pairs of one stage after which a new trajectory looks no further (the last couple may bring two)."""
    max_partners: int = 8
    """Most partners of one stage that are looked at closely."""
    window: int = 64
    """How many of the newest trajectories of a bucket are candidates."""
    max_reuse: int = 16
    """Valid pairs of one stage, as anchor or confounder, after which a trajectory is no partner any more."""
    min_issue_similarity: float = 0.1
    """Beyond the function stage, issues are related when they share this part of their words (Jaccard)."""
    distinct_statements: bool = True
    """Whether two issues with the same text are the same issue, whatever their ids."""
    across_runs: bool = False
    """Whether partners may come from other runs of the same store."""
    cache: int = 64_000_000
    """Characters of masked trajectories that are kept in memory; it changes the speed, nothing else."""


class PairMiner:
    """Mines each trajectory that it is told of: `store.subscribe(miner.on_insert)`. Thread-safe.

    `gold`: instance id -> right answer, where the tasks are known, better with its patch; else what resolved
    trajectories answered.
    """

    def __init__(
        self,
        store: TrajectoryStore,
        judge: PairJudge,
        options: MinerOptions | None = None,
        gold: Mapping[str, str | RightAnswer] | None = None,
    ) -> None:
        self._store = store
        self._judge = judge
        self._options = options or MinerOptions()
        self._right = {i: RightAnswer(g) if isinstance(g, str) else g for i, g in (gold or {}).items()}
        self._sketches = Sketches(store, self._options.cache)
        self._sizes: dict[Bucket, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def on_insert(self, trajectory: Trajectory) -> list[ContextPair]:
        """Mine a stored trajectory against the older ones: the pairs that are new, whatever their judgement."""
        position = self._store.position(trajectory.id)
        if trajectory.status == "infra_error":
            return self._store.finish_mining(position, trajectory.run, [], {})
        with self._lock:
            new = self._sketches.of(trajectory)
            if trajectory.resolved and trajectory.answer.strip():
                self._right.setdefault(trajectory.instance_id, RightAnswer(trajectory.answer, trajectory.patch))
            funnel = Counter(dict.fromkeys(FUNNEL, 0))
            self._count_buckets(trajectory, position, funnel)
            pairs: list[ContextPair] = []
            if new.usable:
                for stage in STAGES:
                    if stage in self._options.stages:
                        pairs += self._mine_stage(new, stage, position, funnel)
            return self._store.finish_mining(position, trajectory.run, pairs, funnel)

    def catch_up(self, run: str) -> list[ContextPair]:
        """Mine those trajectories of a run that were not mined: all, or what a killed process left."""
        pairs: list[ContextPair] = []
        for trajectory_id in self._store.unmined(run):
            for trajectory in self._store.get_many([trajectory_id], tokens=False).values():
                pairs += self.on_insert(trajectory)
        return pairs

    def _count_buckets(self, trajectory: Trajectory, position: int, funnel: Counter[str]) -> None:
        """Count the couples of the first three stages; of a bucket only what came since the last time."""
        known: dict[Bucket, tuple[int, int]] = {}
        for bucket in (bucket for stage in STAGES for bucket in self._buckets(trajectory, stage)):
            upto, size = self._sizes.get(bucket, (0, 0))
            known[bucket] = (upto, size) if upto < position else (0, 0)
        added = self._store.bucket_sizes({b: upto for b, (upto, _) in known.items()}, before=position)
        for bucket, (_, size) in known.items():
            funnel["commit" if bucket.stage == "repo" else bucket.stage] += size + added[bucket]
            self._sizes[bucket] = position, size + added[bucket] + 1

    def _buckets(self, trajectory: Trajectory, stage: Stage) -> list[Bucket]:
        names = {"repo": [""], "file": trajectory.files, "function": trajectory.functions}[stage]
        run = None if self._options.across_runs else trajectory.run
        return [Bucket(stage, name, trajectory.repo, trajectory.base_commit, run) for name in dict.fromkeys(names)]

    def _mine_stage(self, new: Sketch, stage: Stage, position: int, funnel: Counter[str]) -> list[ContextPair]:
        """Look at a few partners at a time until enough pairs are valid."""
        near = self._near(new.trajectory, stage, position)[: self._options.max_partners]
        judged: dict[str, ContextPair] = {}
        for start in range(0, len(near), _AT_ONCE):
            partners = self._partners(new, near[start : start + _AT_ONCE], stage, funnel)
            self._judge_couples([self._couple(new, p, stage) for p in partners], judged, funnel)
            if self._enough(judged):
                break
        return list(judged.values())

    def _near(self, own: Trajectory, stage: Stage, position: int) -> list[TrajectorySummary]:
        """Older trajectories of other instances that share just this stage, the newest of each instance first."""
        found: dict[str, TrajectorySummary] = {}
        for bucket in self._buckets(own, stage):
            for other in self._store.neighbours(bucket, before=position, limit=self._options.window):
                if other.status != "infra_error" and other.instance_id != own.instance_id:
                    found.setdefault(other.id, other)
        near = _spread([other for other in found.values() if _deepest(own, other) == stage])
        used = self._store.pair_use([other.id for other in near], stage)
        return [other for other in near if used[other.id] < self._options.max_reuse]

    def _partners(self, new: Sketch, near: list[TrajectorySummary], stage: Stage, funnel: Counter[str]) -> list[Sketch]:
        """Those of related issues that are masked well."""
        partners = self._sketches.load([other.id for other in near])
        self._learn_answers([new.trajectory.instance_id, *(other.instance_id for other in near)], new.trajectory.run)
        related = [p for p in partners if self._related(new, p, stage)]
        usable = [p for p in related if p.usable]
        funnel["related"] += len(related)
        funnel["masked"] += len(usable)
        return usable

    def _related(self, a: Sketch, b: Sketch, stage: Stage) -> bool:
        same = a.trajectory.problem_statement.split() == b.trajectory.problem_statement.split()
        if same and self._options.distinct_statements:
            return False
        return stage == "function" or a.issue_similarity(b) >= self._options.min_issue_similarity

    def _learn_answers(self, instance_ids: Iterable[str], run: str) -> None:
        unknown = [i for i in instance_ids if i not in self._right]
        if unknown:
            where = None if self._options.across_runs else run
            self._right |= self._store.right_answers(unknown, where)

    def _couple(self, new: Sketch, partner: Sketch, stage: Stage) -> list[ContextPair]:
        """A pair for each direction in which the anchor resolved its task."""
        return [
            self._pair(anchor, confounder, stage, new.trajectory)
            for anchor, confounder in ((new, partner), (partner, new))
            if anchor.trajectory.resolved and anchor.trajectory.answer.strip()
        ]

    def _pair(self, anchor: Sketch, confounder: Sketch, stage: Stage, newest: Trajectory) -> ContextPair:
        a, c = anchor.trajectory, confounder.trajectory
        function = _first_shared(a.functions, c.functions)
        answer, confounder_answer = asked(self._known(a), self._known(c))
        return ContextPair(
            run=newest.run,
            repo=a.repo,
            base_commit=a.base_commit,
            file=function.partition("::")[0] or _first_shared(a.files, c.files),
            function=function,
            answer=answer,
            confounder_answer=confounder_answer,
            anchor=anchor.context,
            confounder=confounder.context,
            stage=stage,
            similarity=anchor.similarity(confounder),
            created_at=newest.created_at,
        )

    def _known(self, trajectory: Trajectory) -> list[RightAnswer]:
        """Right answers to a trajectory's task, its own first."""
        own = [RightAnswer(trajectory.answer, trajectory.patch)] if trajectory.resolved else []
        first = [self._right[i] for i in [trajectory.instance_id] if i in self._right]
        return [right for right in dict.fromkeys(own + first) if right.answer.strip()]

    def _judge_couples(
        self, couples: list[list[ContextPair]], judged: dict[str, ContextPair], funnel: Counter[str]
    ) -> None:
        """Judge couple by couple until enough pairs are valid. Pairs that were decided before are passed over."""
        keyed = [[(pair_key(pair), pair) for pair in couple] for couple in couples]
        before = self._store.judgements([key for couple in keyed for key, _ in couple])
        for couple in keyed:
            for key, pair in couple:
                if key in judged or before.get(key, "uncertain") != "uncertain":
                    continue
                judgement, reasons = self._judge.judge(pair)
                judged[key] = pair.model_copy(update={"id": key[:32], "judgement": judgement, "reasons": reasons})
                funnel.subtract(("asked", "uncertain") if key in before else ())
                funnel.update(("asked", judgement))
            if self._enough(judged):
                break

    def _enough(self, judged: Mapping[str, ContextPair]) -> bool:
        valid = sum(pair.judgement == "valid" for pair in judged.values())
        return valid >= self._options.max_pairs_per_trajectory


def _first_shared(own: list[str], others: list[str]) -> str:
    """The first that both have, else the first of the own ones, else nothing."""
    return next((name for name in own if name in others), own[0] if own else "")


def _deepest(trajectory: Trajectory, other: TrajectorySummary) -> Stage:
    """The deepest stage that two trajectories of one repository and commit share."""
    if not set(trajectory.functions).isdisjoint(other.functions):
        return "function"
    return "repo" if set(trajectory.files).isdisjoint(other.files) else "file"


def _spread(newest_first: list[TrajectorySummary]) -> list[TrajectorySummary]:
    """The newest of each instance, then the second newest of each, and so on."""
    by_instance: dict[str, list[TrajectorySummary]] = {}
    for summary in newest_first:
        by_instance.setdefault(summary.instance_id, []).append(summary)
    return [s for row in zip_longest(*by_instance.values()) for s in row if s is not None]

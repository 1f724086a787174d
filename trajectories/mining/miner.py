"""Mining context pairs while training runs: each new trajectory meets the older ones of its own buckets.

Invariant: what is mined depends only on the order of insertion, not on time or chance; the cost of an insertion is
bounded by `MinerOptions`, however full the store is; each couple of trajectories is looked at once.

The cascade (paper 1): same repository and commit -> same file -> same function -> distinct but related issues -> patch
masked -> judged. The counts of every stage are kept as the run's funnel, see `FUNNEL`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from trajectories.mining.couples import FUNNEL, Coupler, Judged
from trajectories.mining.labels import LabelCheck
from trajectories.mining.options import HELD_OUT, MinerOptions
from trajectories.mining.relatedness import Relatedness
from trajectories.mining.sharing import Place
from trajectories.mining.sketches import Sketch, Sketches
from trajectories.protocol import Bucket, PairJudge, RightAnswer, Stage, TrajectoryStore, TrajectorySummary
from trajectories.records import ContextPair, Trajectory

__all__ = ["FUNNEL", "STAGES", "MinerOptions", "PairMiner"]

STAGES: tuple[Stage, ...] = ("function", "file", "repo")
"""From the deepest."""
_AT_ONCE = 2
"""How many partners are read at a time: often the first few are enough."""


class PairMiner:
    """Mines each trajectory that it is told of: `store.subscribe(miner.on_insert)`. Thread-safe.

    `gold`: instance id -> right answer, where the tasks are known, better with its patch; else what resolved
    trajectories answered. `on_retire` is told the ids of pairs whose label a new right answer has made doubtful.
    """

    def __init__(
        self,
        store: TrajectoryStore,
        judge: PairJudge,
        options: MinerOptions | None = None,
        gold: Mapping[str, str | RightAnswer] | None = None,
        relatedness: Relatedness | None = None,
        on_retire: Callable[[Sequence[str]], object] = lambda ids: None,
    ) -> None:
        self._store = store
        self._options = options or MinerOptions()
        self._coupler = Coupler(store, judge, self._options, gold or {}, relatedness)
        self._labels = LabelCheck(store, on_retire)
        self._sketches = Sketches(store, self._options.cache, self._options.keep_after_edit)
        self._sizes: dict[Bucket, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def on_insert(self, trajectory: Trajectory) -> list[ContextPair]:
        """Mine a stored trajectory against the older ones: the pairs that are new, whatever their judgement."""
        position = self._store.position(trajectory.id)
        if trajectory.status == "infra_error":
            return self._store.finish_mining(position, trajectory.run, [], {}, "died for a reason of ours")
        with self._lock:
            self._coupler.learn(trajectory)
            self._labels.check(trajectory)
            place = Place.of(trajectory.files, trajectory.functions, trajectory.patch)
            if self._avoided(trajectory.repo, trajectory.functions):
                return self._store.finish_mining(position, trajectory.run, [], {}, HELD_OUT)
            funnel = Counter(dict.fromkeys(FUNNEL, 0))
            self._count_buckets(trajectory, place, position, funnel)
            near = {stage: self._near(trajectory, place, stage, position) for stage in STAGES if self._wanted(stage)}
            new = self._sketches.of(trajectory) if any(near.values()) else None
            judged = Judged()
            if new and not new.fault:
                for stage, others in near.items():
                    self._mine_stage(new, others, stage, judged, funnel)
            return self._store.finish_mining(position, trajectory.run, judged.new, funnel, new.fault if new else "")

    def reconsider(self, trajectory: Trajectory) -> None:
        """What a trajectory that was mined before says of the labels of other pairs."""
        with self._lock:
            self._coupler.learn(trajectory)
            self._labels.check(trajectory)

    def state_dict(self) -> dict[str, Any]:
        """What is not in the store, as JSON-able data."""
        return {"labels": self._labels.state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._labels.load(state["labels"])

    def catch_up(self, run: str) -> list[ContextPair]:
        """Mine those trajectories of a run that were not mined: all, or what a killed process left."""
        pairs: list[ContextPair] = []
        for trajectory_id in self._store.unmined(run):
            for trajectory in self._store.get_many([trajectory_id], tokens=False).values():
                pairs += self.on_insert(trajectory)
        return pairs

    def _avoided(self, repo: str, functions: Iterable[str]) -> bool:
        return any(f"{repo} {name}" in self._options.avoid for name in functions)

    def _wanted(self, stage: Stage) -> bool:
        return stage in self._options.stages

    def _count_buckets(self, own: Trajectory, place: Place, position: int, funnel: Counter[str]) -> None:
        """Count the couples of the first three stages; of a bucket only what came since the last time."""
        known: dict[Bucket, tuple[int, int]] = {}
        for bucket in (bucket for stage in STAGES for bucket in self._buckets(own, place, stage)):
            upto, size = self._sizes.get(bucket, (0, 0))
            known[bucket] = (upto, size) if upto < position else (0, 0)
        added = self._store.bucket_sizes({b: upto for b, (upto, _) in known.items()}, before=position)
        for bucket, (_, size) in known.items():
            funnel["commit" if bucket.stage == "repo" else bucket.stage] += size + added[bucket]
            self._sizes[bucket] = position, size + added[bucket] + 1

    def _buckets(self, own: Trajectory, place: Place, stage: Stage) -> list[Bucket]:
        """Where partners of a stage are found. A commit that nobody knows is no common ground."""
        same_commit = self._options.commit == "same"
        if same_commit and not own.base_commit:
            return []
        names = {"repo": [""], "file": sorted(place.files), "function": sorted(place.functions)}[stage]
        run = None if self._options.across_runs else own.run
        return [Bucket(stage, name, own.repo, own.base_commit if same_commit else None, run) for name in names]

    def _mine_stage(
        self, new: Sketch, near: Sequence[TrajectorySummary], stage: Stage, judged: Judged, funnel: Counter[str]
    ) -> None:
        """Look at a few partners at a time until enough pairs of the stage are valid."""
        most = judged.valid + self._options.max_pairs_per_trajectory
        for start in range(0, len(near), _AT_ONCE):
            some = near[start : start + _AT_ONCE]
            run = new.trajectory.run
            self._coupler.look_up([new.trajectory.instance_id, *(other.instance_id for other in some)], run)
            partners = self._coupler.related(new, self._sketches.load([other.id for other in some]), funnel)
            partners = self._coupler.usable(new, partners, stage, funnel)
            couples = [self._coupler.couple(new, partner, stage, run) for partner in partners]
            if self._coupler.judge(couples, judged, funnel, most):
                break

    def _near(self, own: Trajectory, place: Place, stage: Stage, position: int) -> list[TrajectorySummary]:
        """Older trajectories of other instances that share just this stage, those of a like length before others.

        Otherwise the newest of each instance come first. None once the function has enough pairs.
        """
        if stage == "function" and self._has_enough(own, place):
            return []
        where: Stage = "file" if stage == "function" and self._options.function != "same" else stage
        found: dict[str, TrajectorySummary] = {}
        for bucket in self._buckets(own, place, where):
            for other in self._store.neighbours(bucket, before=position, limit=self._options.window):
                if other.status == "infra_error" or other.instance_id == own.instance_id:
                    continue
                if not self._avoided(other.repo, other.functions):
                    found.setdefault(other.id, other)
        near = [
            t for t in found.values() if place.deepest(Place.of(t.files, t.functions), self._options.function) == stage
        ]
        if not own.resolved:
            near = [t for t in near if t.resolved]  # one of the two has to be an anchor
        used = self._store.pair_use([other.id for other in near], stage) if near else {}
        free = [other for other in _spread(near) if used[other.id] < self._options.max_reuse]
        free.sort(key=lambda other: not _like(len(own.turns), other.turns))
        return free[: self._options.max_partners]

    def _has_enough(self, own: Trajectory, place: Place) -> bool:
        most = self._options.max_pairs_per_function
        return any(self._store.living_pairs(own.run, own.repo, name) >= most for name in place.functions)


def _like(a: int, b: int) -> bool:
    """Whether two lengths differ by less than half."""
    return max(a, b) <= 1.5 * min(a, b)


def _spread(newest_first: Sequence[TrajectorySummary]) -> list[TrajectorySummary]:
    """The newest of each instance, then the second newest of each, and so on."""
    by_instance: dict[str, list[TrajectorySummary]] = {}
    for summary in newest_first:
        by_instance.setdefault(summary.instance_id, []).append(summary)
    return [s for row in zip_longest(*by_instance.values()) for s in row if s is not None]

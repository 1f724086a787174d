"""The half of the store that is about pairs: keeping them, finding them, what becomes of them, how far mining is.

Invariant: as in `trajectories.store`, whose base class this is: each method is one transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Unpack

from trajectories.queries import Order, PairFilters, PairLife, Stage, StoreError
from trajectories.records import ContextPair, Judgement
from trajectories.storage import lives, mined, pairs
from trajectories.storage.database import Database


class SQLPairStore:
    """What each method promises is written in `TrajectoryStore`."""

    _db: Database

    def add_pairs(self, pairs_: Iterable[ContextPair]) -> list[ContextPair]:
        """Keep the pairs that are new, and return them."""
        new = list(pairs_)
        return self._db.write(lambda c: pairs.insert(c, new)) if new else []

    def rejudge_pairs(self, judged: Iterable[ContextPair]) -> None:
        """Keep what is now judged of pairs that are stored, and why. What they ask and show stays as it is."""
        new = list(judged)
        self._db.write(lambda c: pairs.rejudge(c, new))

    def pairs(
        self, *, limit: int | None = None, order: Order = "oldest", **filters: Unpack[PairFilters]
    ) -> list[ContextPair]:
        """Pairs that pass all filters."""
        return self._db.read(lambda c: pairs.select(c, filters, order, limit))

    def scan_pairs(self, *, batch: int = 200, **filters: Unpack[PairFilters]) -> Iterator[ContextPair]:
        """As `pairs`, the oldest first, read `batch` at a time."""
        while found := self._db.read(lambda c: pairs.page(c, filters, "oldest", batch)):
            yield from (pair for _, pair in found)
            filters["after"] = found[-1][0]

    def live_pairs_of(self, instance_ids: Collection[str]) -> list[ContextPair]:
        """Valid pairs that are not retired in which one of the instances is the confounder's."""
        return self._db.read(lambda c: pairs.live_pairs_of(c, instance_ids))

    def living_pairs(self, run: str, repo: str, function: str) -> int:
        """How many valid pairs of a function are not retired."""
        return self._db.read(lambda c: lives.living(c, run, repo, function))

    def live_answers_of(self, instance_id: str) -> list[tuple[str, str]]:
        """Id and answer of the living pairs in which the instance is the confounder's."""
        return self._db.read(lambda c: lives.answers(c, instance_id))

    def use_pairs(self, ids: Iterable[str], policy_version: int) -> None:
        """Count that a policy of this version learns from them."""
        used = list(ids)
        self._db.write(lambda c: lives.use(c, used, policy_version))

    def check_pairs(self, ids: Collection[str], policy_version: int) -> None:
        """Keep that their labels were checked."""
        self._db.write(lambda c: lives.change(c, ids, checked=policy_version))

    def retire_pairs(self, ids: Collection[str], reason: str) -> None:
        """Keep why these pairs are not learned from any more."""
        self._db.write(lambda c: lives.change(c, ids, retired=reason))

    def settled(self, run: str) -> dict[str, tuple[int, int]]:
        """At which trajectory each valid pair became valid."""
        return self._db.read(lambda c: pairs.settled(c, run))

    def forget_margins(self, run: str, version: int) -> None:
        """Take out how policies of this version and later ones chose on the run's pairs."""
        self._db.write(lambda c: lives.forget_margins(c, run, version))

    def revive_pairs(self, uses: Mapping[str, int]) -> None:
        """Take back that they were retired, and set how often they were learned from."""
        self._db.write(lambda c: lives.revive(c, uses))

    def pair_life(self, ids: Collection[str]) -> dict[str, PairLife]:
        """What became of those of the pairs that are there."""
        return self._db.read(lambda c: lives.of(c, ids))

    def get_pair(self, pair_id: str) -> ContextPair:
        """One pair."""
        pair = self._db.read(lambda c: pairs.by_id(c, pair_id))
        if pair is None:
            raise StoreError(f"There is no pair {pair_id} in {self._db.where}.")
        return pair

    def count_pairs(self, **filters: Unpack[PairFilters]) -> int:
        """How many pairs pass all filters."""
        return self._db.read(lambda c: pairs.count(c, filters))

    def finish_mining(
        self, position: int, run: str, pairs_: Iterable[ContextPair], counts: Mapping[str, int], reason: str = ""
    ) -> list[ContextPair]:
        """Keep at once what mining one trajectory gave; the pairs that were new."""
        new = list(pairs_)
        return self._db.write(lambda c: mined.finish_mining(c, position, run, new, counts, reason))

    def unmined(self, run: str | None) -> list[str]:
        """Ids of the trajectories that were not mined, of one run or of all."""
        return self._db.read(lambda c: mined.unmined(c, run))

    def mining_reasons(self, ids: Collection[str]) -> dict[str, str]:
        """Why trajectories gave no pair, where that was said."""
        return self._db.read(lambda c: mined.reasons(c, ids))

    def mined_without_pairs(self, reason: str) -> frozenset[str]:
        """Ids of the trajectories that gave no pair for this reason."""
        return self._db.read(lambda c: mined.without_pairs(c, reason))

    def add_funnel(self, run: str, counts: Mapping[str, int]) -> None:
        """Add to the run's counts of the mining cascade."""
        self._db.write(lambda c: mined.add_funnel(c, run, counts))

    def with_funnel(self) -> list[str]:
        """The runs and mined sets that have a funnel, by name."""
        return self._db.read(mined.with_funnel)

    def funnel(self, run: str) -> dict[str, int]:
        """The run's counts of the mining cascade."""
        return self._db.read(lambda c: mined.read_funnel(c, run))

    def pair_use(self, ids: Collection[str], stage: Stage) -> dict[str, int]:
        """In how many valid pairs of a stage each trajectory stands."""
        return self._db.read(lambda c: pairs.use(c, ids, stage))

    def judgements(self, keys: Collection[str]) -> dict[str, Judgement]:
        """What was decided on each pair that is stored, by key."""
        return self._db.read(lambda c: pairs.judgements(c, keys))

"""Which pairs to learn from next.

Invariant: a pair from a harder level is never drawn before the policy has been measured to tell pairs of the level
below apart. Hard pairs trained directly stay at chance; a schedule that does not look at accuracy has the same fate.
Among pairs used equally often, functions take turns, and so do repositories: none fills a batch. Draws are
deterministic in the seed and the calls made. This module imports no torch.
"""

from __future__ import annotations

import logging
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contextrl.choice import PairResult
from contextrl.config import ContextConfig
from trajectories.records import ContextPair

logger = logging.getLogger(__name__)
STAGE_LEVELS = {"repo": 0, "file": 1, "function": 2}


@dataclass
class _Entry:
    pair: ContextPair
    level: int
    born: int
    uses: int = 0


class PairSampler:
    """Mined pairs in levels of rising hardness, and a frontier that moves up as accuracy does.

    Levels: 0 same repository, 1 same file, then same function, split at the similarity thresholds. Empty levels are
    passed over. With `curriculum: uniform` all pairs are one pool.
    """

    def __init__(
        self,
        config: ContextConfig,
        seed: int = 0,
        *,
        thresholds: Sequence[float] = (0.8,),
        ema: float = 0.98,
        max_uses: int | None = None,
        max_age: int | None = None,
    ) -> None:
        """A pair that was drawn `max_uses` times, or added more than `max_age` iterations ago, is forgotten."""
        self.forgotten: dict[str, str] = {}
        """Pairs that were forgotten since this was last emptied, and why."""
        self._config, self._thresholds, self._ema = config, sorted(thresholds), ema
        self._max_uses, self._max_age = max_uses, max_age
        self._entries: dict[str, _Entry] = {}
        self._level_of: dict[str, int] = {}
        self._rng = random.Random(seed)
        self.frontier = 0
        self.accuracy = [0.5] * (len(thresholds) + 3)
        """Moving average of selection accuracy per level, as measured on the training pairs."""
        self.measured = [0] * len(self.accuracy)
        """Results that each average has seen; without any it is only where it starts, at chance."""

    def level(self, pair: ContextPair) -> int:
        """The hardness level of a pair."""
        base = STAGE_LEVELS[pair.stage]
        return base + bisect_right(self._thresholds, pair.similarity) if pair.stage == "function" else base

    @property
    def sizes(self) -> list[int]:
        """Pairs held per level."""
        levels = [e.level for e in self._entries.values()]
        return [levels.count(level) for level in range(len(self.accuracy))]

    def add(self, pairs: Iterable[ContextPair], iteration: int = 0) -> int:
        """Take in newly mined pairs of the configured stages; how many were new."""
        added = 0
        for pair in pairs:
            if pair.id not in self._level_of and pair.stage in self._config.stages:
                self._entries[pair.id] = _Entry(pair, self.level(pair), iteration)
                self._level_of[pair.id] = self.level(pair)
                added += 1
        return added

    def drop(self, ids: Iterable[str]) -> None:
        """Forget pairs whose label no longer holds."""
        for pair_id in ids:
            self._entries.pop(pair_id, None)

    def draw(
        self, count: int, iteration: int = 0, usable: Callable[[ContextPair], bool] = lambda _: True
    ) -> list[ContextPair]:
        """At most `count` different pairs: most from the frontier, the others uniformly from the levels below.

        Within a level the least used come first. What is not `usable` is forgotten and another is drawn in its place.
        Fewer come back only where the frontier and all below are used up.
        """
        self._evict(iteration)
        pools = self._pools()
        drawn: list[_Entry] = []
        while len(drawn) < count and any(pools.values()):
            filled = [level for level, pool in pools.items() if pool]
            below = [level for level in filled if level < max(pools)]
            at_frontier = not below or (max(pools) in filled and self._rng.random() < self._config.frontier_share)
            level = max(filled) if at_frontier else self._rng.choice(below)
            entry = pools[level].pop()
            if usable(entry.pair):
                drawn.append(entry)
            else:
                del self._entries[entry.pair.id]
        for entry in drawn:
            entry.uses += 1
        return [entry.pair for entry in drawn]

    def update(self, results: Iterable[PairResult]) -> None:
        """Learn how the policy did on pairs drawn here, and move the frontier up where it did well."""
        for result in results:
            level = self._level_of.get(result.pair_id)
            if level is not None:
                self.accuracy[level] = self._ema * self.accuracy[level] + (1 - self._ema) * result.correct
                self.measured[level] += 1
        level = self._open_level()
        above = [e.level for e in self._entries.values() if e.level > level]
        if above and self.accuracy[level] > self._config.promote_at:
            self.frontier = min(above)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the pairs themselves, as JSON-able data."""
        version, numbers, gauss = self._rng.getstate()
        return {
            "frontier": self.frontier,
            "accuracy": list(self.accuracy),
            "measured": list(self.measured),
            "entries": {key: [e.born, e.uses] for key, e in self._entries.items()},
            "levels": dict(self._level_of),
            "rng": [version, list(numbers), gauss],
        }

    def load_state_dict(self, state: Mapping[str, Any], pairs: Iterable[ContextPair]) -> None:
        """Go on from a state; `pairs` must hold those it names (others are ignored)."""
        by_id = {pair.id: pair for pair in pairs}
        missing = [key for key in state["entries"] if key not in by_id]
        if missing:
            logger.warning("%d pairs of the saved curriculum are not in the store any more", len(missing))
        self._entries = {
            key: _Entry(by_id[key], self.level(by_id[key]), born, uses)
            for key, (born, uses) in state["entries"].items()
            if key in by_id
        }
        self._level_of = dict(state["levels"])
        self.frontier, self.accuracy = state["frontier"], list(state["accuracy"])
        self.measured = list(state["measured"])
        version, numbers, gauss = state["rng"]
        self._rng.setstate((version, tuple(numbers), gauss))

    def _open_level(self) -> int:
        """The level that is learned now: the frontier, or the next that has pairs, or the last below that has."""
        levels = {e.level for e in self._entries.values()}
        up = [level for level in levels if level >= self.frontier]
        return min(up) if up else max(levels, default=self.frontier)

    def _pools(self) -> dict[int, list[_Entry]]:
        """Open levels -> their pairs, the next to draw last."""
        uniform = self._config.curriculum == "uniform"
        top = self._open_level()
        pools: dict[int, list[_Entry]] = {}
        for entry in self._entries.values():
            if uniform or entry.level <= top:
                pools.setdefault(0 if uniform else entry.level, []).append(entry)
        return {level: self._in_turns(pool) for level, pool in pools.items()}

    def _in_turns(self, pool: list[_Entry]) -> list[_Entry]:
        """The pool, the next to draw last: the least used, of these one of each function, of each repository."""
        self._rng.shuffle(pool)
        pool.sort(key=lambda e: e.uses)
        turns: Counter[tuple[int, str, str]] = Counter()
        keyed = []
        for entry in pool:
            place = entry.uses, entry.pair.repo, entry.pair.function or entry.pair.file
            turns[place] += 1
            in_repo = entry.uses, entry.pair.repo, f"turn {turns[place]}"
            turns[in_repo] += 1
            keyed.append(((entry.uses, turns[place], turns[in_repo]), entry))
        keyed.sort(key=lambda item: item[0], reverse=True)
        return [entry for _, entry in keyed]

    def _evict(self, iteration: int) -> None:
        for key, e in list(self._entries.items()):
            if self._max_uses is not None and e.uses >= self._max_uses:
                self.forgotten[key] = f"learned from {e.uses} times"
            elif self._max_age is not None and iteration - e.born > self._max_age:
                self.forgotten[key] = f"mined {iteration - e.born} iterations ago"
            else:
                continue
            del self._entries[key]

"""Where training gets its pairs: every trajectory that is kept is mined at once, and what is valid goes to the sampler.

Invariant: a trajectory is in the store before it is mined, and a pair is in the store before it is trained on, so that
a resumed run finds all of them; it draws what it would have drawn, for a pair comes to the sampler with the trajectory
that made it valid, also when an iteration is gone through again. The store knows how often a pair was learned from and
why it no longer is. A pair whose prompt is too long takes no other pair's place in an optimiser step.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from agents.tool_agent import ToolAgent
from contextrl.choice import ChoiceFormat, ChoicePrompt, PairResult
from contextrl.config import ContextConfig
from contextrl.curriculum import PairSampler
from trajectories.judge import RuleJudge
from trajectories.mining.miner import MinerOptions, PairMiner
from trajectories.queries import Margin
from trajectories.records import ContextPair, Trajectory
from trajectories.store import SQLStore


class PairFeed:
    """Store, miner and sampler of one run."""

    def __init__(
        self,
        store: SQLStore,
        choices: ChoiceFormat,
        config: ContextConfig,
        *,
        run: str,
        seed: int,
        avoid: frozenset[str] = frozenset(),
    ) -> None:
        """`avoid`: held-out functions (`MinerOptions.avoid`)."""
        self._store, self._choices, self._config, self._run, self._seed = store, choices, config, run, seed
        self._sampler = PairSampler(
            config, seed, thresholds=config.hardness, max_uses=config.max_uses, max_age=config.max_age
        )
        self._miner = PairMiner(store, RuleJudge(), _options(config, avoid), on_retire=self._sampler.drop)
        self.iteration = 0
        self.too_long: int | None = None
        """Pairs that the last draw left out for their length, for good; None where there was no draw."""
        self.paired: set[str] | None = set() if config.enabled and config.during else None
        """Trajectories that stand in a valid pair, mined since `begin`; None where pairs are not learned from."""
        self._known: set[str] = set()
        """Trajectories of iterations that are gone through again, which an earlier session mined."""
        self._later: dict[str, list[ContextPair]] = {}
        """By the trajectories whose mining made them valid, pairs of such iterations."""

    def begin(self, iteration: int, state: dict[str, Any] | None = None) -> None:
        """Start with what the store has of the run, or go on from a state that was saved at an iteration."""
        self.iteration = iteration
        self._miner.catch_up(self._run)
        if state is None:
            self._sampler.add(self._store.pairs(run=self._run, judgement="valid", retired=False))
            return
        saved = state["sampler"]
        played = self._store.scan(run=self._run, agent=ToolAgent.name)
        again = {s.position: s.id for s in played if s.iteration >= iteration}
        self._known = set(again.values())
        pairs, settled = self._store.pairs(run=self._run, judgement="valid"), self._store.settled(self._run)
        for pair in sorted(pairs, key=lambda pair: settled[pair.id]):
            if (by := settled[pair.id][0]) in again:
                self._later.setdefault(again[by], []).append(pair)
        # What became of pairs since the state was saved will become of them again.
        lives = {pair_id: uses for pair_id, (_, uses) in saved["entries"].items()}
        unborn = {pair.id: 0 for group in self._later.values() for pair in group}
        self._store.revive_pairs(lives | unborn)
        self._store.forget_margins(self._run, iteration)
        self._miner.load_state_dict(state["miner"])
        self._sampler.load_state_dict(saved, pairs)
        self._sampler.add(pair for pair in pairs if pair.id not in unborn)  # what somebody else mined into the run

    @property
    def mined(self) -> int:
        """Valid pairs so far."""
        later = sum(map(len, self._later.values()))
        return self._store.count_pairs(run=self._run, judgement="valid") - later

    def keep(self, trajectory: Trajectory) -> None:
        """Store a trajectory and mine it; of one that was mined before, take the pairs again."""
        if trajectory.id in self._known:
            self._miner.reconsider(trajectory)
            pairs = self._later.pop(trajectory.id, [])
        else:
            self._store.add(trajectory)
            pairs = self._miner.on_insert(trajectory)
        valid = [p for p in pairs if p.judgement == "valid"]
        self._sampler.add(valid, self.iteration)
        if self.paired is not None:
            self.paired.update(c.trajectory_id for p in valid for c in (p.anchor, p.confounder))

    def prompts(self, count: int) -> list[ChoicePrompt]:
        """Prompts of `count` pairs to learn from, letters balanced; none where the term is off or was before training.

        Fewer only where no other pair that fits may be drawn.
        """
        if not self._config.enabled or not (self._config.during or self.iteration < 0):
            self.too_long = None
            return []
        rng = random.Random(f"{self._seed}/letters/{self.iteration}")
        before = self._choices.too_long
        pairs = self._sampler.draw(count, self.iteration, self._fits)
        self._note_lives([pair.id for pair in pairs])
        self.too_long = self._choices.too_long - before
        return self._choices.balanced(pairs, rng)

    def _note_lives(self, drawn: list[str]) -> None:
        """Keep in the store which pairs are learned from, and which no more."""
        self._store.use_pairs(drawn, self.iteration)
        by_reason: dict[str, list[str]] = {}
        for pair_id, reason in self._sampler.forgotten.items():
            by_reason.setdefault(reason, []).append(pair_id)
        for reason, ids in by_reason.items():
            self._store.retire_pairs(ids, reason)
        self._sampler.forgotten.clear()

    def learned(self, results: Sequence[PairResult]) -> None:
        """How the policy did on the prompts, before it learned from them."""
        self._sampler.update(results)
        self._store.add_margins(Margin(r.pair_id, self.iteration, r.anchor_first, r.margin) for r in results)

    def left_out(self, reasons: Mapping[str, str]) -> None:
        """Keep why trajectories (by id) are not learned from: every one is stored, and says what became of it."""
        for reason in sorted(set(reasons.values())):
            self._store.mark_filtered([i for i, why in reasons.items() if why == reason], reason)

    @property
    def frontier(self) -> int:
        """The hardest level that is open."""
        return self._sampler.frontier

    @property
    def accuracy(self) -> dict[str, float]:
        """Moving average of selection accuracy in training, by level, of levels that were trained on."""
        measured = self._sampler.measured
        return {f"level {i}": value for i, value in enumerate(self._sampler.accuracy) if measured[i]}

    def state_dict(self) -> dict[str, Any]:
        """Everything but what is in the store."""
        return {"sampler": self._sampler.state_dict(), "miner": self._miner.state_dict()}

    def _fits(self, pair: ContextPair) -> bool:
        """In both letter orders: which one it gets is not known yet."""
        return all(self._choices.prompt(pair, anchor_first) for anchor_first in (True, False))


def _options(config: ContextConfig, avoid: frozenset[str]) -> MinerOptions:
    most = config.max_pairs_per_trajectory
    return MinerOptions(
        commit=config.commit,
        function=config.function,
        stages=frozenset(config.stages),
        keep_after_edit=config.after_edit == "mask",
        max_pairs_per_function=config.max_pairs_per_function,
        max_pairs_per_trajectory=most,
        max_partners=2 * most,
        max_reuse=4 * most,
        avoid=avoid,
    )

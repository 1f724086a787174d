"""Whether the label of a pair still holds: a new right answer to the confounder's task may be the pair's answer too.

Invariant: each right answer is held against the pairs of its task once, by whichever policy version found it; a pair
whose label became doubtful is retired, never deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from trajectories.mining.answers import repair, solves_too
from trajectories.mining.lines import squeeze
from trajectories.protocol import RightAnswer, TrajectoryStore
from trajectories.records import Trajectory


class LabelCheck:
    """Checks the stored pairs against each resolved trajectory. `on_retire` is told the ids of pairs that fell."""

    def __init__(self, store: TrajectoryStore, on_retire: Callable[[Sequence[str]], object]) -> None:
        self._store, self._on_retire = store, on_retire
        self._held: set[bytes] = set()

    def check(self, trajectory: Trajectory) -> list[str]:
        """Retire the pairs whose answer this trajectory has shown to solve the confounder's task; their ids."""
        if not trajectory.resolved or not trajectory.answer.strip() or not self._is_new(trajectory):
            return []
        right = RightAnswer(trajectory.answer, trajectory.patch)
        answers = self._store.live_answers_of(trajectory.instance_id)
        fallen = [pair_id for pair_id, answer in answers if solves_too(answer, right)]
        if fallen:
            reason = f"the answer solves the confounder's task as well: trajectory {trajectory.id} resolved it so"
            self._store.retire_pairs(fallen, reason)
            self._on_retire(fallen)
        if answers:
            self._store.check_pairs([pair_id for pair_id, _ in answers], trajectory.policy_version)
        return fallen

    def state(self) -> list[str]:
        """Which right answers were held against the pairs, as JSON-able data."""
        return sorted(key.hex() for key in self._held)

    def load(self, state: Iterable[str]) -> None:
        """Those were."""
        self._held = {bytes.fromhex(key) for key in state}

    def _is_new(self, trajectory: Trajectory) -> bool:
        text = f"{trajectory.instance_id}\0{squeeze(trajectory.answer)}\0{squeeze(repair(trajectory.patch))}"
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:12]
        new = key not in self._held
        self._held.add(key)
        return new

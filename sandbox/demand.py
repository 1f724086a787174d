"""How many spare sandboxes of one kind are worth keeping.

Invariant: the target lies between 0 and `most`, goes up only when somebody had to wait, and is 0 when nobody has asked
for `idle_s` seconds. Times are seconds of whatever clock the caller reads; nothing here reads one.
"""

from __future__ import annotations

from collections import deque

_FIRST_GUESS_S = 1.0


class Demand:
    """Follows the leases of one kind.

    As many spares are enough as leases are asked for while one refill takes. A storm of leases may not come again, and
    its spares would cost as much as it did: so the target first goes to `step` (what the machine starts at a time),
    and then at most doubles during each refill in which somebody waits.
    """

    def __init__(self, most: int, step: int, idle_s: float) -> None:
        self.last = float("-inf")
        """When a lease was last asked for."""
        self._most, self._step, self._idle_s = most, step, idle_s
        self._target = 0
        self._refill_s = _FIRST_GUESS_S
        self._asked: deque[float] = deque(maxlen=most)
        self._bound = 0
        self._bounded_until = float("-inf")

    def target(self, now: float) -> int:
        """How many spares should be there."""
        return self._target if now - self.last < self._idle_s else 0

    def ask(self, now: float, found: bool) -> None:
        """A lease was asked for, and `found` a spare ready or did not."""
        self._target, self.last = self.target(now), now
        self._asked.append(now)
        while self._asked[0] < now - self._refill_s:
            self._asked.popleft()
        if found:
            return
        if now >= self._bounded_until:
            self._bound = max(2 * self._target, self._step)
            self._bounded_until = now + self._refill_s
        self._target = max(self._target, min(len(self._asked), self._bound))

    def refilled(self, seconds: float) -> None:
        """A start took so long. One slow start (an image that was built first) says little: slowly up, fast down."""
        self._refill_s = min(seconds, self._refill_s + (seconds - self._refill_s) / 4)

    def unused(self) -> None:
        """Nobody took a spare in its time: one less."""
        self._target = max(0, self._target - 1)


class FixedDemand(Demand):
    """Always the same number of spares, once somebody has asked."""

    def __init__(self, number: int) -> None:
        super().__init__(1, 1, float("inf"))
        self._target = number

    def ask(self, now: float, found: bool) -> None:
        """A lease was asked for."""
        self.last = now

    def unused(self) -> None:
        """The number stays."""

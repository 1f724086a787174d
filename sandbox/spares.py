"""The sandboxes of one kind that a pool has ready, and the leases that wait for one.

Invariant: nobody waits while something is ready, and who waited longest is served first. Times are the event loop's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.demand import Demand
from sandbox.protocol import Image, Limits, Sandbox, SandboxError

_RETRY_S = (0.5, 60.0)
"""The first and the longest time between a failed start of a spare and the next."""


@dataclass(frozen=True)
class Key:
    """What sandboxes have in common that can stand for each other."""

    image: Image
    limits: Limits
    network: bool


@dataclass(eq=False)
class Spare:
    """A sandbox that nobody has used yet."""

    box: Sandbox
    since: float
    """When its start ended."""
    timer: asyncio.TimerHandle | None = None

    def has_ended(self) -> bool:
        """Whether its guest is known to have ended: the channel of a dead one has. Asks nobody."""
        channel = getattr(self.box, "channel", None)
        return channel is not None and bool(channel.ended)


@dataclass(eq=False)
class Kind:
    """Spares, starts and waiting leases of one key."""

    key: Key
    demand: Demand
    starting: int = 0
    ready: deque[Spare] = field(default_factory=deque)
    """The newest last. It is handed out first, so that those that nobody needs grow old and are found out."""
    waiting: deque[tuple[float, asyncio.Future[Spare]]] = field(default_factory=deque)
    proven: bool = False
    """Whether a start has ever succeeded."""
    failures: int = 0
    """Starts that failed since one succeeded."""
    pause: asyncio.TimerHandle | None = None
    """While it is there no spare is started, because the last start failed."""

    @property
    def uncovered(self) -> int:
        """How many leases wait that no start is under way for."""
        return len(self.waiting) - self.starting

    @property
    def old_s(self) -> float:
        """A spare older than this is replaced: a lease can rely on half of its time at least."""
        return self.key.limits.lease_s / 2

    def is_short(self, now: float) -> bool:
        """Whether a spare should be started. Not before the first start went well: that one may build an image."""
        there = len(self.ready) - self.uncovered
        return self.proven and not self.pause and there < self.demand.target(now)

    def is_empty(self) -> bool:
        """Whether it has nothing and nobody waits."""
        return not (self.ready or self.waiting or self.starting)

    def take(self, oldest: bool = False) -> Spare:
        """Take a spare away."""
        spare = self.ready.popleft() if oldest else self.ready.pop()
        if spare.timer:
            spare.timer.cancel()
        return spare

    def wait(self, now: float) -> asyncio.Future[Spare]:
        """What a lease waits for."""
        future: asyncio.Future[Spare] = asyncio.get_running_loop().create_future()
        self.waiting.append((now, future))
        return future

    def forget(self, future: asyncio.Future[Spare]) -> None:
        """A lease gave up."""
        self.waiting = deque(entry for entry in self.waiting if entry[1] is not future)

    def serve(self, spare: Spare) -> bool:
        """Give a spare to the lease that waits longest; False when none does."""
        while self.waiting:
            future = self.waiting.popleft()[1]
            if not future.done():
                future.set_result(spare)
                return True
        return False

    def succeeded(self, seconds: float) -> None:
        """A start ended well after so long."""
        self.demand.refilled(seconds)
        self.proven, self.failures = True, 0
        self.resume()

    def failed(self, error: Exception, retry: Callable[[], None]) -> bool:
        """A start failed: whether a lease was told, one that has nothing else to wait for.

        Spares pause, longer each time; then `retry` is called.
        """
        self.resume()
        seconds = min(_RETRY_S[0] * 2**self.failures, _RETRY_S[1])
        self.failures += 1
        self.pause = asyncio.get_running_loop().call_later(seconds, self.resume, retry)
        waiting = [future for _, future in self.waiting if not future.done()]
        if len(waiting) <= self.starting:  # starts under way are for those who came first
            return False
        future = waiting[self.starting]
        self.forget(future)
        future.set_exception(error if isinstance(error, SandboxError) else _told(self.key.image, error))
        return True

    def resume(self, then: Callable[[], None] = lambda: None) -> None:
        """Spares may be started again."""
        if self.pause:
            self.pause.cancel()
        self.pause = None
        then()

    def refuse(self, error: SandboxError) -> None:
        """Tell all who wait that they wait in vain."""
        while self.waiting:
            future = self.waiting.popleft()[1]
            if not future.done():
                future.set_exception(error)


def _told(image: Image, error: Exception) -> SandboxError:
    told = SandboxError(f"a sandbox of image {image.name} could not be started: {error or type(error).__name__}")
    told.__cause__ = error
    return told

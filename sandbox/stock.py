"""The back room of a pool: starts sandboxes, keeps spares, removes what is no longer wanted.

Invariant: at most twice `size` sandboxes exist, those that start and those that are being removed included, and at
most `starts` start at a time. Starts that leases wait for come first, in their order; whatever happens, a sandbox that
was started is either in a lease, or a spare, or being removed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from sandbox.demand import Demand, FixedDemand
from sandbox.protocol import Sandbox, SandboxBackend, SandboxError
from sandbox.spares import Key, Kind, Spare

_log = logging.getLogger(__name__)
CLOSED = "the pool is closed: open a new one"


class Stock:
    """Sandboxes of any number of kinds, on one event loop."""

    def __init__(self, backend: SandboxBackend, size: int, warm: int | None, idle_s: float, starts: int) -> None:
        self.held = 0
        """Places that leases hold; the pool keeps this number."""
        self.kinds: OrderedDict[Key, Kind] = OrderedDict()
        """The least recently used one first."""
        self.hits = self.misses = self.refills = self.failed = 0
        self.last_failure = ""
        self.closed = False
        self._backend, self._size, self._warm, self._idle_s, self._starts = backend, size, warm, idle_s, starts
        self._tasks: set[asyncio.Task[None]] = set()
        self._existing = self._starting = 0
        self._giving_way = False

    async def take(self, key: Key) -> Spare:
        """The newest spare of the kind, else the next one to be started that nobody waits longer for."""
        if self.closed:
            raise SandboxError(CLOSED)
        now, kind = _now(), self._kind(key)
        spare = self._usable(kind)
        kind.demand.ask(now, found=spare is not None)
        self.hits, self.misses = self.hits + (spare is not None), self.misses + (spare is None)
        future = None if spare else kind.wait(now)
        self._dispatch()
        if future is None:
            assert spare is not None
            return spare
        try:
            return await future
        except asyncio.CancelledError:
            self._give_up(kind, future)
            raise

    def remove(self, box: Sandbox, then: Callable[[], None] = lambda: None) -> None:
        """Stop a sandbox in the background; `then` is called when nothing is left of it."""
        self._spawn(self._remove(box, then))

    async def close(self) -> None:
        """Remove all spares, refuse those who wait, and return when nothing starts or is being removed."""
        self.closed = True
        for kind in self.kinds.values():
            kind.refuse(SandboxError(CLOSED))
            while kind.ready:
                self.remove(kind.take().box)
        while self._tasks or self.held:  # `wait` and not `gather`: a caller that gives up cancels none of them
            await (asyncio.wait(self._tasks) if self._tasks else asyncio.sleep(0))

    def _kind(self, key: Key) -> Kind:
        if key not in self.kinds:
            adaptive = self._warm is None
            demand = Demand(self._size, self._starts, self._idle_s) if adaptive else FixedDemand(self._warm or 0)
            self.kinds[key] = Kind(key, demand)
        self.kinds.move_to_end(key)
        return self.kinds[key]

    def _usable(self, kind: Kind) -> Spare | None:
        while kind.ready:
            spare = kind.take()
            if not spare.has_ended():
                return spare
            self.remove(spare.box)
        return None

    def _give_up(self, kind: Kind, future: asyncio.Future[Spare]) -> None:
        """A lease was cancelled, perhaps in the moment in which it got its sandbox, or an error."""
        kind.forget(future)
        if future.done() and not future.cancelled():
            if error := future.exception():
                self._note(kind, error)
            else:
                self._offer(kind, future.result())

    # -- starts -------------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Begin the starts that are wanted."""
        while not self.closed and self._starting < self._starts:
            kind = self._longest_waited_for() or self._short_of_spares()
            if kind is None:
                break
            self._starting, self._existing, kind.starting = self._starting + 1, self._existing + 1, kind.starting + 1
            self._spawn(self._start(kind))
        self._forget_kinds()

    def _forget_kinds(self) -> None:
        """Those that want nothing, and the least recently used ones that can have none: others have all the room."""
        now = _now()
        for kind in [kind for kind in self.kinds.values() if kind.is_empty()]:
            if len(self.kinds) > 2 * self._size or not kind.demand.target(now):
                del self.kinds[kind.key]

    def _longest_waited_for(self) -> Kind | None:
        kinds = [kind for kind in self.kinds.values() if kind.uncovered > 0]
        if not kinds or not self._room(2 * self._size, self.kinds.values()):
            return None
        return min(kinds, key=lambda kind: kind.waiting[kind.starting][0])

    def _short_of_spares(self) -> Kind | None:
        """The most recently used such kind, if it may have one more."""
        now, kinds = _now(), list(self.kinds.values())
        for place in reversed(range(len(kinds))):
            if kinds[place].is_short(now):
                if not self._room(self.held + self._size, kinds[:place]):
                    return None
                self.refills += 1
                return kinds[place]
        return None

    def _room(self, bound: int, may_give_way: Iterable[Kind]) -> bool:
        """Whether fewer than `bound` sandboxes exist. If not, a spare of the first of these kinds goes."""
        if self._existing < bound:
            return True
        giver = next((kind for kind in may_give_way if kind.ready), None)
        if giver is not None and not self._giving_way:  # one at a time: when it is gone, this is asked again
            self._giving_way = True
            self.remove(giver.take(oldest=True).box, self._gave_way)
        return False

    def _gave_way(self) -> None:
        self._giving_way = False

    async def _start(self, kind: Kind) -> None:
        began, box, failure = _now(), None, None
        image, limits, network = kind.key.image, kind.key.limits, kind.key.network
        try:
            box = await self._backend.start(image, limits, network=network)
        except Exception as error:
            failure = error
        finally:
            self._starting, kind.starting = self._starting - 1, kind.starting - 1
            self._existing -= box is None
        if box is not None:
            kind.succeeded(_now() - began)
            self._offer(kind, Spare(box, _now()))
        elif failure is not None:
            self._failed(kind, failure)
        self._dispatch()

    def _failed(self, kind: Kind, error: Exception) -> None:
        """Told to a lease, or written down; the next start of a spare has time."""
        self.failed += 1
        if not kind.failed(error, self._dispatch):
            self._note(kind, error)

    def _note(self, kind: Kind, error: BaseException) -> None:
        self.last_failure = f"{error or type(error).__name__}"
        _log.warning("a spare sandbox of image %s could not be started: %s", kind.key.image.name, self.last_failure)

    # -- spares -------------------------------------------------------------------------------------------------

    def _offer(self, kind: Kind, spare: Spare) -> None:
        """To who waits longest; else it is kept, if one more is wanted."""
        if not self.closed and kind.serve(spare):
            return
        if self.closed or len(kind.ready) >= kind.demand.target(_now()):
            self.remove(spare.box)
            return
        idle = self._warm is None and self._idle_s <= kind.old_s
        kind.ready.append(spare)
        spare.timer = asyncio.get_running_loop().call_later(
            self._idle_s if idle else kind.old_s, self._expire, kind, spare, idle
        )

    def _expire(self, kind: Kind, spare: Spare, idle: bool) -> None:
        """A spare stood unused for long, or is too old. In its place comes another if the kind was asked for since."""
        kind.ready.remove(spare)
        if idle or kind.demand.last < spare.since:
            kind.demand.unused()
        self.remove(spare.box)
        self._dispatch()

    async def _remove(self, box: Sandbox, then: Callable[[], None]) -> None:
        try:
            await box.stop()
        except Exception as error:
            _log.warning("sandbox %s could not be removed, the backend's gc will: %s", box.name, error)
        finally:
            self._existing -= 1
            then()
        self._dispatch()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _now() -> float:
    return asyncio.get_running_loop().time()

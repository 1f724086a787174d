"""Leases: a sandbox for the length of a block, as many at a time as the machine should carry, some started ahead.

Invariant: every sandbox handed out is fresh (no earlier lease had it) and is stopped when its lease ends, also when
the block raises or is cancelled; never more than `size` are leased at once.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sandbox.protocol import Image, Limits, Sandbox, SandboxBackend, SandboxError

_Kind = tuple[Image, Limits, bool]
_Spares = deque[asyncio.Task[Sandbox]]


@asynccontextmanager
async def lease(
    backend: SandboxBackend, image: Image, limits: Limits | None = None, *, network: bool = False
) -> AsyncIterator[Sandbox]:
    """A fresh sandbox that is stopped at the end of the block."""
    box = await backend.start(image, limits or Limits(), network=network)
    try:
        yield box
    finally:
        await box.stop()


class Pool:
    """At most `size` leases at a time; `warm` further sandboxes are ready for each of the images used last.

    Starting ahead pays for Docker, where a container takes a fifth of a second. Spares that were started for another
    image are stopped once `images` others have been leased since. Call `close` at the end.
    """

    def __init__(self, backend: SandboxBackend, size: int | None = None, warm: int = 0, images: int = 4) -> None:
        """`size` is by default twice the number of processors."""
        self.backend = backend
        self._free = asyncio.Semaphore(size or 2 * (os.cpu_count() or 1))
        self._warm = warm
        self._images = images
        self._spares: OrderedDict[_Kind, _Spares] = OrderedDict()
        self._closed = False

    @asynccontextmanager
    async def lease(
        self, image: Image, limits: Limits | None = None, *, network: bool = False
    ) -> AsyncIterator[Sandbox]:
        """A fresh sandbox, once there is room for one; it is stopped at the end of the block."""
        async with self._free:
            if self._closed:
                raise SandboxError("the pool is closed: open a new one")
            box = await self._take((image, limits or Limits(), network))
            try:
                yield box
            finally:
                await box.stop()

    async def close(self) -> None:
        """Stop the spares; leases in progress end as usual, new ones are refused."""
        self._closed = True
        while self._spares:
            await self._discard(self._spares.popitem()[1])

    async def _take(self, kind: _Kind) -> Sandbox:
        spares = self._spares.setdefault(kind, deque())
        self._spares.move_to_end(kind)
        spare = spares.popleft() if spares else self._start(kind)
        while len(spares) < self._warm:
            spares.append(self._start(kind))
        while len(self._spares) > self._images:
            await self._discard(self._spares.popitem(last=False)[1])
        try:
            return await asyncio.shield(spare)
        except asyncio.CancelledError:
            await self._discard(deque([spare]))
            raise

    def _start(self, kind: _Kind) -> asyncio.Task[Sandbox]:
        image, limits, network = kind
        return asyncio.create_task(self.backend.start(image, limits, network=network))

    async def _discard(self, spares: _Spares) -> None:
        """Let starts in progress finish, so that nothing half-made is left, then stop what came of them."""
        for outcome in await asyncio.gather(*spares, return_exceptions=True):
            if not isinstance(outcome, BaseException):
                await outcome.stop()

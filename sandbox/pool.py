"""Leases: a sandbox for the length of a block, as many at a time as the machine should carry, some started ahead.

Invariant: a sandbox is handed out once, never used before, and stopped when its lease ends, also when the block raises
or is cancelled. At most `size` leases hold a place at a time, each until its sandbox is removed; who asked first gets
the next place.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from sandbox.protocol import Image, Limits, Sandbox, SandboxBackend, SandboxError
from sandbox.spares import Key
from sandbox.stock import CLOSED, Stock


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


@dataclass(frozen=True)
class PoolStats:
    """What a pool did so far, and how it stands."""

    hits: int
    """Leases that found a spare ready."""
    misses: int
    """Leases that waited for a start."""
    refills: int
    """Starts of spares."""
    failed: int
    """Starts that failed."""
    waiting: int
    """Leases that wait now, for a place or for a start."""
    leased: int
    """Sandboxes in use now."""
    spares: int
    """Sandboxes that are ready now."""
    last_failure: str
    """Why the last spare that could not be started could not."""


class Pool:
    """A backend that has sandboxes ready before they are asked for. The backend below stays the caller's to close.

    `stop` of its sandboxes returns at once: they are removed in the background, and only then is their place free.
    Belongs to the event loop it is first used on.
    """

    def __init__(
        self,
        backend: SandboxBackend,
        size: int | None = None,
        warm: int | None = None,
        *,
        idle_s: float = 300.0,
        starts: int | None = None,
    ) -> None:
        """`size`: most leases at a time; by default twice the number of processors.

        `warm`: spares of each kind (image, limits, network) that are kept. None: as many as pay (`sandbox.demand`);
        one that nobody took for `idle_s` seconds goes. All kinds together have at most `size`, the least recently used
        kind gives way. `starts`: most starts at a time; by default twice the number of processors, more take longer.
        """
        if size is not None and size < 1:
            raise ValueError(f"a pool has room for at least one sandbox, not {size}")
        cores = os.cpu_count() or 1
        self.backend = backend
        self.size = size or 2 * cores
        self._places = asyncio.Semaphore(self.size)
        self._stock = Stock(backend, self.size, warm, idle_s, starts or 2 * cores)
        self._leased: set[_Leased] = set()
        self._waiting = 0

    @property
    def name(self) -> str:
        """That of the backend below."""
        return self.backend.name

    @property
    def stats(self) -> PoolStats:
        """What it did so far."""
        stock = self._stock
        spares = sum(len(kind.ready) for kind in stock.kinds.values())
        counts = (stock.hits, stock.misses, stock.refills, stock.failed)
        return PoolStats(*counts, self._waiting, len(self._leased), spares, stock.last_failure)

    @asynccontextmanager
    async def lease(
        self, image: Image, limits: Limits | None = None, *, network: bool = False
    ) -> AsyncIterator[Sandbox]:
        """A fresh sandbox, once there is a place for one; it is stopped at the end of the block."""
        async with lease(self, image, limits, network=network) as box:
            yield box

    async def start(self, image: Image, limits: Limits, *, network: bool = False) -> Sandbox:
        """A fresh sandbox, once there is a place for one; its `stop` gives the place back. Raises `SandboxError`."""
        self._waiting += 1
        try:
            await self._places.acquire()
            self._stock.held += 1
            try:
                spare = await self._stock.take(Key(image, limits, network))
            except BaseException:
                self._free_place()
                raise
        finally:
            self._waiting -= 1
        leased = _Leased(spare.box, self._end)
        self._leased.add(leased)
        if self._stock.closed:  # between its start and now
            await leased.stop()
            raise SandboxError(CLOSED)
        return cast(Sandbox, leased)

    async def alive(self) -> list[str]:
        """Names of the sandboxes of the backend below, whoever started them."""
        return await self.backend.alive()

    async def gc(self) -> list[str]:
        """Remove the sandboxes whose owner process is gone; their names."""
        return await self.backend.gc()

    async def close(self) -> None:
        """Stop all sandboxes that this pool started, those in use too, and wait until they are gone."""
        self._stock.closed = True
        for leased in list(self._leased):
            await leased.stop()
        await self._stock.close()

    def _end(self, leased: _Leased) -> None:
        self._leased.discard(leased)
        self._stock.remove(leased.box, self._free_place)

    def _free_place(self) -> None:
        self._stock.held -= 1
        self._places.release()


class _Leased:
    """A sandbox in use: all its own but `stop`."""

    def __init__(self, box: Sandbox, end: Callable[[_Leased], None]) -> None:
        self.box = box
        self._end: Callable[[_Leased], None] | None = end

    def __getattr__(self, name: str) -> Any:
        return getattr(self.box, name)

    async def stop(self) -> None:
        """End it, and give its place back when it is gone. Returns at once."""
        end, self._end = self._end, None
        if end is not None:
            end(self)

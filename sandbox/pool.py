"""Leases: a sandbox for the length of a block, and as many at a time as the machine should carry.

Invariant: every sandbox handed out is fresh (never used by a former lease) and is stopped when its lease ends, also
when the block raises or is cancelled; never more than `size` are leased at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sandbox.protocol import Image, Limits, Sandbox, SandboxBackend


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
    """At most `size` leases at a time; further ones wait their turn."""

    def __init__(self, backend: SandboxBackend, size: int | None = None) -> None:
        """`size` is by default twice the number of processors."""
        self.backend = backend
        self._free = asyncio.Semaphore(size or 2 * (os.cpu_count() or 1))

    @asynccontextmanager
    async def lease(
        self, image: Image, limits: Limits | None = None, *, network: bool = False
    ) -> AsyncIterator[Sandbox]:
        """As `lease`, once there is room."""
        async with self._free, lease(self.backend, image, limits, network=network) as box:
            yield box

"""A gate before an engine: weights change between turns, while episodes go on.

Invariant: no turn is being sampled while the weights change; who asks meanwhile waits, and is served with the new ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agents.protocol import Completion, Engine, Sampling


class Gate:
    """An engine whose weights may be published while episodes are played. See `Engine`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._inside = 0
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def version(self) -> int:
        """As the engine says."""
        return self._engine.version

    @property
    def max_context(self) -> int:
        """As the engine says."""
        return self._engine.max_context

    async def generate(self, session: str, token_ids: list[int], sampling: Sampling) -> Completion:
        """What the engine answers, once the gate is open."""
        await self._open.wait()
        self._inside += 1
        self._empty.clear()
        try:
            return await self._engine.generate(session, token_ids, sampling)
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    async def close_session(self, session: str) -> None:
        """Pass it on."""
        await self._engine.close_session(session)

    def update_weights(self, version: int) -> None:
        """Pass it on: nobody may be inside."""
        self._engine.update_weights(version)

    async def publish(self, version: int, update: Callable[[int], None] | None = None) -> None:
        """Let those inside finish their turn, change the weights (by `update`), and let the others in."""
        self._open.clear()
        try:
            await self._empty.wait()
            (update or self._engine.update_weights)(version)
        finally:
            self._open.set()

"""One run for each different question.

Invariant: equal questions get equal answers, also when they are asked at the same time or again and again: nobody gets
a better verdict by asking often. A failure is no answer; the next who asks has it tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Answers by key, `concurrency` runs at a time. Belongs to one event loop."""

    def __init__(self, concurrency: int) -> None:
        self._slots = asyncio.Semaphore(concurrency)
        self._answers: dict[str, T] = {}
        self._running: dict[str, asyncio.Task[T]] = {}

    async def answer(self, key: str, run: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer to `key`; a run that was asked for goes on if its asker is cancelled."""
        if key in self._answers:
            return self._answers[key]
        if key not in self._running:
            task = self._running[key] = asyncio.create_task(self._run(key, run))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # its asker may be gone
        return await asyncio.shield(self._running[key])

    async def _run(self, key: str, run: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            async with self._slots:
                self._answers[key] = await run()
            return self._answers[key]
        finally:
            del self._running[key]

    async def close(self) -> None:
        """Give up what is under way, and wait until it is over."""
        running = list(self._running.values())
        for run in running:
            run.cancel()
        await asyncio.gather(*running, return_exceptions=True)

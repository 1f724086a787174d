"""Starts that are cancelled half-way.

Invariant: a start that was begun is finished, and what came of it is stopped when nobody wants it any more, however
often the waiting is cancelled: nothing half-made is left.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from sandbox.client import GuestSandbox


async def whole_start(start: Coroutine[Any, Any, GuestSandbox]) -> GuestSandbox:
    """Await the start of a sandbox; when cancelled, let it finish and stop what came of it: nothing is half-made."""
    starting = asyncio.create_task(start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _finished(starting)
        if not starting.cancelled() and starting.exception() is None:
            await _finished(asyncio.create_task(starting.result().stop()))
        raise


async def _finished(task: asyncio.Task[Any]) -> None:
    """Wait for a task, however often the waiting is cancelled. What it raises is not raised here."""
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])

"""One background event loop for callers that are not asynchronous (a Gymnasium environment, a notebook).

Invariant: everything that goes through `run_sync` runs on the same loop for the life of the process, so sandboxes
and backends opened by one call can be used by the next, from any thread.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_owner = 0


def run_sync(coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine on the background loop and wait for its result.

    Interrupting the wait (Ctrl-C) cancels it. Raises `RuntimeError` when called from the background loop itself.
    """
    loop = _background_loop()
    try:
        current: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        current = None
    if current is loop:
        coroutine.close()
        raise RuntimeError("run_sync would wait for itself: await the coroutine instead")
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _background_loop() -> asyncio.AbstractEventLoop:
    """The loop of this process; after a fork the child gets a new one, as threads do not survive it."""
    global _loop, _owner  # noqa: PLW0603
    with _lock:
        if _loop is None or _owner != os.getpid():
            _loop = asyncio.new_event_loop()
            _owner = os.getpid()
            threading.Thread(target=_loop.run_forever, name="sandbox-loop", daemon=True).start()
        return _loop

"""Playing ahead: later iterations are played while an earlier one is learned from.

Invariant: iterations are learned from in their order, each by the weights that the one before led to; what is learned
from began to be played at most `ahead` versions earlier. With `ahead` 0 nothing overlaps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def overlap(
    first: int,
    last: int,
    play: Callable[[int], Awaitable[T]],
    learn: Callable[[int, T], Awaitable[bool]],
    *,
    ahead: int = 0,
) -> None:
    """Go through the iterations from `first` to before `last`, or until `learn`, which publishes, says no more.

    What still plays when this ends, however it ends, is cancelled and waited for.
    """
    playing: dict[int, asyncio.Task[T]] = {}
    try:
        for iteration in range(first, last):
            for later in range(iteration, min(iteration + ahead + 1, last)):
                if later not in playing:
                    playing[later] = asyncio.ensure_future(play(later))
            if not await learn(iteration, await playing.pop(iteration)):
                break
    finally:
        for task in playing.values():
            task.cancel()
        await asyncio.gather(*playing.values(), return_exceptions=True)

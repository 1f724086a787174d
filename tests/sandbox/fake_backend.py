"""A backend without sandboxes that keeps count, for tests of what stands before a backend."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from types import SimpleNamespace

from sandbox import Image, Limits


class FakeBox:
    def __init__(self, backend: FakeBackend, image: Image, limits: Limits, network: bool) -> None:
        self.name = f"fake-{next(backend.numbers)}"
        self.kind = (image, limits, network)
        self.channel = SimpleNamespace(ended=False)
        self._backend = backend

    async def run(self, command: str) -> str:
        assert self in self._backend.living, "used after its end"
        return command

    async def stop(self) -> None:
        if self in self._backend.living:
            self._backend.stopping += 1
            await asyncio.sleep(self._backend.stop_s)
            self._backend.stopping -= 1
            self._backend.living.discard(self)
            self._backend.stopped += 1
            if self._backend.stop_error:
                raise self._backend.stop_error


class FakeBackend:
    name = "fake"

    def __init__(self, start_s: float = 0.2, stop_s: float = 0.1) -> None:
        self.start_s, self.stop_s = start_s, stop_s
        self.errors: deque[Exception | None] = deque()
        self.stop_error: Exception | None = None
        self.numbers = itertools.count()
        self.living: set[FakeBox] = set()
        self.asked = self.started = self.stopped = self.starting = self.stopping = self.most_starting = self.most = 0

    async def start(self, image: Image, limits: Limits, *, network: bool = False) -> FakeBox:
        self.asked += 1
        self.starting += 1
        self.most_starting = max(self.most_starting, self.starting)
        self.most = max(self.most, len(self.living) + self.starting)
        error = self.errors.popleft() if self.errors else None
        try:
            await asyncio.sleep(self.start_s)
            if error:
                raise error
        finally:
            self.starting -= 1
        box = FakeBox(self, image, limits, network)
        self.started += 1
        self.living.add(box)
        return box

    async def alive(self) -> list[str]:
        return sorted(box.name for box in self.living)

    async def gc(self) -> list[str]:
        return []

    async def close(self) -> None:
        raise AssertionError("the pool does not own it")

"""The remote backend: sandboxes of the services it is given, each lease where most is free.

Invariant: a start fails for want of a service only when every one of them has just been asked, and then tells why for
each. What fails on the way is a `SandboxError`, never an answer of the sandbox.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sandbox.home import home
from sandbox.protocol import BackendUnavailable, Image, Limits, Sandbox, SandboxError
from sandbox.remote.channel import RemoteSandbox
from sandbox.remote.service import Full, Service, Unreachable
from sandbox.tree_archive import image_survey
from sandbox.wire import StartRequest

REST_S = 10.0
"""How long a service that did not answer is left alone while another does, seconds."""

START_S = 1800.0
"""How long a start may take, seconds: a place has to become free, and an image may have to be built."""
WAIT_S = 2.0
"""How long to wait for a place at one of several services before looking again where there is one, seconds."""


class RemoteBackend:
    """Starts sandboxes at sandbox services. Belongs to the event loop it is first used on."""

    def __init__(self, services: Sequence[str], token: str | None = None) -> None:
        """Raises `ValueError` for an address that is none."""
        if not services:
            raise ValueError("the remote backend needs the address of at least one sandbox service")
        self._services = [Service(address, token) for address in dict.fromkeys(services)]
        self._resting: dict[Service, float] = {}
        self._reasons: dict[Service, str] = {}
        self._digests: dict[tuple[str, Path], str] = {}
        self._digesting = asyncio.Lock()
        self._running: set[RemoteSandbox] = set()

    @property
    def name(self) -> str:
        """`remote`."""
        return "remote"

    async def check(self) -> None:
        """Raises `BackendUnavailable` when no service answers."""
        await self._ask(self._services)

    async def start(self, image: Image, limits: Limits, *, network: bool = False) -> Sandbox:
        """A fresh sandbox at the service with the most room. Waits for room where all are full."""
        if image.reference:  # its tree is not looked at, but a request names one
            empty = home() / "empty"
            empty.mkdir(mode=0o755, exist_ok=True)
            image = dataclasses.replace(image, tree=empty)
        request = StartRequest.of(image, await self._digest(image), limits, network)
        try:
            async with asyncio.timeout(START_S):
                box = await self._start(image, request)
        except TimeoutError as error:
            raise SandboxError(f"no sandbox service had a place for {START_S:.0f} s: raise their --size") from error
        self._running = {other for other in self._running if not other.stopped} | {box}
        return box

    async def _start(self, image: Image, request: StartRequest) -> RemoteSandbox:
        failed: set[Service] = set()
        while True:
            service, patience = await self._choose(failed)
            service.starting += 1
            try:
                return await service.lease(image, dataclasses.replace(request, patience_s=patience))
            except Full:
                continue
            except Unreachable as error:
                self._rest(service, error)
                failed.add(service)
            finally:
                service.starting -= 1

    async def alive(self) -> list[str]:
        """Names of the sandboxes leased at all services that answer, whoever leased them."""
        statuses = await self._ask(self._services)
        return sorted(name for status in statuses.values() for name in status["sandboxes"])

    async def gc(self) -> list[str]:
        """Nothing: a service ends the sandboxes of clients that are gone by itself."""
        return []

    async def close(self) -> None:
        """Stop all sandboxes that this object started, and close its connections."""
        await asyncio.gather(*(box.stop() for box in self._running))
        await asyncio.gather(*(service.close() for service in self._services))

    async def _choose(self, failed: set[Service]) -> tuple[Service, float]:
        """The service with the most room, and how long to wait for it: not long, where room may come elsewhere."""
        left = [service for service in self._services if service not in failed]
        now = time.monotonic()
        ready = [service for service in left if self._resting.get(service, now) <= now] or left
        if len(self._services) == 1 and left:
            return left[0], START_S
        try:
            statuses = await self._ask(ready)
        except BackendUnavailable:
            if len(ready) == len(left):
                raise
            statuses = await self._ask([service for service in left if service not in ready])
        room = {service: status["free"] - service.starting for service, status in statuses.items()}
        best = max(room, key=room.__getitem__)
        return best, 0.0 if statuses[best]["free"] > 0 else WAIT_S

    async def _ask(self, services: Iterable[Service]) -> dict[Service, dict[str, Any]]:
        """The status of those that answer. Raises `BackendUnavailable` when none does."""
        asked = list(services)
        answers = await asyncio.gather(*(service.status() for service in asked), return_exceptions=True)
        statuses = {}
        for service, answer in zip(asked, answers, strict=True):
            if isinstance(answer, dict):
                statuses[service] = answer
                self._resting.pop(service, None)
            elif isinstance(answer, Unreachable):
                self._rest(service, answer)
            else:
                raise answer
        if not statuses:
            reasons = "; ".join(f"{service.address}: {self._reasons[service]}" for service in self._services)
            raise BackendUnavailable(f"no sandbox service can be used ({reasons})")
        return statuses

    def _rest(self, service: Service, error: Unreachable) -> None:
        self._resting[service] = time.monotonic() + REST_S
        self._reasons[service] = str(error)

    async def _digest(self, image: Image) -> str:
        """Of the image's tree, computed once: equal names mean equal contents."""
        async with self._digesting:
            key = (image.name, image.tree)
            if key not in self._digests:
                self._digests[key] = (await asyncio.to_thread(image_survey, image)).digest
            return self._digests[key]

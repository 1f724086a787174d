"""The service's door: who may come in, and what it says about itself.

Invariant: without the token nothing is served but the health check.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import MultipleValuesError
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from sandbox.home import home
from sandbox.protocol import SandboxBackend, SandboxError
from sandbox.service.lease import House, Lease
from sandbox.service.tree_store import TreeStore
from sandbox.wire import HEALTH, LEASE, STATUS, WATCH


class Service:
    """Answers requests and connections."""

    def __init__(self, backend: SandboxBackend, size: int, token: str | None) -> None:
        self.house = House(backend, size, TreeStore(home() / "service-trees"))
        self._token = token
        self._health = asyncio.Lock()
        self._healthy_until = 0.0

    def status(self) -> dict[str, Any]:
        """What `/status` tells. `free` is negative when connections wait for a sandbox."""
        house = self.house
        return {
            "backend": house.backend.name,
            "size": house.size,
            "leased": len(house.sandboxes),
            "free": house.free,
            "sandboxes": sorted(house.sandboxes),
        }

    async def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to a plain request; None lets a WebSocket connection through."""
        if request.path == HEALTH:
            healthy = await self._is_healthy()
            return connection.respond(HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE, f"{healthy}\n")
        if not self._may_enter(request):
            return connection.respond(HTTPStatus.UNAUTHORIZED, "")
        if request.path == STATUS:
            response = connection.respond(HTTPStatus.OK, json.dumps(self.status()) + "\n")
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = "application/json"
            return response
        return None if request.path in (LEASE, WATCH) else connection.respond(HTTPStatus.NOT_FOUND, "")

    def _may_enter(self, request: Request) -> bool:
        if self._token is None:
            return True
        try:
            given = request.headers.get("Authorization", "")
        except MultipleValuesError:
            return False
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), f"Bearer {self._token}".encode())

    async def _is_healthy(self) -> bool:
        """Whether the backend answers. Asked at most once a second: anybody may ask this."""
        loop = asyncio.get_running_loop()
        async with self._health:
            if loop.time() >= self._healthy_until:
                try:
                    await self.house.backend.alive()
                except (SandboxError, OSError):
                    return False
                self._healthy_until = loop.time() + 1.0
            return True

    async def handle(self, connection: ServerConnection) -> None:
        """Serve one connection to its end."""
        assert connection.request is not None
        if connection.request.path == WATCH:
            with contextlib.suppress(ConnectionClosed):
                async for _ in connection:
                    await connection.send(json.dumps(self.status()))
            return
        self.house.asked += 1
        try:
            await Lease(connection, self.house).serve()
        finally:
            self.house.asked -= 1

"""The service's door: who may come in, what it says about itself, and its orderly end.

Invariant: without the token nothing is served but the health check, and nothing is listened to beyond loopback when
there is no token. When `run` has returned every sandbox that the service started is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import MultipleValuesError
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from sandbox.backends import open_backend
from sandbox.home import home
from sandbox.pool import Pool
from sandbox.protocol import BackendOptions, SandboxBackend, SandboxError
from sandbox.service.lease import Lease
from sandbox.service.options import ServiceOptions
from sandbox.service.tree_store import TreeStore
from sandbox.wire import CONNECTION, HEALTH, LEASE, STATUS, WATCH

REAP_S = 60.0
"""How often what dead owners left is removed, seconds."""


class Service:
    """Answers requests and connections."""

    def __init__(self, backend: SandboxBackend, size: int, token: str | None) -> None:
        self._backend = backend
        self._size = size
        self._token = token
        self.pool = Pool(backend, size=size)
        self._trees = TreeStore(home() / "service-trees")
        self._sandboxes: set[str] = set()
        self._asked = 0
        self._health = asyncio.Lock()
        self._healthy_until = 0.0

    def status(self) -> dict[str, Any]:
        """What `/status` tells. `free` is negative when connections wait for a sandbox."""
        return {
            "backend": self._backend.name,
            "size": self._size,
            "leased": len(self._sandboxes),
            "free": self._free(),
            "sandboxes": sorted(self._sandboxes),
        }

    def _free(self) -> int:
        return self._size - self._asked

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
                    await self._backend.alive()
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
        self._asked += 1
        try:
            await Lease(connection, self.pool, self._trees, self._sandboxes, self._free).serve()
        finally:
            self._asked -= 1


async def run(options: ServiceOptions) -> None:
    """Serve until SIGTERM or SIGINT. Raises `SandboxError` when it cannot begin."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    backend = await open_backend(options.backend, BackendOptions(docker_base=options.docker_base))
    try:
        service = Service(backend, options.size, options.token)
        server = await _listen(service, options)
        async with _reaping(backend):
            port = next(iter(server.sockets)).getsockname()[1]
            _say(f"{options.size} {backend.name} sandboxes at most, at http://{options.host}:{port}")
            await ending.wait()
            server.close(reason="the service ends")
            await server.wait_closed()
        await service.pool.close()
    finally:
        await backend.close()


async def _listen(service: Service, options: ServiceOptions) -> Server:
    logger = logging.getLogger("sandbox.service.connections")
    logger.setLevel(logging.CRITICAL)  # strangers at the door and lost connections are no errors of the service
    try:
        return await serve(
            service.handle,
            options.host,
            options.port,
            process_request=service.admit,
            origins=[None],  # never a page in somebody's browser
            logger=logger,
            server_header=None,
            **CONNECTION,
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise SandboxError(f"the service cannot listen on {options.host}, port {options.port}: {reason}") from error


@contextlib.asynccontextmanager
async def _reaping(backend: SandboxBackend) -> AsyncIterator[None]:
    """Remove what dead owners left, now and every minute while the block runs."""

    async def reap() -> None:
        while True:
            try:
                if removed := await backend.gc():
                    _say(f"removed {len(removed)} sandboxes of dead owners")
            except (SandboxError, OSError) as error:
                _say(f"sandboxes of dead owners could not be removed: {error}")
            await asyncio.sleep(REAP_S)

    reaper = asyncio.create_task(reap())
    try:
        yield
    finally:
        reaper.cancel()
        await asyncio.wait([reaper])


def _say(text: str) -> None:
    print(f"sandbox service (process {os.getpid()}): {text}", file=sys.stderr, flush=True)

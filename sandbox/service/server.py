"""The service's process: it opens its backend and its door, and ends both in order.

Invariant: when `run` has returned every sandbox that the service started is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator

from websockets.asyncio.server import Server, serve

from sandbox.backends import open_backend
from sandbox.protocol import BackendOptions, SandboxBackend, SandboxError
from sandbox.service.door import Service
from sandbox.service.options import ServiceOptions
from sandbox.wire import CONNECTION

REAP_S = 60.0
"""How often what dead owners left is removed, seconds."""


async def run(options: ServiceOptions) -> None:
    """Serve until SIGTERM or SIGINT. Raises `SandboxError` when it cannot begin."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    backend = await open_backend(options.backend, BackendOptions(docker_base=options.docker_base))
    try:
        service = Service(backend, options.size, options.token)
        server = await listen(service, options)
        async with _reaping(backend):
            port = next(iter(server.sockets)).getsockname()[1]
            _say(f"{options.size} {backend.name} sandboxes at most, at http://{options.host}:{port}")
            await ending.wait()
            server.close(reason="the service ends")
            await server.wait_closed()
        await service.house.pool.close()
    finally:
        await backend.close()


async def listen(service: Service, options: ServiceOptions) -> Server:
    """Open the door. Raises `SandboxError` where it cannot be."""
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

"""A WebSocket connection as the channel that `GuestSandbox` speaks through.

Invariant: when the connection ends, whoever waits for an answer learns it at once, and learns whether the sandbox has
ended or only the way to it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from sandbox.channel import Channel
from sandbox.client import GuestSandbox
from sandbox.protocol import Limits, SandboxError
from sandbox.wire import CHUNK, GUEST_ENDED, STOP

_STOP_S = 30.0


class ConnectionLost(SandboxError):
    """The service or the way to it failed. The service ends the sandbox."""


class WebSocketChannel(Channel):
    """The guest's frames, as binary messages in both directions."""

    def __init__(self, connection: ClientConnection, address: str) -> None:
        super().__init__(self._keep, self._hang_up)
        self._connection = connection
        self._address = address
        self._unsent: list[bytes] = []
        self._sending = asyncio.Lock()
        self._pump = asyncio.create_task(self._receive())
        self._ending: asyncio.Task[None] | None = None

    @property
    def lost(self) -> str:
        """How the connection was lost; empty when it was not, or ended as it should."""
        code = self._connection.close_code
        if code is None or code == GUEST_ENDED or self._ending is not None:
            return ""
        reason = self._connection.close_reason or f"code {code}"
        return (
            f"the connection to the sandbox service {self._address} was lost ({reason}): a failure of the "
            "infrastructure, not of what ran in the sandbox"
        )

    def _keep(self, data: bytes) -> None:
        self._unsent.append(data)

    async def drain(self) -> None:
        """Send what was written, whole frames one after the other."""
        try:
            async with self._sending:
                data = b"".join(self._unsent)
                self._unsent.clear()
                for start in range(0, len(data), CHUNK):
                    await self._connection.send(data[start : start + CHUNK])
        except ConnectionClosed as error:
            raise ConnectionResetError("the connection has ended") from error

    def _hang_up(self) -> None:
        """Begin to end the lease."""
        if self._ending is None:
            self._ending = asyncio.create_task(hang_up(self._connection))

    async def stop(self) -> None:
        """Return when nothing is left of the sandbox, or when its service does not answer any more."""
        self.close()
        assert self._ending is not None
        await asyncio.wait([self._ending, self._pump])

    async def _receive(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.feed(await self._connection.recv(decode=False))
        self.end()


class RemoteSandbox(GuestSandbox):
    """The sandbox at the other end of a connection on which its lease has started."""

    def __init__(self, name: str, limits: Limits, channel: WebSocketChannel) -> None:
        super().__init__(name, limits, channel, channel.stop)
        self._way = channel

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called and has done its work."""
        return self._stopping is not None and self._stopping.done()

    async def _exchange(
        self, request: dict[str, Any], body: bytes, patience: float, more: Sequence[bytes] = ()
    ) -> tuple[dict[str, Any], bytes]:
        try:
            return await super()._exchange(request, body, patience, more)
        except SandboxError as error:
            if lost := self._way.lost:
                self._broken = lost
                raise ConnectionLost(f"sandbox {self.name}: {lost}") from error
            raise


async def hang_up(connection: ClientConnection) -> None:
    """End the lease and wait for the service to say that nothing is left of it."""
    try:
        async with asyncio.timeout(_STOP_S):
            await connection.send(STOP)
            await connection.wait_closed()
    except (ConnectionClosed, TimeoutError):  # the service ends the sandbox when it sees that the connection is gone
        await connection.close()

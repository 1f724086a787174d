"""One sandbox service as a client sees it.

Invariant: a lease that was not handed out is given back, also when its start was cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.protocol import State

from sandbox.protocol import Image, SandboxError
from sandbox.remote.channel import RemoteSandbox, WebSocketChannel, hang_up
from sandbox.tree_archive import pack
from sandbox.wire import CHUNK, CONNECTION, LEASE, PORT, TOKEN_VARIABLE, WATCH, StartRequest

_ANSWER_S = 5.0
"""How long a service may take to answer the door and to tell its status."""
_SCHEMES = {"http": "ws", "ws": "ws", "https": "wss", "wss": "wss"}


class Full(Exception):
    """No place became free in time."""


class Unreachable(SandboxError):
    """The service does not answer, or does not let this client in. The message is the reason alone."""


class Service:
    """Asks for its status and for leases."""

    def __init__(self, address: str, token: str | None) -> None:
        self.address = address
        self.starting = 0
        """Starts of this client that are under way here."""
        self._url = websocket_url(address)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._watch: ClientConnection | None = None
        self._asking = asyncio.Lock()
        self._sent: set[str] = set()
        self._sending: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def status(self) -> dict[str, Any]:
        """Free and leased sandboxes, over a connection that stays open. Raises `Unreachable`."""
        async with self._asking:
            if self._watch is None or self._watch.state is not State.OPEN:
                self._watch = await self._connect(WATCH)
            try:
                async with asyncio.timeout(_ANSWER_S):
                    await self._watch.send("")
                    status: dict[str, Any] = json.loads(await self._watch.recv())
                    return status
            except (ConnectionClosed, TimeoutError) as error:
                watch, self._watch = self._watch, None
                watch.transport.abort()
                raise Unreachable("it does not answer any more") from error

    async def lease(self, image: Image, request: StartRequest) -> RemoteSandbox:
        """Start a sandbox, sending the image's tree if need be. Raises `Unreachable`, `Full`, `SandboxError`."""
        connection = await self._connect(LEASE)
        try:
            await connection.send(request.text())
            name = await self._started(connection, image, request.digest)
            return RemoteSandbox(name, request.limits, WebSocketChannel(connection, self.address))
        except BaseException as error:
            await asyncio.shield(asyncio.create_task(hang_up(connection)))
            if isinstance(error, ConnectionClosed):
                raise Unreachable(f"it ended the connection ({error.rcvd.reason if error.rcvd else 'lost'})") from error
            raise

    async def _started(self, connection: ClientConnection, image: Image, digest: str) -> str:
        """The sandbox's name."""
        answer = json.loads(await connection.recv())
        again = False
        while "started" not in answer:
            if "refused" in answer:
                raise SandboxError(f"the sandbox service {self.address} refused: {answer['refused']}")
            if "full" in answer:
                raise Full
            if "need" in answer:
                answer = await self._send_tree(connection, image, digest, again)
                again = True
            else:
                answer = json.loads(await connection.recv())
        return str(answer["started"])

    async def _send_tree(self, connection: ClientConnection, image: Image, digest: str, again: bool) -> dict[str, Any]:
        """Of several starts that need a tree at once one sends it, and the others only ask anew. The answer."""
        async with self._sending[digest]:
            with contextlib.suppress(ConnectionClosed):  # when it was refused: the reason can be received
                if again or digest not in self._sent:
                    await _send_archive(connection, image.tree)
                await connection.send(json.dumps({"end": digest}))
            answer: dict[str, Any] = json.loads(await connection.recv())
            if "have" in answer:
                self._sent.add(digest)
            return answer

    async def close(self) -> None:
        """Close the connection that asks for the status."""
        if self._watch is not None:
            await self._watch.close()
            self._watch = None

    async def _connect(self, path: str) -> ClientConnection:
        try:
            return await connect(
                self._url + path,
                additional_headers=self._headers,
                open_timeout=_ANSWER_S,
                proxy=None,  # a service is spoken to directly
                **CONNECTION,
            )
        except InvalidStatus as error:
            raise Unreachable(_status_reason(error.response.status_code)) from error
        except InvalidHandshake as error:
            raise Unreachable("it does not speak WebSocket: is it a sandbox service?") from error
        except TimeoutError as error:
            raise Unreachable(f"no answer within {_ANSWER_S:.0f} s") from error
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
            raise Unreachable(reason) from error


async def _send_archive(connection: ClientConnection, tree: Path) -> None:
    with tempfile.TemporaryFile() as archive:
        await asyncio.to_thread(pack, tree, archive)
        archive.seek(0)
        while chunk := await asyncio.to_thread(archive.read, CHUNK):
            await connection.send(chunk)


def _status_reason(status: int) -> str:
    if status == 401:
        return f"it refused the token: set {TOKEN_VARIABLE} (or BackendOptions.token) to the service's token"
    return f"it answers with status {status}: is it a sandbox service?"


def websocket_url(address: str) -> str:
    """`http://`, `https://`, `ws://` or `wss://`, or a bare HOST or HOST:PORT. Raises `ValueError`."""
    wrong = f"{address!r} is no address of a sandbox service: give one such as http://HOST:{PORT}"
    parts = urlsplit(address if "://" in address else f"http://{address}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(wrong) from None
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(wrong)
    if port is None and "://" not in address:
        port = PORT
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{_SCHEMES[parts.scheme]}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"

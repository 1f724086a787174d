"""The Docker engine's HTTP API over its unix socket, as far as sandboxes need it.

Invariant: every answer is either what was asked for or an `EngineError` with the engine's own words; a connection is
used for one request and then closed, except one that was turned into a stream by `attach`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote, urlencode

from sandbox.channel import Channel
from sandbox.protocol import BackendUnavailable, SandboxError

_VERSION = "v1.41"  # engine 20.10 and newer
_STREAM = struct.Struct(">BxxxI")
_LIMIT = 1 << 20
_PATIENCE_S = 120.0
"""Of requests that no build or download stands behind."""
Query = dict[str, str | int | bool]


class EngineError(SandboxError):
    """The engine refused a request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"the Docker engine refused: {message} (status {status})")
        self.status = status


class Engine:
    """Requests to one engine."""

    def __init__(self, socket_path: str) -> None:
        self.socket_path = socket_path
        self._pumps: set[asyncio.Task[None]] = set()

    async def json(self, method: str, path: str, query: Query | None = None, body: Any = None) -> Any:
        """Send a request with a JSON body, return the decoded answer (None when empty). Raises `EngineError`."""
        payload = b"" if body is None else json.dumps(body).encode()
        with _understood(f"{method} {path}"):
            async with asyncio.timeout(_PATIENCE_S):
                reader, writer = await self._request(method, path, query, "application/json", payload)
                with contextlib.closing(writer):
                    text = b"".join([chunk async for chunk in _body(*await _head(reader), reader)])
            return json.loads(text) if text.strip() else None

    async def progress(
        self, path: str, query: Query, body: bytes | AsyncIterator[bytes] = b""
    ) -> AsyncIterator[dict[str, Any]]:
        """POST a tar archive (or nothing) and yield the engine's progress messages. Raises `EngineError`."""
        with _understood(f"POST {path}"):
            reader, writer = await self._request("POST", path, query, "application/x-tar", body)
        with _understood(f"POST {path}"), contextlib.closing(writer):
            pending = b""
            async for chunk in _body(*await _head(reader), reader):
                *lines, pending = (pending + chunk).split(b"\n")
                for line in filter(None, map(bytes.strip, lines)):
                    message: dict[str, Any] = json.loads(line)
                    if "error" in message:
                        raise EngineError(500, message["error"].strip())
                    yield message

    async def attach(self, container: str) -> Channel:
        """A container's standard input and output as a channel (its standard error is dropped)."""
        query: Query = {"stream": 1, "stdin": 1, "stdout": 1, "stderr": 1}
        with _understood(f"attach {container}"):
            reader, writer = await self._request("POST", f"/containers/{container}/attach", query, "", b"", "tcp")
            await _head(reader)
        channel = Channel(writer.write, writer.close)
        pump = asyncio.create_task(_demultiplex(reader, channel))
        self._pumps.add(pump)  # the loop itself holds tasks weakly
        pump.add_done_callback(self._pumps.discard)
        return channel

    async def _request(
        self,
        method: str,
        path: str,
        query: Query | None,
        kind: str,
        body: bytes | AsyncIterator[bytes],
        upgrade: str = "",
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket_path, limit=_LIMIT)
        except OSError as error:
            raise BackendUnavailable(
                f"no Docker engine answers at {self.socket_path} ({error.strerror}): start dockerd, "
                "set DOCKER_HOST, or choose the local backend"
            ) from error
        target = f"/{_VERSION}{quote(path)}" + (f"?{urlencode(query)}" if query else "")
        lines = [f"{method} {target} HTTP/1.1", "Host: docker"]
        lines += [f"Connection: Upgrade\r\nUpgrade: {upgrade}"] if upgrade else ["Connection: close"]
        if isinstance(body, bytes):
            writer.write(_headers(lines, f"Content-Length: {len(body)}", kind) + body)
        else:
            writer.write(_headers(lines, "Transfer-Encoding: chunked", kind))
            async for chunk in body:
                writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return reader, writer


@contextlib.contextmanager
def _understood(request: str) -> Iterator[None]:
    """Whatever an engine that is ending, restarting or hanging does is a `SandboxError`."""
    try:
        yield
    except SandboxError:
        raise
    except TimeoutError as error:
        raise SandboxError(f"the Docker engine did not answer {request} within {_PATIENCE_S:.0f} s") from error
    except (OSError, EOFError, ValueError, LookupError) as error:
        raise SandboxError(f"the Docker engine broke off {request}: {error or type(error).__name__}") from error


def engine_socket() -> str:
    """Where the engine listens: `DOCKER_HOST` (unix sockets only), else the usual place."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not host.startswith("unix://"):
        raise BackendUnavailable(f"DOCKER_HOST is {host}: only unix:// sockets are supported, give one of those")
    return host.removeprefix("unix://")


def _headers(lines: list[str], length: str, kind: str) -> bytes:
    return "\r\n".join([*lines, length, *([f"Content-Type: {kind}"] if kind else []), "", ""]).encode()


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers; raises `EngineError` for a status of 400 or more."""
    status = int((await reader.readline()).split()[1])
    headers = {}
    while line := (await reader.readline()).strip():
        key, _, value = line.decode().partition(":")
        headers[key.lower()] = value.strip()
    if status >= 400:
        text = b"".join([chunk async for chunk in _body(status, headers, reader)]).decode(errors="replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            text = json.loads(text)["message"]
        raise EngineError(status, text.strip())
    return status, headers


async def _body(status: int, headers: dict[str, str], reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    if status in (204, 304):
        return
    if headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).split(b";")[0] or b"0", 16):
            yield await reader.readexactly(size)
            await reader.readline()
    elif "content-length" in headers:
        yield await reader.readexactly(int(headers["content-length"]))
    else:
        while chunk := await reader.read(_LIMIT):
            yield chunk


async def _demultiplex(reader: asyncio.StreamReader, channel: Channel) -> None:
    """Unpack the engine's framing of standard output and error; the channel ends when the container is gone."""
    try:
        while True:
            stream, size = _STREAM.unpack(await reader.readexactly(_STREAM.size))
            data = await reader.readexactly(size)
            if stream == 1:
                channel.feed(data)
    except (asyncio.IncompleteReadError, OSError):
        channel.end()

"""Frames between the owner of a sandbox and its guest, over whatever carries bytes.

Invariant: nothing that a guest sends is taken for more than it is: frames answer requests one by one, in order, and one
of impossible size ends the channel.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

from sandbox.guest.frames import FRAME

_BUFFER = 1 << 16
_MAX_HEADER = 64 << 20
_MAX_BODY = 512 << 20
_MOST_RELAYED = 4 << 20


def packed(header: dict[str, Any], body: bytes = b"") -> bytes:
    """A frame. Raises `TypeError` for what JSON has no word for."""
    text = json.dumps(header).encode()
    return FRAME.pack(len(text), len(body)) + text + body


class Channel:
    """One end. Whoever carries the bytes gives `write` and `close`, and calls `feed` and `end`."""

    def __init__(
        self, write: Callable[[bytes], None], close: Callable[[], None], hold: Callable[[bool], None] = lambda _: None
    ) -> None:
        """`hold` stops the carrier from feeding, or lets it go on: a relay does not pile up what its reader leaves."""
        self.write = write
        self.close = close
        self._hold = hold
        self._held = False
        self._relayed = False
        self.ended = False
        """Whether nothing more can come."""
        self._received = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self.taken = asyncio.Event()
        """Cleared by a carrier that has more to carry than it should."""
        self.taken.set()

    def feed(self, data: bytes | memoryview) -> None:
        """Bytes have come."""
        self._received += data
        if self._relayed and not self._held and len(self._received) > _MOST_RELAYED:
            self._held = True
            self._hold(True)
        self._wake()

    def end(self) -> None:
        """Nothing more will come."""
        self.ended = True
        self.taken.set()
        self._wake()

    async def send(self, frame: bytes) -> None:
        """Send a frame. Raises `ConnectionError`."""
        self.write(frame)
        await self.drain()

    async def answer(self) -> tuple[dict[str, Any], bytes]:
        """The next frame: header and body. Raises `ConnectionError` when the guest is gone."""
        while (frame := self._frame()) is None:
            if self.ended:
                raise ConnectionResetError("the guest is gone")
            await self._more()
        return frame

    async def drain(self) -> None:
        """Return when the carrier has taken most of what was written. Raises `ConnectionError`."""
        if not self.taken.is_set():
            await self.taken.wait()

    async def receive(self) -> bytes:
        """The bytes that have come, for a relay; empty at the end."""
        self._relayed = True
        while not self._received and not self.ended:
            await self._more()
        data = bytes(self._received)
        self._received.clear()
        if self._held:
            self._held = False
            self._hold(False)
        return data

    def _frame(self) -> tuple[dict[str, Any], bytes] | None:
        received = self._received
        if len(received) < FRAME.size:
            return None
        header_size, body_size = FRAME.unpack_from(received)
        if header_size > _MAX_HEADER or body_size > _MAX_BODY:
            self.close()
            raise ConnectionResetError("the guest sent a frame of impossible size")
        start, end = FRAME.size + header_size, FRAME.size + header_size + body_size
        if len(received) < end:
            return None
        try:
            header: dict[str, Any] = json.loads(received[FRAME.size : start])
        except (ValueError, RecursionError) as error:
            raise ConnectionResetError("the guest sent a header that is no JSON") from error
        body = bytes(received[start:end])
        del received[:end]
        return header, body

    async def _more(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Socket(asyncio.BufferedProtocol):
    """Feeds a channel from a socket. One buffer for all reads: asyncio's own way maps new memory for each."""

    def __init__(self) -> None:
        self.channel: Channel
        self._transport: asyncio.Transport
        self._buffer = memoryview(bytearray(_BUFFER))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.channel = Channel(transport.write, transport.close, self._hold)

    def _hold(self, held: bool) -> None:
        if self._transport.is_closing():
            return
        if held:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.channel.feed(self._buffer[:nbytes])

    def pause_writing(self) -> None:
        self.channel.taken.clear()

    def resume_writing(self) -> None:
        self.channel.taken.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.channel.end()


async def open_channel(connected: socket.socket) -> Channel:
    """The channel over a connected unix socket, which it takes over."""
    connected.setblocking(False)
    _, protocol = await asyncio.get_running_loop().create_unix_connection(_Socket, sock=connected)
    return protocol.channel

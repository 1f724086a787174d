"""Frames over a socket: what a guest may send, and what a relay does with more than its reader takes."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from sandbox.channel import open_channel
from sandbox.guest.frames import FRAME


def _frame(header: object, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return FRAME.pack(len(text), len(body)) + text + body


async def test_a_frame_may_come_in_any_pieces() -> None:
    ours, theirs = socket.socketpair()
    channel = await open_channel(ours)
    whole = _frame({"a": 1}, b"body")

    async def answer() -> None:
        for byte in whole + _frame({"b": 2}):
            theirs.send(bytes([byte]))
            await asyncio.sleep(0)

    answering = asyncio.create_task(answer())
    assert await channel.answer() == ({"a": 1}, b"body")
    assert await channel.answer() == ({"b": 2}, b"")
    await answering
    channel.close()
    theirs.close()


@pytest.mark.parametrize(
    "sent", [FRAME.pack(1 << 31, 0), FRAME.pack(2, 1 << 60), FRAME.pack(3, 0) + b"{]}", FRAME.pack(9, 0) + b"{", b""]
)
async def test_what_is_no_frame_is_the_end_of_the_guest(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    channel = await open_channel(ours)
    theirs.send(sent)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(channel.answer(), 5)
    channel.close()
    theirs.close()


async def test_a_relay_holds_back_what_its_reader_does_not_take() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    channel = await open_channel(ours)
    theirs.send(b"x")
    received = len(await channel.receive())
    sent = 1
    for _ in range(2000):
        try:
            sent += theirs.send(bytes(1 << 16))
        except BlockingIOError:
            await asyncio.sleep(0.001)
    assert sent < 8 << 20  # of 125 MiB that were offered
    theirs.shutdown(socket.SHUT_WR)
    while data := await channel.receive():
        received += len(data)
    assert received == sent
    channel.close()
    theirs.close()

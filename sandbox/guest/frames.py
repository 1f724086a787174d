"""Frames: what goes through the channel between a sandbox and its owner.

Invariant: both sides read and write whole frames only. A frame is `FRAME` (lengths of header and body), a JSON header,
a binary body.
"""

from __future__ import annotations

import json
import os
import struct

TYPE_CHECKING = False  # `typing` is a megabyte that a sandbox need not carry
if TYPE_CHECKING:
    from typing import Any

FRAME = struct.Struct(">IQ")


class Channel:
    """Frames in and out. The file descriptors are closed on exec, so no command ever holds them."""

    def __init__(self, fd_in: int, fd_out: int) -> None:
        self.fd_in = fd_in
        self.fd_out = fd_out

    def _read_exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            try:
                chunk = os.read(self.fd_in, min(size - len(parts), 1 << 20))
            except ConnectionError:
                chunk = b""
            if not chunk:
                os._exit(0)  # the owner is gone: so is the sandbox
            parts += chunk
        return bytes(parts)

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """The next frame: header and body."""
        header_size, body_size = FRAME.unpack(self._read_exactly(FRAME.size))
        header = json.loads(self._read_exactly(header_size))
        return header, self._read_exactly(body_size)

    def send(self, header: dict[str, Any], body: bytes = b"") -> None:
        """Write one frame."""
        text = json.dumps(header).encode()
        data = memoryview(FRAME.pack(len(text), len(body)) + text + body)
        while data:
            data = data[os.write(self.fd_out, data) :]

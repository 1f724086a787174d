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
_CHUNK = 1 << 14
_MOST = 1 << 20


class Channel:
    """Frames in and out. The file descriptors are closed on exec, so no command ever holds them."""

    def __init__(self, fd_in: int, fd_out: int) -> None:
        self.fd_in = fd_in
        self.fd_out = fd_out
        self._received = bytearray()

    @property
    def pending(self) -> bool:
        """Whether the beginning of a frame was read already, so that waiting for `fd_in` could be in vain."""
        return bool(self._received)

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """The next frame: header and body."""
        received = self._received
        while True:
            missing = FRAME.size - len(received)
            if missing <= 0:
                header_size, body_size = FRAME.unpack_from(received)
                start, end = FRAME.size + header_size, FRAME.size + header_size + body_size
                missing = end - len(received)
                if missing <= 0:
                    break
            received += self._read(max(missing, _CHUNK))
        header = json.loads(received[FRAME.size : start])
        body = bytes(received[start:end])
        del received[:end]
        return header, body

    def _read(self, size: int) -> bytes:
        try:
            chunk = os.read(self.fd_in, min(size, _MOST))
        except ConnectionError:
            chunk = b""
        if not chunk:
            os._exit(0)  # the owner is gone: so is the sandbox
        return chunk

    def send(self, header: dict[str, Any], body: bytes = b"") -> None:
        """Write one frame."""
        text = json.dumps(header).encode()
        data = memoryview(FRAME.pack(len(text), len(body)) + text + body)
        while data:
            data = data[os.write(self.fd_out, data) :]

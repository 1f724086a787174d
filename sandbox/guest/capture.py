"""What is kept of a command's output.

Invariant: head and tail of a stream are kept, at most `cap` bytes together, and every byte left out between is counted.
"""

from __future__ import annotations

CHUNK = 1 << 16


class Capture:
    """One stream of one command."""

    def __init__(self, cap: int) -> None:
        self.half = max(cap // 2, 1)
        self.head = bytearray()
        self.tail = bytearray()
        self.seen = 0

    def add(self, chunk: bytes) -> None:
        """Append to the stream."""
        self.seen += len(chunk)
        room = self.half - len(self.head)
        if room > 0:
            self.head += chunk[:room]
            chunk = chunk[room:]
        self.tail += chunk
        if len(self.tail) > self.half + 16 * CHUNK:
            del self.tail[: -self.half]

    def finish(self) -> tuple[bytes, bytes, int]:
        """Head, tail, and the number of bytes left out between them."""
        del self.tail[: -self.half]
        return bytes(self.head), bytes(self.tail), self.seen - len(self.head) - len(self.tail)


def discard(_chunk: bytes) -> None:
    """Where the output of a background job goes once the command that started it has ended."""

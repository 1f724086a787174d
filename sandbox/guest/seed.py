"""Fills a fresh, size-limited /testbed with the repository, which its owner sends: the image does not hold it.

Invariant: what stands there afterwards equals what was sent: contents, modes, links, empty folders, times.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.guest.frames import Channel


def fill(channel: Channel, frames: int, target: str) -> None:
    """Make what the next frames hold below the existing folder `target`. Raises `OSError`.

    Their `entries` are [name, what, mode, time]: `what` is None for a folder, the target of a link, or how many of the
    frame's bytes are the file's next; `time` is in nanoseconds.
    """
    folders = []
    for _ in range(frames):
        header, body = channel.receive()
        start, content = 0, memoryview(body)
        for name, what, mode, time in header["entries"]:
            path = f"{target}/{name}"
            if what is None:
                os.mkdir(path)
                folders.append((path, mode, time))
            elif isinstance(what, str):
                os.symlink(what, path)
            else:
                _append(path, content[start : start + what], mode, time)
                start += what
    for path, mode, time in reversed(folders):  # what is made in a folder changes its time
        os.chmod(path, mode)
        os.utime(path, ns=(time, time))


def _append(path: str, data: memoryview, mode: int, time: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode)
    while data:
        data = data[os.write(fd, data) :]
    os.utime(fd, ns=(time, time))
    os.close(fd)

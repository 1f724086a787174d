"""Small trees as the frames in which they are sent to fresh containers (see `sandbox.guest.seed`).

Invariant: what is kept in memory is limited. A tree that gave way to others is read again, so it must still be there.

No image holds a small tree, because a container could read in it what a task has written over since: the bug's remedy.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox.channel import packed
from sandbox.protocol import Image, SandboxError
from sandbox.tree_archive import tree_entries

_MOST_KEPT = 256 << 20
_FRAME_BYTES = 1 << 17
"""A guest holds one frame at a time, so a tree may be as large as its memory allows."""
_FRAME_ENTRIES = 1000

Frames = tuple[bytes, ...]


class Seeds:
    """Keeps the trees that were sent last."""

    def __init__(self, most: int = _MOST_KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, Path], Frames] = OrderedDict()

    async def of(self, image: Image) -> Frames:
        """The image's tree. Raises `SandboxError` where it cannot be read."""
        key = (image.name, image.tree)
        if key not in self._kept:
            if not image.tree.is_dir():
                raise SandboxError(f"image {image.name}: its tree {image.tree} is not a folder")
            try:
                self._kept[key] = await asyncio.to_thread(lambda: tuple(seed_frames(image.tree)))
            except OSError as error:
                raise SandboxError(f"image {image.name}: {error.filename} cannot be read: {error.strerror}") from error
        frames = self._kept[key]
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(len(frame) for kept in self._kept.values() for frame in kept) > self._most:
            self._kept.popitem(last=False)
        return frames


def seed_frames(tree: Path) -> Iterator[bytes]:
    """The frames that a guest makes the tree from, in their order."""
    entries: list[tuple[str, int | str | None, int, int]] = []
    body = bytearray()
    for name, path, status in tree_entries(tree):
        mode, time = stat.S_IMODE(status.st_mode) & 0o777, status.st_mtime_ns
        if stat.S_ISDIR(status.st_mode):
            entries.append((name, None, mode | 0o700, time))
        elif stat.S_ISLNK(status.st_mode):
            entries.append((name, os.readlink(path), mode, time))
        else:
            content = memoryview(path.read_bytes())
            for start in range(0, len(content) or 1, _FRAME_BYTES):
                piece = content[start : start + _FRAME_BYTES]
                if len(body) + len(piece) > _FRAME_BYTES:
                    yield _frame(entries, body)
                entries.append((name, len(piece), mode | 0o400, time))
                body += piece
        if len(entries) >= _FRAME_ENTRIES:
            yield _frame(entries, body)
    if entries:
        yield _frame(entries, body)


def _frame(entries: list[Any], body: bytearray) -> bytes:
    """Those in one frame; both are empty afterwards."""
    frame = packed({"entries": entries}, bytes(body))
    entries.clear()
    body.clear()
    return frame

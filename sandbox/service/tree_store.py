"""Trees that clients sent, kept so that each is sent once.

Invariant: a tree that is found here is whole and has the digest it is found by; it is never changed, and not removed
while a lease uses it, also not by another service that shares the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO

from sandbox.tree_archive import TreeRefused, tree_digest, unpack

MAX_ARCHIVE = 2 << 30
"""Largest archive that is taken, bytes."""
MAX_KEPT = 20 << 30
"""Beyond so many bytes of trees, those that were not used for longest are removed."""
SPARED = 16
"""So many trees used last always stay: sandboxes that were started ahead may use them."""
_SIZE = "size"
_DIGEST = re.compile("[0-9a-f]{64}")
_DAY = 24 * 3600.0


class TreeStore:
    """A folder of trees, `DIGEST/tree` each. Beside it `size` tells its bytes, and with its time the last use."""

    def __init__(self, folder: Path, max_archive: int = MAX_ARCHIVE, max_kept: int = MAX_KEPT) -> None:
        self._folder = folder
        self._max_archive = max_archive
        self._max_kept = max_kept
        folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def use(self, digest: str) -> Iterator[Path | None]:
        """The tree of that digest, which stays until the block ends; None when it is not known."""
        place = self._folder / digest
        with contextlib.ExitStack() as held:
            try:
                handle = held.enter_context((place / _SIZE).open("rb"))
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
                os.utime(place / _SIZE)  # raises when it was removed before the lock was ours
            except OSError:
                yield None
            else:
                yield place / "tree"

    async def receive(self, digest: str, chunks: AsyncIterator[bytes]) -> None:
        """Take in an archive. Raises `TreeRefused`; nothing stays of a tree that was refused."""
        with tempfile.TemporaryFile(dir=self._folder) as archive:
            size = 0
            async for chunk in chunks:
                size += len(chunk)
                if size > self._max_archive:
                    raise TreeRefused(f"the tree is larger than the {self._max_archive >> 20} MiB that a service takes")
                await asyncio.to_thread(archive.write, chunk)
            if size:
                await asyncio.to_thread(self._add, digest, archive)
        await asyncio.to_thread(self.prune)

    def _add(self, digest: str, archive: IO[bytes]) -> None:
        archive.seek(0)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="new-") as folder:
            new = Path(folder, "new")
            (new / "tree").mkdir(parents=True)
            unpack(archive, new / "tree")
            if tree_digest(new / "tree") != digest:
                raise TreeRefused("the tree that was sent is not the one that was announced")
            (new / _SIZE).write_text(str(archive.seek(0, os.SEEK_END)))
            try:
                new.rename(self._folder / digest)
            except OSError:
                if not (self._folder / digest).is_dir():  # another upload of the same was first otherwise
                    raise

    def prune(self) -> None:
        """Remove trees beyond what is kept, except those in use, and what interrupted uploads left."""
        kept, rank = 0, 0
        for place in sorted(self._folder.iterdir(), key=_last_use, reverse=True):
            if not _DIGEST.fullmatch(place.name):
                if time.time() - _last_use(place) > _DAY:
                    shutil.rmtree(place, ignore_errors=True)
                continue
            rank += 1
            with contextlib.suppress(OSError, ValueError), (place / _SIZE).open("rb") as handle:
                kept += int(handle.read())
                if rank > SPARED and kept > self._max_kept:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    with tempfile.TemporaryDirectory(dir=self._folder, prefix="old-") as old:
                        place.rename(Path(old) / "old")


def _last_use(place: Path) -> float:
    """Seconds since the epoch; 0 when it is gone."""
    for path in (place / _SIZE, place):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return 0.0

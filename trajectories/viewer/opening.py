"""The store that a viewer shows: opened when it is there, told when it is gone, opened again when it is back.

Invariant: what is answered is never of a file that is no longer at its place. Trajectories never change, so those that
were read last are kept; nothing else is.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict

from trajectories.protocol import StoreError
from trajectories.records import Trajectory
from trajectories.storage.locating import locate
from trajectories.store import SQLStore

_KEPT = 8
"""Trajectories in memory."""
_TIMEOUT_S = 5.0


class Source:
    """One store by its place, which may be made only later. Thread-safe."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._path = locate(where)[2]
        self._lock = threading.Lock()
        self._store: SQLStore | None = None
        self._seen: tuple[int, int] | None = None
        self._kept: OrderedDict[tuple[str, str, bool], Trajectory] = OrderedDict()

    @property
    def store(self) -> SQLStore:
        """The store. Raises `StoreError`, `StoreMissing` where there is none (any more)."""
        with self._lock:
            there = self._file()
            if self._store is not None and there != self._seen:
                self._forget()
            if self._store is None:
                self._store, self._seen = SQLStore(self._where, create=False, timeout_s=_TIMEOUT_S), there
            return self._store

    def trajectory(self, trajectory_id: str, *, tokens: bool = False) -> Trajectory:
        """One trajectory, whole or without its tokens. Raises `StoreError` for an unknown id."""
        store = self.store
        key = (store.pulse()[0], trajectory_id, tokens)  # another store may have been copied over this one
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = store.get_many([trajectory_id], tokens=tokens).get(trajectory_id)
        if found is None:
            raise StoreError(f"There is no trajectory {trajectory_id} in {store.where}.")
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found

    def close(self) -> None:
        """Release the connections."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        if self._store is not None:
            self._store.close()
        self._store, self._seen = None, None
        self._kept.clear()

    def _file(self) -> tuple[int, int] | None:
        """What tells the file at that place from another; None where there is none, and for a server."""
        try:
            found = os.stat(self._path) if self._path is not None else None
        except OSError:
            return None
        return None if found is None else (found.st_dev, found.st_ino)

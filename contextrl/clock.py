"""What a run's time goes to.

Invariant: the entries add up to the wall time of the run's sessions; what no block was timed for is `other`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

OTHER = "other"


class Clock:
    """Starts when a session does."""

    def __init__(self, earlier: Mapping[str, float] | None = None, now: Callable[[], float] = time.monotonic) -> None:
        """`earlier`: seconds of the sessions before this one, as `seconds` gave them."""
        self._spent = dict(earlier or {})
        self._now, self._began, self._earlier = now, now(), sum(self._spent.values())

    @contextmanager
    def timed(self, name: str, row: dict[str, float] | None = None, key: str = "") -> Iterator[None]:
        """Add the wall time of a block, however it ends, to an entry, and to a row."""
        started = self._now()
        try:
            yield
        finally:
            spent = self._now() - started
            self._spent[name] = self._spent.get(name, 0.0) + spent
            if row is not None:
                row[key] = spent

    def add(self, name: str, seconds: float) -> None:
        """Add time that passed to an entry."""
        self._spent[name] = self._spent.get(name, 0.0) + seconds

    def move(self, name: str, target: str, seconds: float) -> None:
        """Count this much of an entry under another name."""
        seconds = min(seconds, self._spent[name])
        self._spent[name] -= seconds
        self._spent[target] = self._spent.get(target, 0.0) + seconds

    def seconds(self) -> dict[str, float]:
        """Name -> seconds so far, over all sessions. Not to be asked within a timed block."""
        named = {name: spent for name, spent in self._spent.items() if name != OTHER}
        whole = self._earlier + self._now() - self._began
        return named | {OTHER: whole - sum(named.values())}

"""What a sink of metrics is, and how one is kept from harming a run.

Invariant: `metrics.jsonl` and the store have every row before a sink sees it; a sink that fails or hangs neither ends
nor slows the run, and gets the rows that it missed as soon as it works again.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from queue import SimpleQueue
from typing import Any, Protocol

PATIENCE_S = 15.0
"""How long the end of a run waits for a sink."""


class Sink(Protocol):
    """Where rows go. Both methods may raise anything and take long: `Aside` is for that."""

    def row(self, iteration: int, values: Mapping[str, float]) -> None:
        """What an iteration measured, as from `flat`."""

    def close(self) -> None:
        """No more rows come."""


def flat(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row: `{"seconds": {"sampling": 1}}` as `{"seconds/sampling": 1.0}`.

    Without the iteration, texts, and what no chart can draw (infinite, not a number).
    """
    return {
        key: float(value)
        for key, value in leaves(row)
        if isinstance(value, int | float) and math.isfinite(value) and key != "iteration"
    }


def leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All values within mappings and lists, each with its keys and places joined by `/`."""
    inside = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list | tuple) else None
    if inside is None:
        yield prefix.removesuffix("/"), tree
        return
    for key, value in inside:
        yield from leaves(value, f"{prefix}{key}/")


class Aside:
    """A sink that is opened, written and closed in a thread of its own, so that nobody waits for it."""

    def __init__(self, name: str, opener: Callable[[], Sink], warn: Callable[[str], object]) -> None:
        """`warn` is told once what went wrong; after that the sink is tried again with each row."""
        self._name, self._open, self._warn = name, opener, warn
        self._sink: Sink | None = None
        self._rows: SimpleQueue[tuple[int, Mapping[str, float]] | None] = SimpleQueue()
        self._late: deque[tuple[int, Mapping[str, float]]] = deque()
        self._warned = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"metrics to {name}", daemon=True)
        self._thread.start()

    def row(self, iteration: int, values: Mapping[str, float]) -> None:
        """Returns at once."""
        self._rows.put((iteration, values))

    def end(self) -> None:
        """No more rows come; returns at once."""
        self._rows.put(None)

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until all is written, but not for long."""
        self.end()
        self._thread.join(patience_s)
        if self._thread.is_alive():
            self._fail(f"still writing {patience_s:g} s after the end")

    def _work(self) -> None:
        self._try(self._write)  # so that a sink that cannot be opened is told of before the first row
        while (item := self._rows.get()) is not None:
            self._late.append(item)
            self._try(self._write)
        if self._sink is not None:
            self._try(self._sink.close)

    def _write(self) -> None:
        self._sink = self._sink or self._open()
        while self._late:
            self._sink.row(*self._late[0])
            self._late.popleft()

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:  # whatever a server's client may raise
            self._fail(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")

    def _fail(self, why: str) -> None:
        if not self._warned.is_set():
            self._warned.set()
            self._warn(f"warning: {self._name} does not get the metrics ({why}); metrics.jsonl has all of them")

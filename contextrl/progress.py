"""Telling a person how far things are.

Invariant: whatever happens, the last line of a stage says how far it came; where nobody watches (no terminal)
there is a line at most every few seconds. Only this module writes progress; rooms take a `Progress`. Rate and time left
count from a stage's first report, so that what was done before it began (it goes on from a journal) does not.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichBar
    from rich.progress import TaskID


class Progress(Protocol):
    """Where a long job reports to."""

    def stage(self, name: str) -> None:
        """A new stage begins; the one before is done."""

    def update(self, done: int, total: int | None = None, text: str = "") -> None:
        """The stage has done this many of its parts. `total` None: nobody knows how many there are."""

    def log(self, text: str) -> None:
        """One line worth keeping."""


class Silent:
    """Reports nothing."""

    def stage(self, name: str) -> None:
        """Ignored."""

    def update(self, done: int, total: int | None = None, text: str = "") -> None:
        """Ignored."""

    def log(self, text: str) -> None:
        """Ignored."""


class Lines:
    """Plain lines, for logs and pipes: stages, logged lines, and now and then how far a stage is."""

    def __init__(self, out: TextIO, every_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._out, self._every, self._clock = out, every_s, clock
        self._name, self._said, self._pace = "", clock(), Pace(clock)
        self._pending = ""

    def stage(self, name: str) -> None:
        """Say how the last one ended, then name the new one."""
        self.close()
        self._name, self._said, self._pace = name, self._clock(), Pace(self._clock)
        self._write(name)

    def update(self, done: int, total: int | None = None, text: str = "") -> None:
        """Written when the last line is old enough; otherwise kept, so that the stage's end can say it."""
        now = self._clock()
        count = f"{done}/{total}" if total else str(done)
        pace = self._pace.seconds_each(done)
        left = f", {rate(pace)}, {duration(pace * (total - done))} left" if total and total > done and pace else ""
        if now - self._said < self._every:
            self._pending = f"  {self._name}: {count}  {text}".rstrip()
            return
        self._pending, self._said = "", now
        self._write(f"  {self._name}: {count}{left}  {text}".rstrip())

    def log(self, text: str) -> None:
        """Written at once."""
        self._write(text)

    def close(self) -> None:
        """Write what was kept back."""
        if self._pending:
            self._write(self._pending)
        self._pending = ""

    def _write(self, line: str) -> None:
        print(line, file=self._out, flush=True)


class Live:
    """Bars with rate and time left, for a terminal."""

    def __init__(self, console: Console, bars: RichBar) -> None:
        self._console, self._bars = console, bars
        self._task: TaskID | None = None
        self._began = time.monotonic()
        self._pace = Pace()

    def stage(self, name: str) -> None:
        """The finished stage's bar stays above the new one."""
        self._finish()
        self._task, self._began = self._bars.add_task(name, total=None, note="", rate=""), time.monotonic()
        self._pace = Pace()

    def update(self, done: int, total: int | None = None, text: str = "") -> None:
        """Move the bar."""
        if self._task is not None:
            said = rate(self._pace.seconds_each(done))
            self._bars.update(self._task, completed=done, total=total, note=text, rate=said)

    def log(self, text: str) -> None:
        """Above the bars."""
        self._console.print(text, markup=False, highlight=False)

    def close(self, ok: bool = True) -> None:
        """Leave a line for the last stage."""
        self._finish(("✓ ", "green") if ok else ("✗ ", "red"))

    def _finish(self, mark: tuple[str, str] = ("✓ ", "green")) -> None:
        if self._task is None:
            return
        from rich.text import Text

        task = self._bars.tasks[self._bars.task_ids.index(self._task)]
        count = f" {task.completed:.0f}" if task.completed else ""
        seconds = duration(time.monotonic() - self._began)
        self._bars.remove_task(self._task)
        line = Text.assemble(mark, task.description, (f"{count} in {seconds}  {task.fields['note']}", "dim"))
        self._console.print(line)
        self._task = None


@contextmanager
def open_progress(out: TextIO | None = None) -> Iterator[Progress]:
    """Bars on a terminal, lines elsewhere; on standard error unless told otherwise."""
    stream = out or sys.stderr
    if not stream.isatty():
        lines = Lines(stream)
        try:
            yield lines
        finally:
            lines.close()
        return
    with _live(stream) as live:
        yield live


@contextmanager
def _live(stream: TextIO) -> Iterator[Live]:
    from rich import progress as rp
    from rich.console import Console
    from rich.table import Column

    console = Console(file=stream)
    columns = (
        rp.SpinnerColumn(),
        rp.TextColumn("{task.description}", markup=False),
        rp.BarColumn(bar_width=28),
        rp.MofNCompleteColumn(),
        rp.TextColumn("{task.fields[rate]}"),
        rp.TimeRemainingColumn(compact=True),
        rp.TextColumn("{task.fields[note]}", markup=False, style="dim", table_column=Column(no_wrap=True, ratio=1)),
    )
    with rp.Progress(*columns, console=console, transient=True, expand=True) as bars:
        live = Live(console, bars)
        try:
            yield live
        except BaseException:
            live.close(ok=False)
            raise
        live.close()


class Pace:
    """How long each part of a stage takes, from its first report on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[int, float] | None = None

    def seconds_each(self, done: int) -> float:
        """By now; 0 while nobody can tell."""
        now = self._clock()
        before, began = self._first = self._first or (done, now)
        return (now - began) / (done - before) if done > before else 0.0


def rate(seconds_each: float) -> str:
    """`5.0/s`, `12.5/min`, `90.0 s each`; nothing where nobody can tell."""
    if seconds_each <= 0:
        return ""
    if seconds_each <= 1:
        return f"{1 / seconds_each:.1f}/s"
    return f"{60 / seconds_each:.1f}/min" if seconds_each <= 60 else f"{seconds_each:.1f} s each"


def duration(seconds: float) -> str:
    """`42 s`, `3:07`, `1:02:03`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

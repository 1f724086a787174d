"""How fast sandboxes are on this machine: starts, leases, steps, many at once.

Invariant: only the public calls are used, on sandboxes that were started for it and are stopped when `measure` returns;
a number is what one call took, nothing is subtracted.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from sandbox import footprint
from sandbox.home import home
from sandbox.pool import Pool
from sandbox.protocol import Image, Limits, Sandbox, SandboxBackend

TRUE: list[str] = ["/bin/true"]
STARTS_AT_ONCE = 4
_SETTLE_S = 1.0
OnProgress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Series:
    """What was measured, several times."""

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        """The minimum."""
        return min(self.values)


@dataclass(frozen=True)
class Crowd:
    """Many sandboxes at once, on one event loop."""

    boxes: int
    start_s: float
    """Until all had started, `STARTS_AT_ONCE` at a time."""
    shell_rate: Series
    """Steps per second in all, each a `run("true")`, second by second."""
    program_rate: Series
    """Steps per second in all, each a `run(["/bin/true"])`, second by second."""
    available_mb: Series
    """By how much each, idle, lessened the machine's available memory when it started, and raised it when it ended."""
    resident_mb: float | None
    """What the processes of each take, its share of the container engine's helpers included, MiB; None if unknown."""


def sample_image() -> Image:
    """A repository of 200 small files; the same folder every time."""
    tree = home() / "benchmark-tree"
    tree.mkdir(exist_ok=True)
    for number in range(200):
        path = tree / f"file{number}.py"
        text = f"x = {number}\n" * 50
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
    return Image("benchmark", tree)


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    """How long a call took, milliseconds."""
    started = time.perf_counter()
    await call()
    return (time.perf_counter() - started) * 1e3


async def fresh(backend: SandboxBackend, image: Image) -> tuple[float, float]:
    """A start: milliseconds until the sandbox was there, and until its first command had ended."""
    started = time.perf_counter()
    box = await backend.start(image, Limits())
    try:
        there = time.perf_counter() - started
        await box.run("true")
        return there * 1e3, (time.perf_counter() - started) * 1e3
    finally:
        await box.stop()


async def stocked(pool: Pool, spares: int = 1) -> None:
    """Return when the pool has so many spares."""
    while pool.stats.spares < spares:  # noqa: ASYNC110 (a pool tells nobody)
        await asyncio.sleep(0.01)


async def rate(boxes: list[Sandbox], command: str | list[str], seconds: float) -> float:
    """Steps per second of all sandboxes together, each running one command after the other for so long."""
    started = time.perf_counter()

    async def steps(box: Sandbox) -> int:
        count = 0
        while time.perf_counter() < started + seconds:
            await box.run(command)
            count += 1
        return count

    total = sum(await asyncio.gather(*map(steps, boxes)))
    return total / (time.perf_counter() - started)


async def start_many(backend: SandboxBackend, image: Image, count: int, stack: AsyncExitStack) -> list[Sandbox]:
    """So many sandboxes, a few at a time, stopped at the end of the stack."""
    places = asyncio.Semaphore(STARTS_AT_ONCE)

    async def start(_: int) -> Sandbox:
        async with places:
            box = await backend.start(image, Limits())
        stack.push_async_callback(box.stop)
        return box

    return list(await asyncio.gather(*map(start, range(count))))


async def crowd(backend: SandboxBackend, image: Image, count: int, seconds: int) -> Crowd:
    """Start many, let them stand, then step all of them at once for so many seconds with each kind of command."""
    async with AsyncExitStack() as stack:
        await (await backend.start(image, Limits())).stop()  # what is made once is not counted
        mine = footprint.descendants([os.getpid()])
        before, started = await _available(), time.perf_counter()
        boxes = await start_many(backend, image, count, stack)
        start_s = time.perf_counter() - started
        await asyncio.gather(*(box.run("true") for box in boxes))  # each has its shell now
        standing = await _available()
        resident = footprint.resident_mb(await _processes(backend, boxes, mine))
        shell = [await rate(boxes, "true", 1.0) for _ in range(seconds)]
        program = [await rate(boxes, TRUE, 1.0) for _ in range(seconds)]
        last = await _available()
    taken = [(before - standing) / count, (await _available() - last) / count]
    series = (_series("1/s", shell), _series("1/s", program), _series("MiB", taken))
    return Crowd(count, start_s, *series, resident and resident / count)


async def _available() -> float:
    await asyncio.sleep(_SETTLE_S)
    return footprint.available_mb()


def _series(unit: str, values: list[float]) -> Series:
    return Series("", unit, tuple(values))


async def _processes(backend: SandboxBackend, boxes: list[Sandbox], before: set[int]) -> set[int]:
    if backend.name == "docker":
        return await footprint.container_processes(box.name for box in boxes)
    return footprint.descendants([os.getpid()]) - before


async def measure(
    backend: SandboxBackend, image: Image, rounds: int, boxes: int, on_progress: OnProgress = lambda *_: None
) -> tuple[list[Series], Crowd]:
    """Every kind of call in turn, `rounds` times, then a crowd of so many sandboxes."""
    names = ('run("true")', 'run(["/bin/true"])', "start", "start to first command", "lease", "lease to first command")
    found: dict[str, list[float]] = {name: [] for name in names}
    async with AsyncExitStack() as stack:
        on_progress(0, rounds + 1, "first start")
        box = await backend.start(image, Limits())
        stack.push_async_callback(box.stop)
        pool = Pool(backend, warm=1)
        stack.push_async_callback(pool.close)
        await fresh(pool, image)
        for number in range(rounds):
            on_progress(number, rounds + 1, "one at a time")
            await stocked(pool)  # else the start of a spare would be measured with everything else
            steps = (await timed(lambda: box.run("true")), await timed(lambda: box.run(TRUE)))
            starts = (*await fresh(backend, image), *await fresh(pool, image))
            for name, value in zip(names, (*steps, *starts), strict=True):
                found[name].append(value)
    on_progress(rounds, rounds + 1, f"{boxes} at once")
    together = await crowd(backend, image, boxes, 2)
    on_progress(rounds + 1, rounds + 1, "")
    return [Series(name, "ms", tuple(values)) for name, values in found.items()], together

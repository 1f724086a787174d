"""Starts: out of a warm pool, fresh, and how fast a pool fills up again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from benchmarks.sandbox.peers import Peer
from benchmarks.sandbox.rows import Row, Target
from benchmarks.sandbox.world import Call, World
from sandbox import Pool, Sandbox
from sandbox.bench import fresh, stocked

STEPPING = 4
REFILLED = 12


async def measure_leases(world: World, rounds: int) -> list[Row]:
    """From a warm pool on Docker, until handed out and until the first command had ended; peers without a pool."""
    world.progress.stage("Leases")
    if "docker" not in world.backends:
        return []
    async with AsyncExitStack() as stack:
        pool = Pool(world.backends["docker"], warm=2)
        stack.push_async_callback(pool.close)
        await fresh(pool, world.image)
        first: dict[str, list[float]] = {}
        calls: dict[str, Call] = {"ours": partial(_lease, pool, world, first.setdefault("ours", []))}
        for kind in ("docker-py", "docker CLI", "SWE-ReX", "mini-swe-agent"):
            if peer := await world.peer(kind, stack):
                calls[peer.name] = partial(_open, peer, first.setdefault(peer.name, []))
        opened = await world.interleaved(calls, rounds)
    rows = []
    for measure, target, found in (
        ("lease, handed out", None, opened),
        ("lease, first command ended", Target(15.0), first),
    ):
        ours, *peers = found.items()
        rows += [Row(measure, "ms", ours[1], target, name, values) for name, values in peers or [("", [])]]
    return rows


async def _lease(pool: Pool, world: World, first: list[float]) -> float:
    await stocked(pool, 2)
    there, done = await fresh(pool, world.image)
    first.append(done)
    return there


async def _open(peer: Peer, first: list[float]) -> float:
    there = await peer.timed("open")
    first.append(there + await peer.timed("step"))
    await peer.timed("close")
    return there


async def measure_fresh(world: World, rounds: int) -> list[Row]:
    """Local sandboxes without a pool, beside the namespaces alone."""
    world.progress.stage("Fresh local sandboxes")
    if "local" not in world.backends:
        return []
    async with AsyncExitStack() as stack:

        async def ours() -> float:
            return (await fresh(world.backends["local"], world.image))[1]

        calls: dict[str, Call] = {"ours": ours}
        floor = await world.peer("unshare", stack)
        if floor:
            calls["floor"] = partial(floor.timed, "step")
        await ours()
        found = await world.interleaved(calls, rounds)
    peer = "unshare -Urpfmn --mount-proc true" if floor else ""
    return [Row("fresh local, first command ended", "ms", found["ours"], Target(20.0), peer, found.get("floor", []))]


async def measure_refill(world: World, rounds: int) -> list[Row]:
    """Containers per second that a pool makes while other sandboxes step, now and then and as fast as they can."""
    if "docker" not in world.backends:
        return []
    rows = []
    async with AsyncExitStack() as stack:
        boxes = [await world.box("docker", stack) for _ in range(STEPPING)]
        calls: dict[str, Call] = {"ours": partial(_refill, world)}
        peer = await world.peer("docker-py", stack)
        if peer:
            calls["theirs"] = partial(peer.result, "refill")
        for pause_s, how in ((0.01, "100 times a second each"), (0.0, "as fast as they can")):
            world.progress.stage(f"Refill while {STEPPING} others step {how}")
            async with _stepping(boxes, pause_s) as steps:
                found = await world.interleaved(calls, rounds)
            world.progress.log(f"while containers were made, {STEPPING} others did {steps()} steps/s in all")
            target, name = Target(5.0, at_least=True), f"{peer.name}, 4 threads" if peer else ""
            measure, theirs = f"refill, {STEPPING} others step {how}", found.get("theirs", [])
            rows.append(Row(measure, "1/s", found["ours"], target, name, theirs, more_is_better=True))
    return rows


async def _refill(world: World) -> float:
    pool = Pool(world.backends["docker"], size=REFILLED, warm=REFILLED)
    started = time.perf_counter()
    lease = asyncio.create_task(fresh(pool, world.image))
    await stocked(pool, REFILLED)
    seconds = time.perf_counter() - started
    await lease
    made = REFILLED + 1
    await pool.close()
    return made / seconds


@asynccontextmanager
async def _stepping(boxes: list[Sandbox], pause_s: float) -> AsyncIterator[Callable[[], int]]:
    counts, ending = [0], asyncio.Event()
    started = time.perf_counter()

    async def step(box: Sandbox) -> None:
        while not ending.is_set():  # a call that was cancelled would leave its sandbox unusable
            await box.run("true")
            counts[0] += 1
            await asyncio.sleep(pause_s)

    tasks = [asyncio.create_task(step(box)) for box in boxes]
    try:
        yield lambda: round(counts[0] / (time.perf_counter() - started))
    finally:
        ending.set()
        await asyncio.gather(*tasks)

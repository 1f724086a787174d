"""Many sandboxes on one event loop, and what a client that is killed leaves behind."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from benchmarks.sandbox.peers import Peer
from benchmarks.sandbox.rows import Row, Target
from benchmarks.sandbox.world import World
from sandbox.bench import crowd
from sandbox.engine_api import Engine, engine_socket

AFTER_S = 5.0


async def measure_crowds(world: World, boxes: int, seconds: int) -> list[Row]:
    rows: list[Row] = []
    for name, backend in world.backends.items():
        world.progress.stage(f"{boxes} {name} sandboxes at once")
        found = await crowd(backend, world.image, boxes, seconds)
        rate, memory = (Target(5000, at_least=True), Target(12.0)) if name == "docker" else (None, None)
        title = f"{boxes} {name} at once"
        if min(found.available_mb.values) <= 0:
            world.missing[f"{title}: available memory"] = "the rest of the machine moved more than that meanwhile"
        available = memory if min(found.available_mb.values) > 0 else None
        resident = [] if found.resident_mb is None else [found.resident_mb]
        rows += [
            Row(f'{title}: run("true")', "1/s", found.shell_rate.values, rate, more_is_better=True),
            Row(f'{title}: run(["/bin/true"])', "1/s", found.program_rate.values, more_is_better=True),
            Row(f"{title}: available memory less", "MiB each", found.available_mb.values, available),
            Row(f"{title}: memory of its processes", "MiB each", resident, memory),
            Row(f"{title}: started", "1/s", [boxes / found.start_s], more_is_better=True),
        ]
    return rows


async def measure_leaks(world: World, rounds: int) -> list[Row]:
    """Containers that are left `AFTER_S` seconds after the process that made them was killed with SIGKILL."""
    world.progress.stage("Containers left after SIGKILL")
    if "docker" not in world.backends:
        return []
    left: dict[str, list[float]] = {}
    for number in range(rounds):
        world.progress.update(number, rounds)
        for name, count in (await _left(world)).items():
            left.setdefault(name, []).append(count)
    ours, *others = left.pop("ours", []), *left.items()
    title = f"containers left {AFTER_S:.0f} s after SIGKILL"
    return [Row(title, "", ours, Target(0), name, values) for name, values in others or [("", [])]]


async def _left(world: World) -> dict[str, float]:
    """Kill a process of each kind that has a sandbox, and count; what the peers left is removed then."""
    engine = Engine(engine_socket())
    told: dict[Peer, list[str]] = {}
    async with AsyncExitStack() as stack:
        for kind in ("ours", "mini-swe-agent", "SWE-ReX"):
            if peer := await world.peer(kind, stack, opened=True, closed=False):
                told[peer] = await peer.result("names")
        for peer in told:
            await peer.kill()
        await asyncio.sleep(AFTER_S)
        found = await engine.json("GET", "/containers/json", {"all": 1})
        counts = {}
        for peer, names in told.items():
            its = [str(entry["Id"]) for entry in found if _is_of(peer, entry, names)]
            counts[peer.name] = float(len(its))
            for container in its:
                await engine.json("DELETE", f"/containers/{container}", {"force": 1})
        return counts


def _is_of(peer: Peer, entry: dict[str, object], names: list[str]) -> bool:
    """One that it told of, or one of ours that it made afterwards."""
    return str(entry["Id"])[:12] in names or f"contextrl-{peer.pid}-" in f"{entry['Names']}"

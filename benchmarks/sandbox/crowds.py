"""Many sandboxes on one event loop, and what a client that is killed leaves behind."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from benchmarks.sandbox.peers import Peer, PeerFailed
from benchmarks.sandbox.rows import Row, Target
from benchmarks.sandbox.world import World
from sandbox.bench import crowd
from sandbox.engine_api import Engine, engine_socket

AFTER_S = 5.0


async def measure_crowds(world: World, boxes: int, seconds: float) -> list[Row]:
    rows: list[Row] = []
    for name, backend in world.backends.items():
        world.progress.stage(f"{boxes} {name} sandboxes at once")
        found = await crowd(backend, world.image, boxes, seconds)
        rate, memory = (Target(5000, at_least=True), Target(12.0)) if name == "docker" else (None, None)
        title = f"{boxes} {name} at once"
        resident = [] if found.resident_mb is None else [found.resident_mb]
        rows += [
            Row(f'{title}: run("true")', "1/s", [found.shell_rate], rate, more_is_better=True),
            Row(f'{title}: run(["/bin/true"])', "1/s", [found.program_rate], more_is_better=True),
            Row(f"{title}: available memory less", "MiB each", [found.available_mb], memory),
            Row(f"{title}: memory of its processes", "MiB each", resident, memory),
            Row(f"{title}: started", "1/s", [boxes / found.start_s], more_is_better=True),
        ]
    return rows


async def measure_leaks(world: World, rounds: int) -> list[Row]:
    """Containers that are left `AFTER_S` seconds after the process that made them was killed with SIGKILL."""
    world.progress.stage("Containers left after SIGKILL")
    if "docker" not in world.backends:
        return []
    kinds = ("ours", "mini-swe-agent", "SWE-ReX")
    left: dict[str, list[float]] = {}
    for number in range(rounds):
        world.progress.update(number, rounds)
        for name, count in await asyncio.gather(*(_left(world, kind) for kind in kinds)):
            left.setdefault(name, []).extend([count] if count is not None else [])
    ours = left.pop("ours")
    peers = {name: values for name, values in left.items() if values} or {"": []}
    title = f"containers left {AFTER_S:.0f} s after SIGKILL"
    return [Row(title, "", ours, Target(0), name, values) for name, values in peers.items()]


async def _left(world: World, kind: str) -> tuple[str, float | None]:
    engine = Engine(engine_socket())
    async with AsyncExitStack() as stack:
        peer = await world.peer(kind, stack)
        if peer is None:
            return kind, None
        try:
            await peer.timed("open")
            await peer.timed("step")
            names = await peer.result("names")
        except PeerFailed as error:
            world.missing.setdefault(kind, str(error))
            return kind, None
        await peer.kill()
        await asyncio.sleep(AFTER_S)
        found = await engine.json("GET", "/containers/json", {"all": 1})
        mine = [entry["Id"] for entry in found if _is_of(peer, entry, names)]
        for container in mine:
            await engine.json("DELETE", f"/containers/{container}", {"force": 1})
        return peer.name, float(len(mine))


def _is_of(peer: Peer, entry: dict[str, object], names: list[str]) -> bool:
    """One that it told of, or one of ours that it made afterwards."""
    named = f"{entry['Names']}"
    return str(entry["Id"])[:12] in names or f"contextrl-{peer.pid}-" in named

"""Start and step latency of the sandbox backends, beside `docker run`, `docker exec` and a bare subprocess.

Run it: python -m benchmarks.sandbox [--rounds 20] [--json out.json]. Rows of one table are interleaved: every round
measures each of them once, so that load on the machine falls on all alike. Medians and minima.

`start`: until the first command has run. `true`: one more `/bin/true`. `docker exec` and `docker run` are what most
agent frameworks do for every action or episode; `subprocess` is the floor, without any isolation.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from sandbox import BackendUnavailable, Image, Limits, Pool, Sandbox, SandboxBackend, open_backend

Measure = Callable[[], Awaitable[float]]
_TRUE = ["/bin/true"]


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await call()
    return (time.perf_counter() - started) * 1e3


async def output(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    text = (await process.communicate())[0].decode().strip()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed")
    return text


def running(*command: str) -> Measure:
    return lambda: timed(lambda: output(*command))


def starting(backend: SandboxBackend, image: Image) -> Measure:
    async def measure() -> float:
        started = time.perf_counter()
        box = await backend.start(image, Limits())
        await box.run(_TRUE)
        taken = (time.perf_counter() - started) * 1e3
        await box.stop()
        return taken

    return measure


def leasing(pool: Pool, image: Image) -> Measure:
    async def measure() -> float:
        started = time.perf_counter()
        async with pool.lease(image) as box:
            await box.run(_TRUE)
            taken = (time.perf_counter() - started) * 1e3
        await asyncio.sleep(0.5)  # what an episode takes at least, in which the pool starts the next one
        return taken

    return measure


def stepping(box: Sandbox) -> Measure:
    return lambda: timed(lambda: box.run(_TRUE))


async def interleaved(rows: dict[str, Measure], rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(rounds):
        for name, measure in rows.items():
            found[name].append(await measure())
    return found


def table(title: str, found: dict[str, list[float]]) -> list[dict[str, object]]:
    print(f"\n{title:<34}{'median ms':>12}{'min ms':>10}{'n':>6}")
    rows = []
    for name, values in found.items():
        median, best = statistics.median(values), min(values)
        print(f"{name:<34}{median:>12.2f}{best:>10.2f}{len(values):>6}")
        rows.append({"measure": title, "row": name, "median_ms": median, "min_ms": best, "n": len(values)})
    return rows


async def aggregate(backend: SandboxBackend, image: Image, boxes: int, seconds: float) -> dict[str, object]:
    """Steps per second of many sandboxes that step at the same time on one event loop."""
    running = await asyncio.gather(*(backend.start(image, Limits()) for _ in range(boxes)))
    until = time.perf_counter() + seconds

    async def steps(box: Sandbox) -> int:
        count = 0
        while time.perf_counter() < until:
            await box.run(_TRUE)
            count += 1
        return count

    rate = sum(await asyncio.gather(*map(steps, running))) / seconds
    await asyncio.gather(*(box.stop() for box in running))
    print(f"{backend.name}: {boxes} sandboxes at once, {rate:.0f} steps/s in all")
    return {"measure": "aggregate", "row": backend.name, "boxes": boxes, "steps_per_second": rate}


async def open_backends(stack: contextlib.AsyncExitStack) -> list[SandboxBackend]:
    found = []
    for name in ("local", "docker"):
        try:
            backend = await open_backend(name)
        except BackendUnavailable as error:
            print(error)
        else:
            stack.push_async_callback(backend.close)
            found.append(backend)
    return found


async def measure_all(image: Image, rounds: int) -> list[dict[str, object]]:
    starts: dict[str, Measure] = {}
    trues: dict[str, Measure] = {"subprocess, no isolation": running(*_TRUE)}
    async with contextlib.AsyncExitStack() as stack:
        backends = await open_backends(stack)
        for backend in backends:
            box = await backend.start(image, Limits())
            pool = Pool(backend, warm=2)
            stack.push_async_callback(pool.close)
            starts[backend.name] = starting(backend, image)
            starts[f"{backend.name}, warm pool"] = leasing(pool, image)
            trues[backend.name] = stepping(box)
            if backend.name == "docker":
                tag = await output("docker", "inspect", "-f", "{{.Image}}", box.name)
                entry = ("--network", "none", "--entrypoint", *_TRUE, tag)
                starts["docker run (command line)"] = running("docker", "run", "--rm", *entry)
                trues["docker exec (command line)"] = running("docker", "exec", box.name, *_TRUE)
        report = table("start to first command", await interleaved(starts, rounds))
        report += table("/bin/true", await interleaved(trues, 5 * rounds))
        print()
        for backend in backends:
            report.append(await aggregate(backend, image, 16, 2.0))
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()
        for number in range(200):
            (tree / f"file{number}.py").write_text(f"x = {number}\n" * 50)
        report = asyncio.run(measure_all(Image("benchmark", tree), arguments.rounds))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()

"""The table of issue 3: our sandboxes beside docker-py, the docker command, SWE-ReX and mini-swe-agent.

Run it: python -m benchmarks.sandbox [--json out.json]. What is compared is measured in turn in one run, so that load on
the machine falls on all alike; medians, and the best of all. Peers are measured inside processes of their own.
`--install-peers` installs those of benchmarks/peers.txt first; one that is missing is named below the table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from pathlib import Path

from benchmarks.sandbox import crowds, peers, starts, steps
from benchmarks.sandbox.rows import Row, table
from benchmarks.sandbox.world import World
from contextrl.progress import Progress, open_progress

PARTS = ("steps", "leases", "fresh", "crowds", "refill", "leaks")


async def measure(given: argparse.Namespace, progress: Progress) -> tuple[list[Row], dict[str, str]]:
    async with World(given.peers_python, progress) as world:
        parts = {
            "steps": lambda: steps.measure(world, 2 * given.rounds),
            "leases": lambda: starts.measure_leases(world, max(given.rounds // 2, 1)),
            "fresh": lambda: starts.measure_fresh(world, 2 * given.rounds),
            "crowds": lambda: crowds.measure_crowds(world, given.boxes, given.seconds),
            "refill": lambda: starts.measure_refill(world, 3),
            "leaks": lambda: crowds.measure_leaks(world, 2),
        }
        rows: list[Row] = []
        for name in given.parts:
            rows += await parts[name]()
        return rows, world.missing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--boxes", type=int, default=32, help="how many at once")
    parser.add_argument("--seconds", type=int, default=4, help="how long many step at once")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--peers-python", type=Path, default=peers.default_python())
    parser.add_argument("--install-peers", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with open_progress() as progress:
        if given.install_peers:
            progress.stage("Installing the peers")
            peers.install()
            given.peers_python = peers.default_python()
        load = [os.getloadavg()[0]]
        rows, missing = asyncio.run(measure(given, progress))
        load.append(os.getloadavg()[0])
    print(table(rows))
    print(
        f"{os.cpu_count()} processors; load {load[0]:.1f} before, {load[1]:.1f} after (this benchmark's own included)"
    )
    for name, reason in missing.items():
        print(f"missing: {name} ({' '.join(reason.split())})")
    if given.json:
        found = {
            "rows": [row.as_json() for row in rows],
            "missing": missing,
            "load": load,
            "processors": os.cpu_count(),
        }
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

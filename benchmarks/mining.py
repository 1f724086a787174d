"""What mining costs: one insertion while the store grows, a whole store at once, and a plain scan of all couples.

Run it: python -m benchmarks.mining [--sizes 1000 4000 16000 66000] [--scan 500 1000 2000] [--json out.json].
The trajectories are those of `benchmarks.bugs`: 30 turns, sizes drawn from real ones, 128 repositories, eight bugs to a
function, eight trajectories to a bug. Insertions are medians over the last `MEASURED` before each size, in milliseconds
of wall time and of the process' CPU time; an insertion and what it mined are durable on disk. The scan looks at every
couple of trajectories, as one would without an index; it grows with the square, so it is measured on few.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmarks.bugs import BugEpisodes
from trajectories.judge import RuleJudge
from trajectories.mining.bulk import BulkOptions, mine_store
from trajectories.mining.couples import Coupler, Judged
from trajectories.mining.miner import MinerOptions, PairMiner
from trajectories.mining.sketches import sketch
from trajectories.store import SQLStore

MEASURED = 300
"""How many insertions are measured before each size."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 4000, 16_000, 66_000], help="stored")
    parser.add_argument("--scan", type=int, nargs="*", default=[500, 1000, 2000], help="scanned by all couples")
    parser.add_argument("--folder", type=Path, help="where the store goes; a folder for scratch files otherwise")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "store.db"
        found["online"] = online(path, sorted(options.sizes))
        found["bulk"] = bulk(path, processes=2)
    found["scan"] = [scan(size) for size in options.scan]
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


def online(path: Path, sizes: list[int]) -> list[dict[str, float]]:
    """Add and mine one after the other, one process."""
    episodes, rows, times = BugEpisodes(0), [], []
    columns = ("add", "mine", "both", "p95", "cpu")
    print(f"{'stored':>8} {' '.join(f'{name:>7}' for name in columns)} {'valid pairs':>12} {'MiB':>7}  (ms each)")
    with SQLStore(path) as store:
        miner = PairMiner(store, RuleJudge(), MinerOptions())
        for n in range(1, sizes[-1] + 1):
            trajectory = episodes.next()
            cpu, begun = time.process_time(), time.perf_counter()
            store.add(trajectory)
            added = time.perf_counter()
            miner.on_insert(trajectory)
            ended = time.perf_counter()
            times.append((added - begun, ended - added, time.process_time() - cpu))
            if n in sizes:
                row = summary(n, times[-MEASURED:], store.count_pairs(judgement="valid"), path)
                rows.append(row)
                spent = " ".join(f"{row[f'{name}_ms']:7.2f}" for name in columns)
                print(f"{n:8} {spent} {row['valid_pairs']:12.0f} {row['mib']:7.1f}", flush=True)
    return rows


def summary(stored: int, times: list[tuple[float, float, float]], pairs: int, path: Path) -> dict[str, float]:
    adds, mines, cpus = zip(*times, strict=True)
    both = sorted(add + mine for add, mine in zip(adds, mines, strict=True))
    return {
        "stored": stored,
        "add_ms": 1e3 * statistics.median(adds),
        "mine_ms": 1e3 * statistics.median(mines),
        "both_ms": 1e3 * statistics.median(both),
        "p95_ms": 1e3 * both[int(0.95 * len(both))],
        "cpu_ms": 1e3 * statistics.median(cpus),
        "valid_pairs": pairs,
        "mib": path.stat().st_size / 2**20,
    }


def bulk(path: Path, processes: int) -> dict[str, Any]:
    """Mine all that is stored, into a set of its own."""
    with SQLStore(path) as store:
        stored, begun = store.count(), time.perf_counter()
        funnel = mine_store(store, BulkOptions(processes=processes, name="bulk"))
        seconds = time.perf_counter() - begun
    # The workers' own peak is the larger of the children's: times how many there are it bounds their sum.
    peak = [resource.getrusage(who).ru_maxrss / 2**10 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    memory = peak[0] + processes * peak[1]
    print(f"\nbulk: {stored} trajectories in {seconds:.1f} s, at most {memory:.0f} MiB in {processes + 1} processes")
    print("  " + ", ".join(f"{stage} {count:,}" for stage, count in funnel.items()))
    return {"stored": stored, "seconds": seconds, "mib": memory, "funnel": dict(funnel)}


def scan(size: int) -> dict[str, float]:
    """Every couple of `size` trajectories, none left out by an index: same place, related issues, masked, judged."""
    episodes = BugEpisodes(0)
    with SQLStore("sqlite://") as store:
        trajectories = [episodes.next() for _ in range(size)]
        begun = time.perf_counter()
        sketches = [sketch(t) for t in trajectories]
        coupler = Coupler(store, RuleJudge(), MinerOptions(), {})
        for one in sketches:
            coupler.learn(one.trajectory)
        funnel, judged = Counter[str](), Judged()
        for a, b in combinations(sketches, 2):
            if a.trajectory.repo == b.trajectory.repo and a.place.deepest(b.place) == "function":
                usable = coupler.usable(a, coupler.related(a, [b], funnel), "function", funnel)
                couples = [coupler.couple(a, partner, "function", "scan") for partner in usable]
                coupler.judge(couples, judged, funnel, most=10**9)
        seconds = time.perf_counter() - begun
    print(f"scan of all couples: {size} trajectories in {seconds:.1f} s, {funnel['valid']} valid pairs", flush=True)
    return {"stored": size, "seconds": seconds, "valid_pairs": funnel["valid"]}


if __name__ == "__main__":
    main()

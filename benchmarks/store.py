"""How fast the store takes trajectories and finds them again.

Run it: python -m benchmarks.store [--sizes 1000 10000 66000] [--each 1000] [--json out.json]. First 4 processes add
trajectories of 30 turns to one new SQLite file, one `add` each, all made beforehand; then one process adds until the
store is as full as the largest size, and each kind of question is asked. The index of words is not part of adding: how
fast the first search makes it is printed. Trajectories are as large as real ones
(`benchmarks.realistic`); how large is printed. Wall time: medians in milliseconds, rates per second.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from benchmarks.realistic import Episodes
from trajectories.records import Trajectory
from trajectories.store import SQLStore

WRITERS = 4
MEASURED = 200
"""How many insertions are measured before each size."""
ASKED = 25
"""How often each question is asked, each time about another function, repository and so on."""
FILL = 64
"""Trajectories of one transaction where insertions are not measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1000, 10_000, 66_000], help="trajectories in the store"
    )
    parser.add_argument("--each", type=int, default=1000, help="trajectories that each of the 4 writers adds")
    parser.add_argument("--folder", type=Path, help="where the files are made (6 GB for 66,000); a temporary folder")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {"size": size_of_one(), "cores": os.cpu_count()}
    print("one trajectory: " + ", ".join(f"{value:,.0f} {name}" for name, value in result["size"].items()))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        result["writers"] = written_at_once(Path(folder) / "writers.db", options.each)
        said = "{writers} writers: {rate:,.0f} trajectories/s, {mib_per_s:,.0f} MiB/s, {cpu_ms:.2f} ms of CPU time each"
        print((said + "; they had {cpu_share:.0%} of the cores").format(**result["writers"]))
        print("words: {indexed_per_s:,.0f} trajectories/s are indexed, by one process".format(**result["writers"]))
        result["growth"], result["queries"] = growth(Path(folder) / "growth.db", sorted(options.sizes))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


def size_of_one(count: int = 300) -> dict[str, float]:
    """Means over some trajectories."""
    episodes = Episodes(seed=0)
    made = [episodes.next() for _ in range(count)]
    characters = [sum(len(turn.text) + len(turn.observation) for turn in t.turns) for t in made]
    return {
        "turns": statistics.mean(len(t.turns) for t in made),
        "characters of text and observations": statistics.mean(characters),
        "tokens": statistics.mean(len(t.token_ids()) for t in made),
        "bytes as JSON": statistics.mean(len(t.model_dump_json()) for t in made),
    }


def written_at_once(path: Path, each: int) -> dict[str, float]:
    """The rate at which several processes write to one file."""
    SQLStore(path).close()
    context = multiprocessing.get_context("spawn")
    ready, cpu = context.Barrier(WRITERS + 1), context.Array("d", WRITERS)
    writers = [context.Process(target=write, args=(path, i, each, ready, cpu)) for i in range(WRITERS)]
    for writer in writers:
        writer.start()
    ready.wait()
    started = time.perf_counter()
    ready.wait()
    seconds = time.perf_counter() - started
    for writer in writers:
        writer.join()
    with SQLStore(path, create=False) as store:
        assert store.count() == WRITERS * each
        indexing = timed(lambda _: store.index_words(), {})
    mib = path.stat().st_size / 2**20
    added = WRITERS * each
    return {
        "writers": WRITERS,
        "added": added,
        "rate": added / seconds,
        "mib_per_s": mib / seconds,
        "indexed_per_s": 1e3 * added / indexing,
        "cpu_ms": 1e3 * sum(cpu) / added,
        "cpu_share": sum(cpu) / seconds / (os.cpu_count() or 1),
    }


def write(path: Path, number: int, each: int, ready: Barrier, cpu: Any) -> None:
    """One of the writers; `cpu`: where it writes the seconds of CPU time that it took."""
    episodes = Episodes(seed=number + 1)
    made = [episodes.next(f"run {number}") for _ in range(each)]
    with SQLStore(path) as store:
        ready.wait()
        began = time.process_time()
        for trajectory in made:
            store.add(trajectory)
        cpu[number] = time.process_time() - began
        ready.wait()


def growth(path: Path, sizes: list[int]) -> tuple[list[dict[str, float]], list[dict[str, Any]]]:
    """What an insertion costs at each size, and what each question costs at the largest."""
    episodes, stored, rows = Episodes(seed=0), 0, []
    print(f"\n{'stored':>8} {'add ms':>8} {'p95 ms':>8} {'MiB':>8}")
    with SQLStore(path) as store:
        for size in sizes:
            while stored < size - MEASURED:
                batch = min(FILL, size - MEASURED - stored)
                store.add_many([episodes.next(run_of(stored)) for _ in range(batch)])
                stored += batch
                progress(stored, sizes[-1])
            times = []
            while stored < size:
                times.append(timed(store.add, episodes.next(run_of(stored))))
                stored += 1
            middle, worst = statistics.median(times), statistics.quantiles(times, n=20)[-1]
            rows.append({"stored": stored, "add_ms": middle, "p95_ms": worst, "mib": path.stat().st_size / 2**20})
            print("{stored:8.0f} {add_ms:8.2f} {p95_ms:8.2f} {mib:8.0f}".format(**rows[-1]))
        return rows, questions(store)


def run_of(stored: int) -> str:
    """Runs of 8,192 trajectories."""
    return f"run {stored // 8192}"


def questions(store: SQLStore) -> list[dict[str, Any]]:
    """Each filter with a limit of 20, the newest first."""
    step = max(1, store.count() // ASKED)
    some = [store.summaries(after=i * step, limit=1)[0] for i in range(ASKED - 1)]
    asked: dict[str, Callable[[Any], dict[str, Any]]] = {
        "function": lambda s: {"function": s.functions[0]},
        "function in a run": lambda s: {"function": s.functions[0], "run": s.run},
        "class": lambda s: {"function": s.functions[1]},
        "file": lambda s: {"file": s.files[0]},
        "file in a repository": lambda s: {"file": s.files[0], "repo": s.repo},
        "run": lambda s: {"run": s.run},
        "run, resolved": lambda s: {"run": s.run, "resolved": True},
        "repository": lambda s: {"repo": s.repo},
        "repository and commit": lambda s: {"repo": s.repo, "base_commit": s.base_commit},
        "task instance": lambda s: {"instance_id": s.instance_id},
        "group": lambda s: {"group": s.group},
        "policy version": lambda s: {"policy_version": s.policy_version},
        "run, policy version": lambda s: {"run": s.run, "policy_version": s.policy_version},
        "resolved": lambda s: {"resolved": s.resolved},
        "reward at least 1": lambda s: {"min_reward": 1.0},
        "infra errors (none)": lambda s: {"status": "infra_error"},
        "filtered (none)": lambda s: {"filtered": True},
        "another agent (none)": lambda s: {"agent": "nobody"},
        "since": lambda s: {"since": s.created_at},
        "a page in the middle": lambda s: {"before": s.position},
    }
    print(f"\n{'question':24} {'median ms':>10} {'worst ms':>10} {'found':>7}")
    rows = []
    for name, filters in asked.items():
        times = [timed(lambda f: store.summaries(order="newest", limit=20, **f), filters(summary)) for summary in some]
        found = len(store.summaries(order="newest", limit=20, **filters(some[-1])))
        rows.append({"question": name, "median_ms": statistics.median(times), "worst_ms": max(times), "found": found})
        print("{question:24} {median_ms:10.2f} {worst_ms:10.2f} {found:7}".format(**rows[-1]))
    return rows


def timed(work: Callable[[Any], Any], argument: Trajectory | dict[str, Any]) -> float:
    """Milliseconds of wall time."""
    started = time.perf_counter()
    work(argument)
    return 1e3 * (time.perf_counter() - started)


def progress(done: int, of: int) -> None:
    """One line that is written over, where somebody looks."""
    if sys.stderr.isatty():
        print(f"\r{done:,} of {of:,}", end="\r", file=sys.stderr)


if __name__ == "__main__":
    main()

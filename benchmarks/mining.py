"""Cost of one insertion, with and without mining, while the store grows.

Run it: python -m benchmarks.mining [--sizes 1000 10000] [--turns 8] [--json out.json]. Trajectories are synthetic:
a few repositories, several issues for each function, `--turns` turns with views of a real function's length. Medians
over the last insertions before each size, in milliseconds of the process' CPU time, so that a busy machine distorts
less, and of wall time; an insertion and what it mined are durable on disk.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

from trajectories.judge import RuleJudge
from trajectories.miner import MinerOptions, PairMiner
from trajectories.protocol import Stage
from trajectories.records import ToolCall, Trajectory, Turn, Verdict
from trajectories.store import SQLStore

REPOSITORIES, FILES, FUNCTIONS, ISSUES = 8, 20, 3, 6
MEASURED = 200
"""How many insertions are measured before each size."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000], help="trajectories in the store")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--stages", nargs="+", default=["function"], choices=["function", "file", "repo"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder) / "store.db", sorted(options.sizes), options.turns, frozenset(options.stages))
    print(f"{'stored':>8} {'add':>7} {'mine':>7} {'both':>7} {'p95':>7} {'wall':>7} {'valid pairs':>12} {'MiB':>7}")
    for row in rows:
        times = " ".join(f"{row[f'{name}_ms']:7.2f}" for name in ("add", "mine", "both", "p95", "wall"))
        print(f"{row['stored']:8.0f} {times} {row['valid_pairs']:12.0f} {row['mib']:7.1f}")
    if options.json:
        options.json.write_text(json.dumps({"turns": options.turns, "rows": rows}, indent=2))


def measure(path: Path, sizes: list[int], turns: int, stages: frozenset[Stage]) -> list[dict[str, float]]:
    rng = random.Random(0)
    rows, times = [], []
    with SQLStore(path) as store:
        miner = PairMiner(store, RuleJudge(), MinerOptions(stages=stages))
        for n in range(1, sizes[-1] + 1):
            trajectory = synthetic(rng, turns)
            before = time.process_time(), time.perf_counter()
            store.add(trajectory)
            added = time.process_time()
            miner.on_insert(trajectory)
            after = time.process_time(), time.perf_counter()
            times.append((1e3 * (added - before[0]), 1e3 * (after[0] - added), 1e3 * (after[1] - before[1])))
            if n in sizes:
                rows.append(summary(n, times[-MEASURED:], store.count_pairs(judgement="valid"), path))
    return rows


def summary(stored: int, times: list[tuple[float, float, float]], pairs: int, path: Path) -> dict[str, float]:
    adds, mines, walls = zip(*times, strict=True)
    both = sorted(add + mine for add, mine in zip(adds, mines, strict=True))
    return {
        "stored": stored,
        "add_ms": statistics.median(adds),
        "mine_ms": statistics.median(mines),
        "both_ms": statistics.median(both),
        "p95_ms": both[int(0.95 * len(both))],
        "wall_ms": statistics.median(walls),
        "valid_pairs": pairs,
        "mib": path.stat().st_size / 2**20,
    }


def synthetic(rng: random.Random, turns: int) -> Trajectory:
    """An episode on one of the issues; the same issue gives other code, reasoning and outcome each time."""
    repo, file, function, issue = (rng.randrange(n) for n in (REPOSITORIES, FILES, FUNCTIONS, ISSUES))
    path, name = f"pkg/m{file}.py", f"f{function}"
    seed = random.Random(f"{repo}/{file}/{function}/{issue}")
    shown, wanted = (f"    return a {seed.choice('+-*')} b * {seed.randrange(10_000)}" for _ in range(2))
    code = [f"    x{i} = a * {i + 10} + b  # step {i} of {name}" for i in range(30)]
    answer = "\n".join([f"def {name}(a, b):", *code, wanted])
    view = "\n".join(f"{i:6}\t{line}" for i, line in enumerate([f"def {name}(a, b):", *code, shown], 1))
    read = [said(rng, "view", view, path=path) for _ in range(turns - 3)]
    edit = said(rng, "edit", "edited", path=path, old=shown, new=wanted)
    resolved = rng.random() < 0.5
    return Trajectory(
        run="bench",
        group=f"g{rng.randrange(10**6)}",
        instance_id=f"r{repo}-m{file}-{name}-{issue}",
        repo=f"repo{repo}",
        base_commit=f"{repo:040x}",
        problem_statement=f"{name} of m{file} gives a wrong result in case {issue}",
        turns=[said(rng, "test", f"FAIL {name} case {issue}"), *read, edit, said(rng, "submit", "")],
        patch=f"--- a/{path}\n+++ b/{path}\n@@ -32 +32 @@\n-{shown}\n+{wanted}\n",
        answer=answer,
        files=[path],
        functions=[f"{path}::{name}"],
        verdict=Verdict(resolved=resolved),
        reward=float(resolved),
    )


def said(rng: random.Random, tool: str, observation: str, **arguments: str) -> Turn:
    """A turn with some reasoning and as many tokens as it has words."""
    call = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in arguments.items())
    thought = " ".join(f"w{rng.randrange(5000)}" for _ in range(12))
    text = f"{thought}\n<tool_call>\n<function={tool}>\n{call}</function>\n</tool_call>"
    ids = [rng.randrange(150_000) for _ in range(60)]
    return Turn(
        prompt_ids=[rng.randrange(150_000) for _ in range(len(observation) // 4)],
        completion_ids=ids,
        logprobs=[-rng.random() for _ in ids],
        text=text,
        tool_call=ToolCall(name=tool, arguments=arguments),
        observation=observation,
    )


if __name__ == "__main__":
    main()

"""A store that looks like those of real runs, made of nothing: what the viewer's tests and screenshots show.

Invariant: the same every time. Pairs are mined by the miner and judged by its judge; nothing is drawn from a clock.
"""

from __future__ import annotations

import math
import random
from pathlib import Path
from unittest.mock import patch

from demo_episodes import ROLLOUTS, START, episode, make_tokenizer
from demo_metrics import ITERATIONS, RUNS, TOTAL, configuration, metrics
from demo_tasks import BUGS, TASKS, Bug, log, task
from tokenizers import Tokenizer

from trajectories.auditing.audit import audit_pairs
from trajectories.judging.rules import RuleJudge
from trajectories.mining.miner import MinerOptions, PairMiner
from trajectories.queries import Lesson, Margin
from trajectories.records import Trajectory
from trajectories.store import SQLStore

__all__ = ["TASKS", "TOTAL", "fill", "first_of"]


def fill(path: Path | str) -> SQLStore:
    """A new store with all that the viewer can show. The caller closes it."""
    with patch("time.time", return_value=START + 40_000):
        return _filled(SQLStore(path))


def _filled(store: SQLStore) -> SQLStore:
    rng = random.Random(7)
    tokenizer = make_tokenizer()
    miner = PairMiner(store, RuleJudge(), MinerOptions(max_pairs_per_trajectory=4))
    for run, speed in RUNS.items():
        store.claim_run(run, configuration(run))
        store.add_tasks(run, {bug.instance: task(bug) for bug in TASKS})
        for iteration in range(ITERATIONS):
            store.add_metrics(run, iteration, metrics(rng, iteration, speed))
        for number, bug in enumerate(TASKS):
            _add_group(store, miner if run == "context-aware" else None, rng, tokenizer, run, bug, number)
        store.add_finding("tokenizer", run, {"tokenizer_json": tokenizer.to_str()})
        store.release_run(run)
    _later(store, rng)
    return store


def _add_group(
    store: SQLStore, miner: PairMiner | None, rng: random.Random, tokenizer: Tokenizer, run: str, bug: Bug, number: int
) -> None:
    group = [episode(rng, tokenizer, run, bug, number, place) for place in range(ROLLOUTS)]
    store.add_many(group)
    rewards = [t.reward or 0.0 for t in group]
    mean = sum(rewards) / len(rewards)
    spread = math.sqrt(sum((r - mean) ** 2 for r in rewards) / len(rewards)) or 1.0
    store.add_lessons(
        Lesson(
            t.id,
            round((reward - mean) / spread, 4),
            [p + rng.gauss(0, 0.02) for turn in t.turns for p in turn.logprobs],
        )
        for t, reward in zip(group, rewards, strict=True)
    )
    for trajectory in group if miner else ():
        miner.on_insert(trajectory)


def _later(store: SQLStore, rng: random.Random) -> None:
    """What is found out afterwards: margins, an audit, replays, a pair whose label fell."""
    pairs = store.pairs()
    for pair in pairs:
        store.add_margins(
            Margin(pair.id, version, first, round(4 * (1 - math.exp(-version / 6)) + rng.gauss(0, 0.4) - 0.3, 3))
            for version in range(0, ITERATIONS, 2)
            for first in (True, False)
        )
    valid = [pair for pair in pairs if pair.judgement == "valid"]
    for version in (9, 15, 21):
        store.use_pairs([pair.id for pair in valid], version)
    store.retire_pairs([valid[-1].id], "a new right answer solves the confounder's task as well")
    store.add_finding("audit", "context-aware", audit_pairs(valid).to_json())
    for t in (first_of(store, "context-aware"), first_of(store, "grpo-only")):
        store.add_finding("replay", t.id, _replay(t, diverges=t.run == "context-aware"))


def first_of(store: SQLStore, run: str) -> Trajectory:
    """The first trajectory of a run."""
    return store.query(run=run, limit=1)[0]


def _replay(t: Trajectory, *, diverges: bool) -> dict[str, object]:
    steps = []
    for number, turn in enumerate(t.turns, 1):
        same = not (diverges and number == len(t.turns) - 1)
        steps.append(
            {
                "number": number,
                "action": f"{turn.tool_call.name} {' '.join(turn.tool_call.arguments.values())}"[:80],
                "same": same,
                "differs": [] if same else ["observation", "exit_code"],
                "expected": turn.observation,
                "got": turn.observation if same else log(BUGS[0], False),
                "expected_exit": turn.exit_code,
                "exit": turn.exit_code if same else 1,
                "expected_tree": turn.tree,
                "tree": turn.tree,
                "diff": turn.diff,
                "seconds": turn.seconds,
                "cpu_seconds": turn.cpu_seconds,
            }
        )
    return {
        "trajectory_id": t.id,
        "backend": "docker",
        "image": "ledger",
        "steps": steps,
        "diverged_at": len(t.turns) - 1 if diverges else None,
        "verdict": None,
        "verdict_same": not diverges,
        "stopped_at": None,
        "note": "a test reads the clock" if diverges else "",
    }

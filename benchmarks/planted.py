"""How many pairs with a known fault the judge rejects, and how many clean ones it keeps.

    python -m benchmarks.planted [--pairs 100] [--seed 0] [--json OUT]
    python -m benchmarks.planted --audit 500

For each kind of fault and each style of agent, `--pairs` pairs are made (benchmarks/planting): two episodes of one
agent on two bugs of one made-up function, masked as the miner masks them, in sizes like those of real runs; then one
fault is planted. Half of the leaks are in the anchor, half in the confounder. Prints shares with Wilson intervals;
exits 1 if fewer than 95% of a kind are rejected, or fewer than 90% of the clean ones are valid.

With `--audit`, so many clean couples are audited instead, as a pair in each direction: no pair of them has a fault, and
the set as a whole may still have a shortcut.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.planting.agents import STYLES
from benchmarks.planting.faults import FAULTS, planted
from contextrl.cli.judging import tell
from contextrl.stats import wilson
from trajectories.auditing.audit import audit_pairs
from trajectories.judge import RuleJudge
from trajectories.protocol import PairJudge
from trajectories.records import ContextPair

REJECTED, KEPT = 0.95, 0.90
"""What is aimed at: of each fault, and of the clean ones."""


@dataclass
class Tally:
    """How the pairs of one kind were judged."""

    kind: str
    judged: Counter[str] = field(default_factory=Counter)
    slipped: list[str] = field(default_factory=list)
    """Style and seed of those that were judged wrongly."""
    milliseconds: float = 0.0

    @property
    def share(self) -> tuple[float, float, float]:
        """Of the clean ones those that are valid, of others those that are not: estimate and 95% interval."""
        n = self.judged.total()
        right = self.judged["valid"] if self.kind == "clean" else n - self.judged["valid"]
        found = wilson(right, n)
        return found.mean, found.low, found.high

    @property
    def enough(self) -> bool:
        """Whether the aim is reached."""
        return self.share[0] >= (KEPT if self.kind == "clean" else REJECTED)


def measure(judge: PairJudge, seeds: Sequence[int], kinds: Sequence[str] = tuple(FAULTS)) -> list[Tally]:
    """Judge pairs of each kind, in each style."""
    tallies = []
    for kind in kinds:
        tally = Tally(kind)
        for seed in seeds:
            for style in STYLES:
                pair = planted(kind, style, seed)
                start = time.perf_counter()
                judgement, _ = judge.judge(pair)
                tally.milliseconds += 1e3 * (time.perf_counter() - start)
                tally.judged[judgement] += 1
                if (judgement == "valid") != (kind == "clean"):
                    tally.slipped.append(f"{style} {seed}")
        tallies.append(tally)
    return tallies


def audit(couples: int, seed: int) -> None:
    """Audit clean couples, each in both directions."""
    start = time.perf_counter()
    pairs = []
    for n in range(seed, seed + couples):
        pair = _named(planted("clean", STYLES[n % len(STYLES)], n), n)
        swapped = {"answer": pair.confounder_answer, "confounder_answer": pair.answer}
        other = {"anchor": pair.confounder, "confounder": pair.anchor, "id": f"{n} back"}
        pairs += [pair, pair.model_copy(update=swapped | other)]
    made = time.perf_counter()
    tell(audit_pairs(pairs))
    print(f"made in {made - start:.0f} s, audited in {time.perf_counter() - made:.0f} s")


def _named(pair: ContextPair, n: int) -> ContextPair:
    """The pair with tasks of its own: an audit takes tasks of one name for one task."""
    sides = {side: getattr(pair, side) for side in ("anchor", "confounder")}
    named = {side: c.model_copy(update={"instance_id": f"{c.instance_id} of {n}"}) for side, c in sides.items()}
    return pair.model_copy(update=named)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=100, help="of each kind and style")
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--audit", type=int, metavar="COUPLES", help="audit clean couples instead")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.audit:
        audit(options.audit, options.seed)
        return
    tallies = measure(RuleJudge(), range(options.seed, options.seed + options.pairs))
    columns = (
        f"{'pairs':>6} {'invalid':>8} {'uncertain':>10} {'valid':>6}  {'share that is judged rightly':32} {'ms':>5}"
    )
    print(f"{'':28} {columns}")
    for tally in tallies:
        n, judged = tally.judged.total(), tally.judged
        mean, low, high = tally.share
        share = f"{mean:6.1%} [{low:6.1%}, {high:6.1%}]" + ("" if tally.enough else "  below the aim")
        counts = f"{n:6} {judged['invalid']:8} {judged['uncertain']:10} {judged['valid']:6}"
        print(f"{tally.kind:28} {counts}  {share:32} {tally.milliseconds / n:5.2f}")
    for tally in tallies:
        if tally.slipped:
            print(f"{tally.kind}: judged wrongly (style, seed): {', '.join(tally.slipped[:8])}")
    if options.json:
        rows = [{"kind": t.kind, "judged": dict(t.judged), "share": t.share, "slipped": t.slipped} for t in tallies]
        options.json.write_text(json.dumps({"seed": options.seed, "pairs": options.pairs, "rows": rows}, indent=2))
    sys.exit(0 if all(tally.enough for tally in tallies) else 1)


if __name__ == "__main__":
    main()

"""The rules on real runs: they neither let everything pass nor nothing, and are quick enough to ask on every insert."""

import time
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.judged_runs import pair_up, runs
from trajectories.judge import RuleJudge

REAL = Path(__file__).parents[3] / "shared" / "data" / "trajectories" / "mini_swe_agent"


@pytest.mark.parametrize("whole", [False, True])
def test_real_runs_of_one_repository(whole):
    if not REAL.is_dir():
        return
    pairs = list(pair_up(runs(REAL), whole=whole))
    judge = RuleJudge()
    judged, times = Counter(), []
    for pair in pairs:
        start = time.thread_time()
        judged[judge.judge(pair)[0]] += 1
        times.append(time.thread_time() - start)
    assert 0.05 < judged["valid"] / len(pairs) < 0.5, judged
    assert judged["uncertain"] < judged["invalid"]
    assert sum(times) / len(times) < 0.004

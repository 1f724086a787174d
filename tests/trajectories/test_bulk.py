"""A whole store is mined at once: the same however many processes, balanced over functions, resumable."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from trajectory_builders import planted, trajectory

from trajectories.judge import RuleJudge
from trajectories.mining.bulk import BulkOptions, mine_store
from trajectories.mining.miner import MinerOptions, PairMiner
from trajectories.store import SQLStore


@pytest.fixture
def store(tmp_path):
    with SQLStore(tmp_path / "store.db") as opened:
        yield opened


def options(processes=1, per_function=8, **miner):
    miner = MinerOptions(across_runs=True, keep_after_edit=False, **miner)
    return BulkOptions(miner, per_function=per_function, processes=processes, name="set")


def fill(store, functions=3, issues=4, each=2):
    for number in range(each):
        for i in range(issues):
            for f in range(functions):
                name = f"f{f}"
                store.add(
                    trajectory(
                        f"{name}-{i}", shown=("*", i), right=("+", i), function=name, number=number, run=f"run {number}"
                    )
                )


def test_couples_of_one_function_become_pairs_and_the_funnel_is_kept(store):
    fill(store)
    funnel = mine_store(store, options())
    assert store.count_pairs(run="set", judgement="valid") == funnel["valid"] == 3 * 8
    assert funnel["commit"] == 24 * 23 // 2
    assert funnel["function"] == 3 * (8 * 7 // 2)
    assert store.funnel("set") == dict(funnel)
    assert {p.function for p in store.pairs(run="set")} == {f"pkg/a.py::f{f}" for f in range(3)}


def test_a_couple_that_shares_two_functions_is_looked_at_once(store):
    for i in range(2):
        both = ["pkg/a.py::f", "pkg/a.py::g"]
        store.add(trajectory(f"f-{i}", shown=("*", i), right=("+", i), function="f", functions=both))
    funnel = mine_store(store, options())
    assert (funnel["function"], funnel["distinct"], funnel["asked"]) == (2, 1, 2)


def test_what_died_for_a_reason_of_ours_and_commits_that_nobody_knows_are_no_common_ground(store):
    fill(store, functions=1, issues=2, each=1)
    for i, fields in ((2, {"status": "infra_error"}), (3, {"base_commit": ""}), (4, {"base_commit": ""})):
        store.add(trajectory(f"f0-{i}", shown=("*", i), right=("+", i), function="f0", **fields))
    assert mine_store(store, options())["commit"] == 1
    assert mine_store(store, options(commit="any"))["commit"] == 6


def test_no_function_fills_the_set(store):
    fill(store, issues=6)
    mine_store(store, options(per_function=2))
    for f in range(3):
        assert store.count_pairs(run="set", function=f"pkg/a.py::f{f}", judgement="valid") == 2


def test_two_processes_find_what_one_does(store, tmp_path):
    fill(store)
    with SQLStore(tmp_path / "other.db") as other:
        fill(other)
        alone, together = mine_store(store, options(1)), mine_store(other, options(2))
        assert alone == together
        assert [p.id for p in store.pairs(run="set")] == [p.id for p in other.pairs(run="set")]


def test_mining_again_finds_nothing_new_and_counts_nothing_twice(store):
    fill(store)
    first = mine_store(store, options())
    assert mine_store(store, options()) == first


def test_an_interruption_loses_nothing(store):
    fill(store)

    def stop(done, total, valid):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine_store(store, options(2), progress=stop)
    assert 0 < store.count_pairs(run="set") < 24
    assert store.funnel("set")["valid"] == store.count_pairs(run="set", judgement="valid")
    told = []
    assert mine_store(store, options(2), progress=lambda *how_far: told.append(how_far))["valid"] == 24
    assert told[-1] == (3, 3, 24), "pairs that were there count"


def test_related_issues_come_first(store):
    texts = {"i1": "the width of the box is wrong", "i2": "the width of the box is off", "i3": "pickle loses a colour"}
    bugs = {"i1": 0, "i2": 1, "i3": 2}
    for name, text in texts.items():
        line = ("    width = abs(a) - 1", "    height = abs(b) - 1", "    return width + height")[bugs[name]]
        store.add(planted(name, (bugs[name], line), problem_statement=text))
    mine_store(store, options(per_function=1))
    assert {frozenset((p.anchor.instance_id, p.confounder.instance_id)) for p in store.pairs(run="set")} == {
        frozenset({"i1", "i2"})
    }


def test_filters_choose_what_is_mined(store):
    fill(store)
    mine_store(store, options(), filters={"run": "nobody"})
    assert store.count_pairs(run="set") == 0


class Doubtful:
    """A judge that is sure of nothing."""

    def judge(self, pair):
        return "uncertain", ["model: cannot tell"]


def test_a_second_judge_has_the_last_word(store):
    fill(store)
    funnel = mine_store(store, options(), judge=Doubtful())
    assert (funnel["valid"], funnel["uncertain"]) == (0, 24)
    assert {tuple(p.reasons) for p in store.pairs(run="set")} == {("model: cannot tell",)}


class Strict:
    """A judge that refuses every other pair, by its id."""

    def judge(self, pair):
        return ("invalid", ["model: no"]) if int(pair.id[-1], 16) % 2 else ("valid", [])


def test_what_the_second_judge_refuses_is_made_up_for(store):
    fill(store, issues=8)
    funnel = mine_store(store, options(per_function=4), judge=Strict())
    for f in range(3):
        assert 4 <= store.count_pairs(run="set", function=f"pkg/a.py::f{f}", judgement="valid") <= 5
    assert funnel["invalid"] > 0
    assert mine_store(store, options(per_function=4), judge=Strict()) == funnel, "a second run finds no more"


def test_what_training_held_out_is_not_mined(store):
    fill(store, functions=1, each=1)
    for i, run in ((4, "run 0.before"), (5, "run 0.after"), (6, "other.before")):
        store.add(trajectory(f"f0-{i}", shown=("*", i), right=("+", i), function="f0", run=run))
    held_out = trajectory("f0-7", shown=("*", 7), right=("+", 7), function="f0", run="run 0")
    store.add(held_out)
    PairMiner(store, RuleJudge(), MinerOptions(avoid=frozenset({"pkg pkg/a.py::f0"}))).on_insert(held_out)
    assert mine_store(store, options(per_function=99))["commit"] == 5 * 4 // 2
    used = {c.instance_id for p in store.pairs(run="set") for c in (p.anchor, p.confounder)}
    assert used == {"f0-0", "f0-1", "f0-2", "f0-3", "f0-6"}
    assert mine_store(store, options(), filters={"run": "run 0.before"})["commit"] == 0, "who asks for it gets it"
    store.add(trajectory("f0-8", shown=("*", 8), right=("+", 8), function="f0", run="run 0.before"))
    assert mine_store(store, options(), filters={"run": "run 0.before"})["commit"] == 1


def test_a_store_in_memory_is_mined_in_one_process():
    with SQLStore("sqlite://") as store:
        fill(store)
        assert mine_store(store, options(2))["valid"] == 24


def test_a_process_that_is_killed_leaves_no_worker_and_loses_nothing(store, tmp_path):
    fill(store, functions=40)
    program = tmp_path / "mine.py"
    program.write_text(
        "import sys, time\n"
        "from trajectories.mining.bulk import BulkOptions, mine_store\n"
        "from trajectories.mining.options import MinerOptions\n"
        "from trajectories.store import SQLStore\n"
        "def told(done, total, valid):\n"
        "    print(done, flush=True)\n"
        "    time.sleep(60 if done == 5 else 0)\n"
        "if __name__ == '__main__':\n"
        "    miner = MinerOptions(across_runs=True, keep_after_edit=False)\n"
        "    mine_store(SQLStore(sys.argv[1]), BulkOptions(miner, processes=2, name='set'), progress=told)\n"
    )
    killed = subprocess.Popen(
        [sys.executable, str(program), store.where], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    while killed.stdout.readline().strip() != "5":
        pass
    workers = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text().split()
    assert len(workers) >= 2
    killed.kill()
    killed.wait()
    deadline = time.monotonic() + 20
    while any(running(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert store.count_pairs(run="set") > 0
    assert mine_store(store, options(2))["valid"] == 40 * 8


def running(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

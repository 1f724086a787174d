"""Real neighbouring instances (`neighbours.json` beside the checkout, listed by their gold patches) and the modes.

Of the seven, three agents changed one function or class, one two methods of one class, two only one file, and one
(django-14315's) another file than the gold patch. Where the runs do not lie there, `test_miner.py` has small ones.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trajectories.formats import find
from trajectories.formats.completing import completed
from trajectories.mining.bulk import BulkOptions, mine_store
from trajectories.mining.masking import leaks, mask_trajectory
from trajectories.mining.miner import MinerOptions
from trajectories.records import MASK
from trajectories.store import SQLStore

RUNS = Path(__file__).parents[3] / "shared" / "data" / "trajectories" / "mini_swe_agent"
FILES = sorted(RUNS.glob("*.traj.json"))
SAME = {("11141", "13820"), ("14559", "15368"), ("15863", "16485")}
"""Couples by the numbers of their instances."""
CLASS, SHOWN, FILE = {("13741", "16139")}, {("11163", "13315")}, {("12276", "16667")}
MODES = {
    ("same", "same"): set(),
    ("window", "same"): SAME,
    ("window", "overlapping"): SAME | CLASS,
    ("window", "file"): SAME | CLASS | SHOWN,
    ("any", "same"): SAME,
    ("any", "overlapping"): SAME | CLASS,
    ("any", "file"): SAME | CLASS | SHOWN | FILE,
}


def read():
    return [completed(t) for path in FILES for t in find("mini-swe-agent").read(path)]


if FILES:

    @pytest.mark.parametrize("modes", MODES, ids=" ".join)
    def test_each_mode_finds_its_neighbours(tmp_path, modes):
        listed = {(p["a"][-5:], p["b"][-5:]) for p in json.loads((RUNS / "neighbours.json").read_text())}
        commit, function = modes
        options = MinerOptions(commit=commit, function=function, across_runs=True, min_relatedness=0)
        with SQLStore(tmp_path / "store.db") as store:
            store.add_many(read())
            mine_store(store, BulkOptions(options, processes=1, name="set"))
            pairs = store.pairs(run="set")
        found = {tuple(sorted((p.anchor.instance_id[-5:], p.confounder.instance_id[-5:]))) for p in pairs}
        assert found == MODES[modes] <= listed

    @pytest.mark.parametrize("number", range(len(FILES)))
    def test_real_runs_are_masked_without_a_leak(number):
        (trajectory,) = (completed(t) for t in find("mini-swe-agent").read(FILES[number]))
        context = mask_trajectory(trajectory, keep_after_edit=True)
        assert leaks(context, trajectory.patch) == []
        assert any(turn.edits and MASK in turn.text for turn in context.turns)
        assert any(turn.evidence for turn in context.turns)
        kept = sum(len(t.text) + len(t.observation) for t in context.turns)
        whole = sum(len(t.text) + len(t.observation) for t in trajectory.turns)
        assert kept > 0.6 * whole, "what is not the patch stays"

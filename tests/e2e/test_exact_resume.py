"""Killed at any phase and gone on with, a run measures what the run measures that nobody disturbed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_loop import recipe

from contextrl.report import read_metrics
from trajectories.store import SQLStore

pytestmark = pytest.mark.slow
KILLED = """
import os, signal, sys
from importlib import import_module
from pathlib import Path

place, count = sys.argv[1], int(sys.argv[2])
module, _, name = place.rpartition(":")
owner = import_module(module)
*parents, last = name.split(".")
for parent in parents:
    owner = getattr(owner, parent)
original, calls = getattr(owner, last), [0]

def dies(*args, **kwargs):
    calls[0] += 1
    if calls[0] == count:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **kwargs)

setattr(owner, last, dies)
from contextrl.loop import train
from contextrl.progress import Silent
from contextrl.recipe_file import load_recipe
train(load_recipe(Path(sys.argv[3])), progress=Silent())
"""
PHASES = [
    ("contextrl.pending:Pending.save", 9),  # sampling and grading: an episode of the first iteration has just finished
    ("trajectories.mining.miner:PairMiner.on_insert", 6),  # stored and not mined
    ("contextrl.learner:Learner._optimise", 6),  # in the middle of an iteration's optimiser steps
    ("agents.engine:TransformersEngine.update_weights", 2),  # before the weights are published
    ("contextrl.checkpoint:RunFolder._retire", 1),  # the checkpoint is written and the old one still there
    ("contextrl.checkpoint:torch.save", 1),  # half of a checkpoint
    ("contextrl.checkpoint:RunFolder.log", 1),  # learned, and no row written
]
"""What the process dies in, and at which call of the session."""
EXACT = (
    "resolve_rate",
    "reward_mean",
    "pairs_mined",
    "frontier",
    "steps",
    "groups_without_variance",
    "pairs_too_long",
)
NEAR = ("loss_grpo", "p_a", "loss_ca", "kl", "entropy", "margin", "grad_norm", "clip_low", "clip_high")


def told(folder: Path) -> Path:
    changes = {"iterations": 4, "checkpoint_every": 2}
    file = folder / "small.yaml"
    context = {"pairs_per_step": 4, "max_uses": 6}
    file.write_text(yaml.safe_dump(recipe(folder, "local", train=changes, ca=context, grpo={"kl": 0.01})))
    return file


def measured(folder: Path) -> list[dict[str, Any]]:
    return read_metrics(folder / "small")


def drawn(folder: Path) -> list[tuple[int, str, float]]:
    """Which policy chose between which contexts, and how: by what they show, since ids are drawn anew."""
    with SQLStore(folder / "trajectories.db") as store:
        pairs = store.pairs(run="small", judgement="valid")
        rows = {
            (m.version, p.answer, p.anchor.problem_statement, p.confounder.problem_statement, m.anchor_first)
            for p in pairs
            for m in store.margins(p.id)
        }
        return sorted(rows)


def undisturbed_and_killed(
    tmp_path: Path, told: Callable[[Path], Path], phases: Sequence[tuple[str, int]]
) -> tuple[Path, Path]:
    """The folders of a run that nobody disturbed, and of one that was killed in each phase and gone on with."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    file = told(killed)
    for place, count in phases:
        died = subprocess.run(
            [sys.executable, "-c", KILLED, place, str(count), str(file)], capture_output=True, text=True, check=False
        )
        assert died.returncode == -signal.SIGKILL, (place, died.returncode, died.stderr)
    for last in (file, told(whole)):
        command = [sys.executable, "-m", "contextrl", "train", str(last)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return whole, killed


def test_a_run_that_was_killed_everywhere_is_the_run_that_was_not(tmp_path: Path) -> None:
    whole, killed = undisturbed_and_killed(tmp_path, told, PHASES)
    once, again = measured(whole), measured(killed)
    assert [row["iteration"] for row in again] == [0, 1, 2, 3]
    for one, other in zip(once, again, strict=True):
        for name in EXACT:
            assert one.get(name) == other.get(name), (name, one["iteration"])
        for name in NEAR:
            assert other.get(name) == pytest.approx(one.get(name), rel=1e-3, abs=1e-5), (name, one["iteration"])
        assert one["selection_accuracy"] == pytest.approx(other["selection_accuracy"])
    assert drawn(whole) == drawn(killed)
    with SQLStore(killed / "trajectories.db") as store:
        played = store.query(run="small", agent="tools")
        assert len(played) == 4 * 16, "no episode was played twice, and none lost"
        assert store.metrics("small") == [json.loads(json.dumps(row)) for row in again]
    assert not list((killed / "small" / "pending").glob("*"))

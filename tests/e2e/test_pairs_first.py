"""Pairs before the first iteration: killed and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from test_exact_resume import NEAR, drawn, measured, undisturbed_and_killed
from test_loop import recipe

from contextrl.report import read_report

pytestmark = pytest.mark.slow
PHASES = [
    ("contextrl.learner:Learner._optimise", 3),  # before the first checkpoint of the steps on pairs
    ("contextrl.checkpoint:RunFolder.log", 11),  # between two of them
    ("contextrl.learner:Learner.begin_anew", 1),  # at their end
    ("contextrl.pending:Pending.save", 9),  # in the first iteration
]


def told(folder: Path) -> Path:
    """Twelve optimiser steps on pairs alone, checkpoints every four, then one iteration without pairs."""
    context = {"pairs_per_step": 4, "objective": "reinforce", "before": 12, "during": False}
    settings: dict[str, Any] = {"train": {"iterations": 1, "checkpoint_every": 1}, "ca": context}
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(recipe(folder, "local", **settings)))
    return file


def test_a_run_that_was_killed_is_the_run_that_was_not(tmp_path: Path) -> None:
    whole, killed = undisturbed_and_killed(tmp_path, told, PHASES)
    once, again = measured(whole), measured(killed)
    assert [row["iteration"] for row in once] == [row["iteration"] for row in again] == list(range(-12, 1))
    for one, other in zip(once, again, strict=True):
        assert one.keys() == other.keys()
        for name in ("selection_accuracy", *(name for name in NEAR if name in one)):
            assert other[name] == pytest.approx(one[name], rel=1e-3, abs=1e-5), (name, one["iteration"])
    assert drawn(whole) == drawn(killed) and len(drawn(whole)) == 12 * 4
    assert all("loss_ca" in row for row in once[:-1]) and "loss_ca" not in once[-1], "only before training"
    learned = read_report(whole / "small")["selection_accuracy_after"], read_report(killed / "small")
    assert learned[0] == learned[1]["selection_accuracy_after"] and learned[1]["iterations"] == 1

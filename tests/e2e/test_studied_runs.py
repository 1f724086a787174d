"""A study in real sandboxes: two arms, two seeds, stopped once and gone on with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from test_loop import recipe

from contextrl.report import read_report

pytestmark = pytest.mark.slow
RUNS = [f"small-{arm}-{seed}" for seed in (0, 1) for arm in ("grpo", "da-sft")]


def test_stopped_and_gone_on_with(tmp_path: Path) -> None:
    told = recipe(tmp_path, "local", train={"iterations": 1, "checkpoint_every": 1})
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(told | {"study": {"arms": ["grpo", "da-sft"], "seeds": 2}}))
    command = [sys.executable, "-m", "contextrl", "study", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    begun = tmp_path / RUNS[1] / "checkpoint"
    deadline = time.monotonic() + 300
    while not begun.is_dir() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors, errors
    assert "The same command goes on" in errors
    first = (tmp_path / RUNS[0] / "report.json").read_bytes()
    assert [name for name in RUNS if (tmp_path / name / "report.json").is_file()] == RUNS[:1]
    there = subprocess.run([*command, "--report"], capture_output=True, text=True, timeout=60, check=False)
    assert there.returncode == 0, there.stderr
    partial = json.loads((tmp_path / "small-study" / "study.json").read_text())
    assert partial["arms"]["grpo"]["finished"] == [0] and partial["arms"]["da-sft"]["missing"] == [0, 1]

    again = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / RUNS[0] / "report.json").read_bytes() == first, "what is finished is not run again"
    study = json.loads((tmp_path / "small-study" / "study.json").read_text())
    (arms,) = study["groups"].values()
    assert list(arms) == ["base", "grpo", "da-sft"]
    for name in RUNS:
        report = read_report(tmp_path / name)
        arm, seed = name.removeprefix("small-").rsplit("-", 1)
        for measure in ("resolve_rate", "selection_accuracy"):
            assert arms[arm]["seeds"][seed][measure] == pytest.approx(report[f"{measure}_after"])
            assert arms["base"]["seeds"][seed][measure] == pytest.approx(report[f"{measure}_before"])
    befores = [(tmp_path / name / "before.json").read_bytes() for name in RUNS]
    assert befores[0] == befores[1] != befores[2] == befores[3], "measured once for each seed"
    for arm, row in arms.items():
        for measure in ("resolve_rate", "selection_accuracy"):
            low, high = row[f"{measure}_interval"]
            mean = sum(row["seeds"][seed][measure] for seed in "01") / 2
            assert low <= row[measure] <= high and row[measure] == pytest.approx(mean)
            assert (f"{measure}_difference" in row) == (arm != "grpo")
            if arm != "grpo":
                assert row[f"{measure}_difference"] == pytest.approx(mean - arms["grpo"][measure]), "paired"
    assert study["arms"]["da-sft"]["tokens"] > 0 and study["arms"]["grpo"]["sandbox_seconds"] > 0
    assert "http" not in (tmp_path / "small-study" / "study.html").read_text()
    assert (tmp_path / "small-study" / "figure5.svg").is_file()

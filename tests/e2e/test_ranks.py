"""Two processes that learn together measure what one measures alone; and a run of theirs goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from test_exact_resume import EXACT, NEAR
from test_loop import recipe

from contextrl.report import read_metrics

pytestmark = pytest.mark.slow
ALONE = [sys.executable, "-m", "contextrl"]
TOGETHER = [
    str(Path(sys.executable).with_name("torchrun")),
    "--nproc-per-node",
    "2",
    "--standalone",
    "-m",
    "contextrl",
]


def trained(folder: Path, command: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    file = folder / "small.yaml"
    told: dict[str, Any] = recipe(folder, "local", train={"iterations": 2, "checkpoint_every": 1}, grpo={"kl": 0.01})
    told["learner"] |= {"probe_every": 2, "microbatch_tokens": 700}
    file.write_text(yaml.safe_dump(told))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "train", str(file), *words], capture_output=True, text=True, check=False, env=environment
    )


def test_two_learn_what_one_learns(tmp_path: Path) -> None:
    for folder, command in ((tmp_path / "one", ALONE), (tmp_path / "two", TOGETHER)):
        first = trained(folder, command, "train.iterations=1")
        assert first.returncode == 0, first.stderr
        (folder / "small" / "report.json").unlink()
        again = trained(folder, command)
        assert again.returncode == 0, again.stderr
        assert again.stdout.count("Resolve rate") == 1, "one process speaks"
    one, two = (read_metrics(tmp_path / name / "small") for name in ("one", "two"))
    assert [row["iteration"] for row in two] == [0, 1]
    for a, b in zip(one, two, strict=True):
        for name in EXACT:
            assert a.get(name) == b.get(name), name
        for name in (*NEAR, "grad_norm_grpo", "grad_norm_ca", "cosine_grpo_ca", "mismatch_kl"):
            assert (name in a) == (name in b) and b.get(name, 0.0) == pytest.approx(
                a.get(name, 0.0), rel=5e-3, abs=1e-4
            ), name
    weights = [load_file(tmp_path / name / "small" / "checkpoint" / "model.safetensors") for name in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-2, atol=2e-4)


def test_another_number_of_processes_is_told(tmp_path: Path) -> None:
    assert trained(tmp_path / "run", ALONE, "train.iterations=1").returncode == 0
    (tmp_path / "run" / "small" / "report.json").unlink()
    other = trained(tmp_path / "run", TOGETHER)
    ours = other.stderr.partition("Traceback")[0]  # torchrun's own, of a process that failed
    assert other.returncode != 0 and "written by 1 processes and this run has 2" in ours

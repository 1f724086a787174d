"""What a first-time user may do wrong: one sentence that says what, where and what to do; exit code 2; nothing left.

The real command in a process of its own, with a home of its own. No index, registry or model hub is asked.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from contextrl.recipe_file import load_recipe
from contextrl.start import policy_source

FAILS = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(1, 2)\n"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No Docker engine, no index, no hub; an empty home."""
    return os.environ | {
        "CONTEXTRL_HOME": str(tmp_path / "home"),
        "DOCKER_HOST": f"unix://{tmp_path}/no.sock",
        "PIP_INDEX_URL": "file:///nonexistent",
        "PIP_NO_INDEX": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
    }


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A run of one iteration on six small modules."""
    repository = {"source": "generated:seed=5,modules=6", "bugs": 30, "per_function": 6, "heldout_functions": 0.5}
    content: dict[str, Any] = {
        "name": "bad",
        "runs": str(tmp_path / "runs"),
        "backend": "local",
        "repositories": [repository | {"heldout_mutations": 0.0}],
        "rollout": {"group_size": 2, "tasks_per_iteration": 2, "siblings": 2, "max_new_tokens": 32},
        "train": {"iterations": 1, "checkpoint_every": 1, "min_free_gb": 0},
        "evaluation": {"tasks": 2, "pairs": 2},
    }
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def contextrl(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "contextrl", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


def refused(environment: dict[str, str], *arguments: str) -> str:
    """The one sentence, which comes last, after whatever progress was told."""
    ended = contextrl(environment, *arguments)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr and ended.stdout == ""
    return ended.stderr.rstrip("\n").rpartition("\n")[2]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["rolout.group_size=3"], ["unknown key `rolout`", "did you mean `rollout`"]),
        (["rollout.group_size=many"], ["`rollout.group_size`", "integer", "'many'"]),
        (["learner.lr=.nan"], ["`learner.lr`"]),
        (["policy=/nowhere/at/all"], ["policy=/nowhere/at/all", "no such folder", "`tiny`"]),
        (["train.min_free_gb=1000000000"], ["GB free", "make room", "runs=/path"]),
        (["runs=/dev/null/runs"], ["/dev/null/runs: not a", "runs=FOLDER"]),
        (["backend=docker"], ["no Docker engine answers at", "no.sock", "start dockerd", "local backend"]),
    ],
)
def test_recipes(environment: dict[str, str], recipe: Path, overrides: list[str], told: list[str]) -> None:
    said = refused(environment, "train", str(recipe), *overrides)
    assert all(words in said for words in told), said


@pytest.mark.parametrize("name", ["quickstart", "qwen3-8b-swegym"])
def test_shipped_recipes_survive_a_dry_run(environment: dict[str, str], name: str) -> None:
    ended = contextrl(environment, "train", f"recipes/{name}.yaml", "--dry-run")
    assert ended.returncode == 0 and f"name: {name}" in ended.stdout and "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("pypi:does-not-exist-xyz==1.0", ["does-not-exist-xyz==1.0"]),
        ("git+file:///nonexistent/repository@main", ["git+file:///nonexistent/repository@main cannot be fetched"]),
        ("/nowhere/at/all", ["there is no folder '/nowhere/at/all'", "pypi:NAME"]),
        ("generated:seed=x", ["'seed=x'", "generated:seed=0,modules=200"]),
        ("hg:something", ["unknown scheme 'hg'"]),
        ("", ["no repository is given"]),
    ],
)
def test_repositories_that_cannot_be_had(environment: dict[str, str], source: str, told: list[str]) -> None:
    said = refused(environment, "repo", "add", source, "--backend", "local")
    assert all(words in said for words in told), said
    assert "No repository yet" in contextrl(environment, "repo", "ls").stdout


def _no_tests(folder: Path) -> None:
    (folder / "a.py").write_text("def f():\n    return 1\n")


def _all_fail(folder: Path) -> None:
    _no_tests(folder)
    (folder / "test_a.py").write_text(FAILS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "told"), [(_no_tests, "no tests were found"), (_all_fail, "none of its 1 tests passes")]
)
def test_repositories_without_a_passing_test(
    environment: dict[str, str], recipe: Path, tmp_path: Path, make: Callable[[Path], None], told: str
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    make(folder)
    assert told in refused(environment, "repo", "add", str(folder), "--backend", "local")
    said = refused(environment, "train", str(recipe), f"repositories.0.source={folder}")
    assert said.startswith(f"{folder}: ") and told in said
    assert "No sandbox runs" in contextrl(environment, "sandbox", "ps").stdout


def _without_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def _splitting(letter: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "tokenizer.json"
        tokenizer = json.loads(path.read_text())
        tokenizer["normalizer"] = {"type": "Replace", "pattern": {"String": letter}, "content": f"{letter}x"}
        path.write_text(json.dumps(tokenizer))

    return edit


def _cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_without_template, "no chat template: use an instruction-tuned one"),
        (_splitting("A"), 'no single token for each of "A" and "B"'),
        (_splitting("B"), 'no single token for each of "A" and "B"'),
        (_cut_short, "its weights cannot be loaded"),
    ],
    ids=["template", "A", "B", "weights"],
)
def test_checkpoints(
    environment: dict[str, str], recipe: Path, tmp_path: Path, spoil: Callable[[Path], None], told: str
) -> None:
    """Told before anything is plugged in, and the mended command is not refused for the mistake before."""
    folder = tmp_path / "policy"
    shutil.copytree(policy_source("tiny"), folder)
    spoil(folder)
    said = refused(environment, "train", str(recipe), f"policy={folder}")
    assert said.startswith(f"policy {folder}: ") and told in said
    assert not (tmp_path / "home" / "repos").exists()
    assert "backend" not in refused(environment, "train", str(recipe), "policy=/nowhere/at/all")


def test_records_that_are_not_there(environment: dict[str, str], tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    assert str(store) in refused(environment, "traj", "show", "nosuch", "--store", str(store))
    store.write_text("this is no database, whatever its name says" * 10)
    assert "is not a database" in refused(environment, "traj", "ls", "--store", str(store))


def test_a_store_that_is_no_database_and_a_run_of_another_recipe(
    environment: dict[str, str], recipe: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "trajectories.db").write_text("this is no database, whatever its name says" * 10)
    assert "is not a database" in refused(environment, "train", str(recipe))
    assert not (runs / "bad").exists(), "nothing began"
    (runs / "bad").mkdir()
    (runs / "bad" / "recipe.json").write_text(load_recipe(recipe).model_dump_json())
    (runs / "bad" / "run.json").write_text('{"label": "bad"}')
    said = refused(environment, "train", str(recipe), "seed=1")
    assert "`seed` differ" in said and "--fresh" in said


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["Making tasks", "Evaluating before", "Training"])
def test_ctrl_c_and_the_same_command_again(environment: dict[str, str], recipe: Path, stage: str) -> None:
    command = [sys.executable, "-m", "contextrl", "train", str(recipe), "repositories.0.expert_episodes=4"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    said = ""
    while stage not in said and (line := process.stderr.readline()):
        said += line
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in said and "The same command goes on" in said, said
    assert "No sandbox runs" in contextrl(environment, "sandbox", "ps").stdout
    again = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert again.returncode == 0 and (recipe.parent / "runs" / "bad" / "report.json").exists(), again.stderr

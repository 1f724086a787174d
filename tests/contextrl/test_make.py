"""`contextrl tasks make`: what is asked for is checked before anything starts; a past commit becomes a task."""

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from contextrl.cli import app
from envs.tasksets import load_taskset

SOURCE = 'def clamp(value, low, high):\n    """Between bounds."""\n    return max(low, min(value, high))\n'
TEST = """import unittest

from little import clamp


class ClampTest(unittest.TestCase):
    def test_low(self):
        self.assertEqual(clamp(-5, 0, 9), 0)

    def test_high(self):
        self.assertEqual(clamp(50, 0, 9), 9)
"""
URL = ("--model", "m", "--model-url", "http://127.0.0.1:9/v1")


def contextrl(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"NO_COLOR": "1", "COLUMNS": "200"})
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture
def little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of two commits that is ready: a fault and its repair."""
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path / "home"))
    place = tmp_path / "little"
    (place / "tests").mkdir(parents=True)
    (place / "tests/__init__.py").write_text("")
    (place / "tests/test_little.py").write_text(TEST)
    for text in (SOURCE.replace("high))", "low))"), SOURCE):
        (place / "little.py").write_text(text)
        for words in ("init -q", "add -A", "-c user.name=a -c user.email=a@b.c commit -qm x"):
            subprocess.run(["git", *words.split()], cwd=place, check=True)
    contextrl("repo", "add", place, "--backend", "local")
    return place


def test_making(little: Path, tmp_path: Path) -> None:
    for words, said in [
        (("--strategy", "modify"), "takes a language model: say which and where (--model, --model-url)"),
        (("--strategy", "modify", "--model", "m"), "takes both --model and --model-url"),
        (("--describe",), "describing bugs takes a language model"),
        (URL, "no one would ask the language model"),
        (("--describe", "--model", "m", "--model-url", "127.0.0.1:9"), "must start with http"),
        (("--strategy", "mirror"), "say which (--commits GIT_FOLDER@RANGE)"),
        (("--commits", little), "add --strategy mirror"),
        (("--strategy", "mirror", "--commits", f"{little}@nowhere"), "bad revision 'nowhere'"),
        (("--strategy", "mirror", "--commits", tmp_path / "none"), "there is no folder"),
        (("--strategy", "combine"), "there is nothing to combine"),
    ]:
        result = contextrl("tasks", "make", "little", "--backend", "local", *words, code=2)
        assert said in result.stderr and result.stderr.count("\n") == 1, result.stderr
    out = tmp_path / "out"
    wanted = ("--strategy", "mirror", "--commits", f"{little}@HEAD", "--out", out, "--backend", "local")
    made = contextrl("tasks", "make", "little", *wanted).stdout
    assert "1 of 2 candidates are valid" in made and "1 commit cannot be mirrored" in made, made
    (task,) = load_taskset(out)
    (out / "NOTES.txt").write_text("mine")
    refused = contextrl("tasks", "make", "little", *wanted, code=2).stderr
    assert refused.endswith("is there already: give another --out, or --replace it\n")
    assert task.kind == "mirror" and "-    return max(low, min(value, low))" in task.patch

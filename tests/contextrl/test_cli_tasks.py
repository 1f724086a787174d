"""`contextrl tasks`: imported, listed, shown, exported, validated."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from contextrl.cli import app
from envs.patch import make_patch
from envs.task import Difficulty, HiddenCall, RepoProfile, TaskInstance
from envs.tasksets import load_taskset, save_taskset
from envs.tasksets.reader import how_made
from envs.testing.values import answer_text, call_text

ROW = {
    "instance_id": "own__lib-7",
    "repo": "own/lib",
    "base_commit": "a" * 40,
    "patch": make_patch({"lib.py": "x = 1\n"}, {"lib.py": "x = 2\n"}),
    "test_patch": make_patch({"test_lib.py": "x\n"}, {"test_lib.py": "y\n"}),
    "problem_statement": "x is \x1b[2Jwrong",
    "FAIL_TO_PASS": '["test_lib.py::test_x"]',
    "PASS_TO_PASS": '["[100%]"]',
}
GOOD, BAD = "def add(a, b):\n    return a + b\n", "def add(a, b):\n    return a - b\n"
TESTS = (
    "import unittest\nfrom lib import add\n\n\nclass T(unittest.TestCase):\n"
    "    def test_sum(self):\n        self.assertEqual(add(1, 2), 3)\n\n"
    "    def test_zero(self):\n        self.assertEqual(add(0, 0), 0)\n"
)


def contextrl(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["tasks", *map(str, arguments)], env={"NO_COLOR": "1", "COLUMNS": "200"})
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    go = {**ROW, "instance_id": "own__lib-8", "patch": ROW["patch"].replace("lib.py", "lib.go")}
    file.write_text("\n".join(json.dumps(row) for row in (ROW, go)))
    return file


@pytest.fixture
def plugged_in(tmp_path: Path, home: Path) -> RepoProfile:
    """A repository in the home folder, and a set of one right task and one that resolves itself."""
    tree = home / "repos" / "lib-1" / "tree"
    tree.mkdir(parents=True)
    (tree / "lib.py").write_text(GOOD)
    (tree / "test_lib.py").write_text(TESTS)
    for folder in (tmp_path, home, *home.rglob("*")):
        folder.chmod(0o755)
    profile = RepoProfile(
        name="lib",
        source="./lib",
        base_commit="c" * 40,
        tree=tree,
        python=Path(sys.executable),
        test_cmd="python -m unittest -v {tests}",
        source_files=("lib.py",),
        test_files=("test_lib.py",),
    )
    (tree.parent / "profile.json").write_text(profile.model_dump_json())
    right = TaskInstance(
        instance_id="lib-1",
        repo="lib",
        base_commit="c" * 40,
        problem_statement="add subtracts",
        patch=make_patch({"lib.py": BAD}, {"lib.py": GOOD}),
        FAIL_TO_PASS=("test_lib.T.test_sum",),
        PASS_TO_PASS=("test_lib.T.test_zero",),
        profile="lib",
        setup={"lib.py": BAD},
        test_targets=("test_lib.py",),
        difficulty=Difficulty(lines=2, tests_broken=1, distance=1),
        flaky=("test_lib.T.test_luck",),
        hidden=(HiddenCall(function="lib.py::add", arguments=call_text("lib", (1, 2)), expected=answer_text(3)),),
        kind="operator",
    )
    easy = right.model_copy(update={"instance_id": "lib-2", "FAIL_TO_PASS": right.PASS_TO_PASS, "hidden": ()})
    save_taskset([right, easy], home / "tasksets" / "mine", {"funnel": {"valid": 2}})
    return profile


def test_rows_are_imported_listed_and_shown(rows: Path) -> None:
    said = contextrl("import", "swe-gym", rows, "--limit", 1).stdout
    assert said.startswith("rows: 1 tasks, 1 of them repaired\n")
    said = contextrl("import", "swe-bench", rows, "--name", "bench").stdout
    assert said.startswith("bench: 1 tasks, 1 of them repaired, 1 in other languages skipped\n")
    listed = contextrl("ls").stdout
    assert "bench" in listed and "rows" in listed
    assert "own__lib-7" in contextrl("ls", "bench").stdout
    shown = contextrl("show", "own__lib-7", "--tasks", "bench").stdout
    assert "x is [2Jwrong" in shown  # no control characters
    assert "repaired      its PASS_TO_PASS held '[100%]'" in shown
    assert "swebench/sweb.eval.x86_64.own_1776_lib-7" in shown
    assert "x = 2" not in shown
    assert "+x = 2" in contextrl("show", "own__lib-7", "--gold").stdout


def test_bad_rows_are_refused_or_left_out(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([{**ROW, "instance_id": "own__lib-1", "patch": ""}, ROW]))
    refused = contextrl("import", "swe-gym", file, code=2).stderr
    assert refused == ("row 1 (own__lib-1): patch is missing: add it to the row, or leave the row out (--skip-bad)\n")
    result = contextrl("import", "swe-gym", file, "--skip-bad")
    assert "left out: row 1 (own__lib-1): patch is missing" in result.stderr
    assert "rows: 1 tasks" in result.stdout
    assert (
        "nothing is imported"
        in contextrl("import", "swe-gym", file, "--skip-bad", "--limit", 1, "--replace", code=2).stderr
    )
    assert "cannot name a task set" in contextrl("import", "swe-gym", file, "--name", "a/b", code=2).stderr


def test_what_is_known_of_a_task_is_shown(plugged_in: RepoProfile) -> None:
    shown = contextrl("show", "lib-1").stdout
    assert "2 lines, 1 tests broken, 1 calls from a failing test" in shown
    assert "hidden calls  1" in shown
    assert "test_lib.T.test_luck" in shown
    assert "args" not in shown  # the hidden calls themselves stay hidden


@pytest.mark.parametrize("format", ["folder", "jsonl", "parquet"])
def test_a_set_is_exported_and_read_again(tmp_path: Path, home: Path, plugged_in: RepoProfile, format: str) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    out, back = tmp_path / f"out.{format}", tmp_path / "back"
    contextrl("export", "mine", "-o", out, "--format", format)
    contextrl("export", out, "-o", back)
    assert load_taskset(back) == load_taskset(home / "tasksets" / "mine")
    if format == "folder":
        assert how_made(back) == {"funnel": {"valid": 2}}
    assert (back / "repositories" / "lib" / "testbed" / "lib.py").read_text() == GOOD
    assert (back / "repositories" / "lib" / "Dockerfile").read_text().startswith("ARG BASE=python:3")
    assert "return a + b" not in (back / "tasks" / "lib-1" / "Dockerfile").read_text()


def test_rows_are_not_written_into_a_folder(tmp_path: Path, plugged_in: RepoProfile) -> None:
    assert (
        "is a folder: give the file to write"
        in contextrl("export", "mine", "-o", tmp_path, "--format", "jsonl", code=2).stderr
    )


def test_nothing_that_is_there_is_overwritten(tmp_path: Path, home: Path, rows: Path, plugged_in: RepoProfile) -> None:
    refused = contextrl("import", "swe-gym", rows, "--name", "mine", "--limit", 1, code=2).stderr
    assert refused == "there is a task set mine already: give another --name, or --replace it\n"
    out = tmp_path / "out.jsonl"
    out.write_text("mine\n")
    assert "is there already" in contextrl("export", "mine", "-o", out, "--format", "jsonl", code=2).stderr
    assert out.read_text() == "mine\n" and len(load_taskset(home / "tasksets" / "mine")) == 2
    contextrl("export", "mine", "-o", out, "--format", "jsonl", "--replace")
    contextrl("import", "swe-gym", rows, "--name", "mine", "--limit", 1, "--replace")
    assert len(load_taskset(home / "tasksets" / "mine")) == 1


def test_a_set_is_validated(plugged_in: RepoProfile) -> None:
    wrong = contextrl("validate", "mine", "--backend", "local", code=1).stdout
    assert "lib-2          it is resolved without any repair" in wrong
    assert wrong.endswith("1 of 2 tasks are right\n")
    assert contextrl("validate", "mine", "--backend", "local", "--limit", 1).stdout == "1 of 1 tasks are right\n"


def test_one_broken_set_does_not_hide_the_others(home: Path, plugged_in: RepoProfile) -> None:
    (home / "tasksets" / "broken").mkdir()
    (home / "tasksets" / "broken" / "sweb.yaml").write_text("contextrl: {splits: [x]}")
    listed = contextrl("ls").stdout
    assert "mine" in listed and "of the known form; make the set again" in listed
    assert "no split 'trian': give one of train" in contextrl("ls", "mine", "--split", "trian", code=2).stderr
    assert "no task set is named" in contextrl("ls", "", code=2).stderr
    assert (
        "let --output end with .jsonl" in contextrl("export", "mine", "-o", "x.py", "--format", "jsonl", code=2).stderr
    )

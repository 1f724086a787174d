"""`contextrl traj import|export`: what is imported stays, nothing is doubled, and what goes wrong is one sentence."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from contextrl.cli import app
from envs.patch import make_patch
from trajectories.protocol import StoreError
from trajectories.store import SQLStore

AREA = "    def area(self):\n        a = self.size\n        return a * a\n"
MODULE = f"class Box:\n    size = 1\n\n{AREA}\n    def other(self):\n        return 0\n"
FIXED = MODULE.replace("a * a", "a * a * 6")
PATCH = make_patch({"pkg/box.py": MODULE}, {"pkg/box.py": FIXED})
PROMPT = "<pr_description>\nThe area is wrong.\n</pr_description>"


def contextrl(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["traj", *map(str, arguments)], env={"NO_COLOR": "1", "COLUMNS": "200"})
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.output
    return result


def row(number: int, **columns) -> dict:
    """A row of SWE-smith's kind: it looks at the file and repairs it."""
    command = f"<parameter=command>head -n 6 pkg/box.py # {number}</parameter>"
    messages = [
        {"role": "user", "content": PROMPT},
        {
            "role": "assistant",
            "content": f"<function=bash>\n{command}\n</function>",
        },
        {"role": "user", "content": "".join(MODULE.splitlines(keepends=True)[:6])},
    ]
    return {"messages": messages, "instance_id": f"own__lib-{number}", "resolved": True, "patch": PATCH} | columns


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row(i)) + "\n" for i in range(3)))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def stored(path: Path, **filters):
    with SQLStore(path, create=False) as opened:
        return opened.query(**filters)


def test_importing_twice_changes_nothing(rows, store):
    assert "3 new, 0 there already; run rows" in contextrl("import", rows, "--store", store).stdout
    before = stored(store)
    assert "0 new, 3 there already" in contextrl("import", rows, "--store", store).stdout
    assert stored(store) == before
    assert [t.functions for t in before] == [["pkg/box.py::Box.area"]] * 3
    assert before[0].files == ["pkg/box.py"] and before[0].resolved and before[0].repo == "own/lib"
    assert before[0].sources == {"pkg/box.py::Box.area": AREA} and "return a * a * 6" in before[0].answer
    assert before[0].extra["touched"] == "guessed from the episode"


def test_the_same_file_may_be_in_two_runs(rows, store):
    contextrl("import", rows, "--store", store)
    said = contextrl("import", rows, "--store", store, "--run", "second").stdout
    assert "3 of these stand already in run rows and are stored in both" in said
    assert len(stored(store)) == 6 and len(stored(store, run="second")) == 3


def test_a_run_of_another_source_is_not_mixed_up_unasked(rows, store, tmp_path):
    contextrl("import", rows, "--store", store, "--run", "r")
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps(row(7)))
    said = contextrl("import", other, "--store", store, "--run", "r", code=2).stderr
    assert "the run r has trajectories from elsewhere already: --append these, or give another --run" in said
    assert len(stored(store)) == 3
    contextrl("import", other, "--store", store, "--run", "r", "--append")
    assert len(stored(store, run="r")) == 4


def test_a_damaged_file_keeps_what_came_before_and_the_other_files(rows, store, tmp_path):
    folder = tmp_path / "several"
    folder.mkdir()
    (folder / "a.jsonl").write_text(json.dumps(row(1)) + "\n" + json.dumps(row(2))[:-9])
    (folder / "b.jsonl").write_text(json.dumps(row(3)))
    (folder / "c.json").write_text("{}")
    (folder / "d.json").write_text('{"messages": [')
    (folder / "notes.txt").write_text("not looked at")
    result = contextrl("import", folder, "--store", store, code=2)
    assert "a.jsonl, line 2: this is not JSON (the file ends too early)" in result.stderr
    assert "d.json, line 1: this is not JSON" in result.stderr
    assert "swe-smith: 2 trajectories" in result.stdout and "passed over as no trajectory: 1 (c.json)" in result.stdout
    assert [t.instance_id for t in stored(store)] == ["own__lib-1", "own__lib-3"]
    (folder / "a.jsonl").write_text(json.dumps(row(1)) + "\n" + json.dumps(row(2)))
    (folder / "d.json").unlink()
    assert "1 new, 2 there already" in contextrl("import", folder, "--store", store).stdout


def test_the_same_id_with_other_contents_is_refused_and_the_rest_stays(rows, store, tmp_path):
    out = tmp_path / "out.jsonl"
    contextrl("import", rows, "--store", store)
    contextrl("export", "--store", store, "-o", out)
    lines = out.read_text().splitlines()
    changed = json.loads(lines[1]) | {"patch": "another"}
    out.write_text("\n".join([lines[0], json.dumps(changed), lines[2]]))
    said = contextrl("import", out, "--store", store, code=2).stderr
    assert "out.jsonl" in said and "already stored with other contents" in said
    assert len(stored(store)) == 3 and all(t.patch == PATCH for t in stored(store))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"created_at": 1.76e12}, "created_at 1.76e+12 is no time in seconds since the epoch: are these milliseconds?"),
        ({"created_at": 1e300}, "created_at 1e+300 is no time in seconds since the epoch;"),
        ({"created_at": float("nan")}, "created_at nan is no time"),
        ({"id": " "}, "its id is empty"),
        ({"seconds": float("inf")}, "seconds inf is no number"),
        ({"reward": float("nan")}, "reward nan is no number"),
        ({"policy_version": 10**30}, "policy_version is a number of more than 32 bits"),
        ({"run": "two\nlines"}, "the name of its run holds a line break or a control character"),
        ({"run": "\x1b[31m"}, "the name of its run holds a line break or a control character"),
        ({"run": "r" * 201}, "the name of its run has 201 characters, more than 200"),
    ],
)
def test_what_no_store_or_list_can_hold_is_refused_where_it_stands(changed, said, rows, store, tmp_path):
    out, again = tmp_path / "out.jsonl", tmp_path / "again.db"
    contextrl("import", rows, "--store", store)
    contextrl("export", "--store", store, "-o", out)
    first, second, third = out.read_text().splitlines()
    out.write_text("\n".join([first, "", json.dumps(json.loads(second) | changed), third]))
    result = contextrl("import", out, "--store", again, code=2)
    assert f"{out}, line 3: {said}" in result.stderr and "what stands before it is imported" in result.stderr
    assert len(stored(again)) == 1 and "1 new" in result.stdout
    assert "own__lib-0" in contextrl("ls", "--store", again).stdout


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[0m", "n" * 201])
def test_a_run_must_be_one_that_can_be_named(name, rows, store):
    assert "--run: the name" in contextrl("import", rows, "--store", store, "--run", name, code=2).stderr
    assert not store.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.jsonl"], "missing.jsonl is not there"),
        (["odd.json"], "odd.json is of no format that is known: name it with --format"),
        (["empty.jsonl", "--format", "chat"], "there is no trajectory in"),
        (["empty"], "there is no trajectory in"),
        (["rows.jsonl", "--format", "nonsense"], "there is no format 'nonsense': give one of"),
        (["rows.jsonl", "--tasks", "no-such-set"], "'no-such-set' is no task set"),
        (["rows.jsonl", "--source", "empty"], "is no git checkout"),
        (["rows.jsonl", "--run", " "], "--run: the name is empty: give another"),
        (["rows.jsonl", "--format", "openhands"], "line 1: this is no trajectory of the format openhands"),
    ],
)
def test_what_cannot_be_imported_is_one_sentence(arguments, said, rows, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.json").write_text('{"a": 1}')
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "empty").mkdir()
    assert said in contextrl("import", *arguments, "--store", store, code=2).stderr


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_tasks_and_a_checkout_make_it_exact(rows, store, tmp_path):
    checkout = tmp_path / "lib"
    (checkout / "pkg").mkdir(parents=True)
    (checkout / "pkg" / "box.py").write_text(MODULE)
    git(checkout, "init", "-q")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "all")
    commit = git(checkout, "rev-parse", "HEAD")
    (checkout / "pkg" / "box.py").write_text("something else\n")
    about = {
        "instance_id": "own__lib-1",
        "base_commit": commit,
        "FAIL_TO_PASS": '["t::a"]',
        "problem_statement": "Area!",
    }
    tasks = tmp_path / "tasks.jsonl"
    gold = "--- a/pkg/box.py\n+++ b/pkg/box.py\n"
    tasks.write_text(json.dumps(about | {"repo": "own/lib", "patch": gold, "unknown": 1, "hints_text": None}))
    contextrl("import", rows, "--store", store, "--tasks", tasks, "--source", checkout)
    plain, known, _ = stored(store)
    assert (known.base_commit, known.problem_statement) == (commit, "Area!")
    assert known.verdict.fail_to_pass == {"t::a": "passed"} and known.extra["FAIL_TO_PASS"] == ["t::a"]
    assert known.sources == {
        "pkg/box.py::Box.area": "    def area(self):\n        a = self.size\n        return a * a\n"
    }
    assert known.answer == "    def area(self):\n        a = self.size\n        return a * a * 6\n"
    assert "touched" not in known.extra and plain.base_commit == "" and "touched" in plain.extra
    kept = about | {"repo": "own/lib", "patch": gold, "FAIL_TO_PASS": ["t::a"], "PASS_TO_PASS": []}
    with SQLStore(store) as opened:
        assert opened.task("own__lib-1", known.run) == kept and opened.task(plain.instance_id) is None


@pytest.mark.parametrize("name", ["contextrl", "atif", "chat", "parquet", "swe-smith", "openhands-events"])
def test_what_is_exported_is_imported_equal(name, rows, tmp_path, store):
    contextrl("import", rows, "--store", store)
    out = tmp_path / {"parquet": "out.parquet", "openhands-events": "out"}.get(name, "out.jsonl")
    assert "3 trajectories" in contextrl("export", "--format", name, "-o", out, "--store", store).stdout
    again = tmp_path / "again.db"
    contextrl("import", out, "--store", again)
    assert {t.id: t for t in stored(again)} == {t.id: t for t in stored(store)}


def test_export_takes_filters_and_replaces_nothing_unasked(rows, store, tmp_path):
    contextrl("import", rows, "--store", store)
    out = tmp_path / "out.jsonl.gz"
    where = ("--store", store, "-o", out)
    for filters, number in (
        (["--task", "own__lib-1"], 1),
        (["--function", "pkg/box.py::Box.area"], 3),
        (["--function", "area"], 3),
        (["--file", "box.py", "--status", "submitted", "--min-reward", 1, "--used"], 3),
        (["--base-commit", "", "--limit", 1], 1),
        (["--resolved", "--repo", "own/lib", "--run", "rows", "--limit", 2], 2),
    ):
        assert f"{number} trajectories" in contextrl("export", *filters, *where, "--replace").stdout
    assert "is there already: give another --output, or --replace it" in contextrl("export", *where, code=2).stderr
    said = contextrl("export", "--failed", *where, "--replace", code=2).stderr
    assert "No trajectory passes --failed; nothing is written" in said
    assert "no format 'x'" in contextrl("export", "--format", "x", *where, code=2).stderr
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "thesis.tex").write_text("precious")
    said = contextrl("export", "--format", "atif", "-o", folder, "--store", store, "--replace", code=2).stderr
    assert "also holds thesis.tex" in said and (folder / "thesis.tex").read_text() == "precious"
    said = contextrl("export", "--format", "atif", "-o", tmp_path / "one.json", "--store", store, code=2).stderr
    assert "give the name of a folder" in said
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".out", ".one", ".folder"))]
    nowhere = contextrl("export", "-o", tmp_path / "x", "--store", tmp_path / "no.db", code=2)
    assert "There is no trajectory store at" in nowhere.stderr


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_end_keeps_what_is_imported_and_the_same_command_goes_on(end, tmp_path, store):
    rows = tmp_path / "many.jsonl"
    rows.write_text("".join(json.dumps(row(i)) + "\n" for i in range(3000)))
    command = [sys.executable, "-m", "contextrl", "traj", "import", rows, "--store", store]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not count(store):
        time.sleep(0.05)
    running.send_signal(end)
    _, said = running.communicate(timeout=60)
    kept = count(store)
    assert 0 < kept < 3000
    if end == signal.SIGINT:
        assert running.returncode == 130
        told = int(re.search(r"(\d+) trajectories are imported; the same command goes on", said)[1])
        assert told in (kept, kept - 32)  # it may have come between a transaction and its count
    again = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f"imported: {3000 - kept} new, {kept} there already" in again and count(store) == 3000


def count(store: Path) -> int:
    """How many the store holds; 0 while it is being made."""
    try:
        with SQLStore(store, create=False) as opened:
            return opened.count()
    except StoreError:
        return 0
